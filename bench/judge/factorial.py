"""What a design of factors says beside its single arms: main effects, interactions, what is missed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.judge.evidence import Evidence
from bench.judge.findings import Effect
from bench.judge.measure import Measure, parse
from bench.study.read import Arm, Study

ArmsByLevels = Mapping[tuple[tuple[str, str], ...], str]
"""Levels of all factors, as (factor, level) in the order of the factors → arm."""


@dataclass(frozen=True)
class FactorEffect:
    """A main effect (one level) or a two-way interaction (two) of a grid, on the primary metric."""

    levels: tuple[tuple[str, str, str], ...]
    """(factor, level, the baseline's level)."""
    effect: Effect | None
    """Pointwise, no verdict."""
    seeds: int
    """Finished in all cells."""
    cells: int
    blocks: int
    """Settings of the other factors that it is averaged over."""


def factor_effects(study: Study, evidence: Evidence) -> tuple[FactorEffect, ...]:
    """Main effects, then two-way interactions, of a grid on the primary metric; none of other designs.

    A main effect is the mean of a level's cells minus the mean of the same cells at the baseline's level; an
    interaction is the effect of one level in the presence of another minus its effect without, averaged over
    the other factors. Cells that the study excludes are left out together with their partners.
    """
    if study.design != "grid":
        return ()
    reference = study.arm(study.baseline).levels
    cells = {tuple(arm.levels.items()): arm.label for arm in study.arms}
    metric = parse(study.primary, study.sets)
    other = [
        (factor, level)
        for factor in reference
        for level in dict.fromkeys(arm.levels[factor] for arm in study.arms)
        if level != reference[factor]
    ]
    found = (
        [_effect([one], reference, cells, evidence, metric) for one in other] if len(reference) > 1 else []
    )
    pairs = [pair for pair in itertools.combinations(other, 2) if pair[0][0] != pair[1][0]]
    found += [_effect(pair, reference, cells, evidence, metric) for pair in pairs]
    return tuple(effect for effect in found if effect.cells)


def _effect(
    of: Sequence[tuple[str, str]],
    reference: Mapping[str, str],
    cells: ArmsByLevels,
    evidence: Evidence,
    metric: Measure,
) -> FactorEffect:
    """Effect of one level (main) or of two together (interaction)."""
    coefficients, blocks = _coefficients(dict(of), reference, cells)
    interval, seeds = evidence.combination(coefficients, metric)
    levels = tuple((factor, level, reference[factor]) for factor, level in of)
    return FactorEffect(levels, Effect.of(interval, metric.unit), seeds, len(coefficients), blocks)


def _coefficients(
    levels: Mapping[str, str], reference: Mapping[str, str], cells: ArmsByLevels
) -> tuple[dict[str, float], int]:
    """Arm → its weight, and over how many combinations of the other factors the effect is averaged."""
    weights: dict[str, float] = {}
    blocks = [block for block in _blocks(levels, reference, cells) if None not in block.values()]
    for block in blocks:
        for present, arm in block.items():
            # + with all the levels; each level that is at its reference instead turns the sign
            sign = (-1) ** (len(levels) - len(present))
            assert arm is not None
            weights[arm] = weights.get(arm, 0.0) + sign / len(blocks)
    return weights, len(blocks)


def _blocks(
    levels: Mapping[str, str], reference: Mapping[str, str], cells: ArmsByLevels
) -> Iterator[dict[frozenset[str], str | None]]:
    """For each setting of the other factors: which of ``levels`` are present → the arm, if there is one."""
    whole = [dict(cell) for cell in cells if all((factor, level) in cell for factor, level in levels.items())]
    subsets = [frozenset(s) for n in range(len(levels) + 1) for s in itertools.combinations(levels, n)]
    for cell in whole:
        yield {
            present: cells.get(
                tuple(
                    (factor, reference[factor] if factor in levels and factor not in present else level)
                    for factor, level in cell.items()
                )
            )
            for present in subsets
        }


def full_arm(study: Study) -> Arm | None:
    """The full recipe of an ``add-and-remove`` study, every factor at its last level; None elsewhere."""
    if study.design != "add-and-remove" or len(study.arms[0].levels) < 2:
        return None  # of one factor, what is added and what is removed are the same arms
    reference = study.arm(study.baseline).levels
    return max(study.arms, key=lambda arm: sum(arm.levels[f] != level for f, level in reference.items()))


def removals(study: Study) -> dict[str, tuple[str, str]]:
    """Arms that leave one factor of the full recipe out → (factor, its level in the full recipe)."""
    full = full_arm(study)
    if full is None:
        return {}
    reference = study.arm(study.baseline).levels
    found = {}
    for arm in study.arms:
        missing = [factor for factor, level in full.levels.items() if arm.levels[factor] != level]
        if len(missing) == 1 and arm.levels[missing[0]] == reference[missing[0]]:
            found[arm.label] = (missing[0], full.levels[missing[0]])
    return found


def additions(study: Study) -> dict[str, tuple[str, str]]:
    """Arms that add one factor's level to the baseline → (factor, level)."""
    reference = study.arm(study.baseline).levels
    found = {}
    for arm in study.arms:
        changed = [factor for factor, level in reference.items() if arm.levels[factor] != level]
        if len(changed) == 1:
            found[arm.label] = (changed[0], arm.levels[changed[0]])
    return found
