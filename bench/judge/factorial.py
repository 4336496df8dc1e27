"""What a design compares: levels over all arms, steps, what is added and what is missed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from bench.study import effects
from bench.study.effects import Averaged
from bench.study.ordered import Ordered
from bench.study.read import Arm, Study


def effects_of(study: Study) -> Iterator[Averaged]:
    """Main effects, then interactions of two, that a grid or a screen tells."""
    reference = study.arm(study.baseline).levels
    for levels in effects.every(study.design, study.arms, reference):
        yield effects.averaged(levels, study.design, study.arms, reference)


def untold(study: Study, asked: Iterable[tuple[str, str]]) -> list[Averaged]:
    """Contrasts of a screen that nobody asked for, each number once: their spread over seeds is noise too.

    asked   sides of the effects that somebody did ask for, on one metric
    """
    wanted = {sides for pair in asked for sides in (pair, pair[::-1])}
    every = list(effects_of(study))
    known = {column for one in every if effects.sides(one.levels) in wanted for column in _columns(one)}
    found = []
    for one in every:
        clear = len(one.levels) == 1 or not any(len(alias) == 1 for _, alias in one.aliases)
        if clear and _columns(one).isdisjoint(known):
            known |= _columns(one)
            found.append(one)
    return found


def _columns(one: Averaged) -> set[tuple[bool, ...]]:
    """Which arms stand on one side, told from either: of one number the same."""
    column = tuple(weight > 0 for weight in one.weights.values())
    return {column, tuple(not above for above in column)}


def main_effects(study: Study) -> list[effects.Sides]:
    """The sides of every main effect of a screen: what it is for, so what it declares."""
    if study.design != "screen":
        return []
    every = effects.every(study.design, study.arms, study.arm(study.baseline).levels)
    return [effects.sides(levels) for levels in every if len(levels) == 1]


def averaged(study: Study, arm: str, reference: str) -> Averaged | None:
    """The effect that two labels are the sides of, told from the first; None where they are arms."""
    for one in study.ordered:
        if {arm, reference} == set(one.ends):
            from bench import stats  # imports numpy and scipy

            line = Averaged((), by_arm(one, stats.line(len(one.levels))), len(one.blocks))
            return line if arm == one.ends[0] else _turned(line)
    if study.design not in effects.DESIGNS or not effects.is_side(reference):
        return None
    base = study.arm(study.baseline).levels
    for levels in effects.every(study.design, study.arms, base):
        sides = effects.sides(levels)
        if (arm, reference) in (sides, sides[::-1]):
            found = effects.averaged(levels, study.design, study.arms, base)
            return found if (arm, reference) == sides else _turned(found)
    return None


def by_arm(one: Ordered, weights: Iterable[float]) -> dict[str, float]:
    """Weights (L,) of levels as those of arms, averaged over blocks; the largest is the last."""
    found: dict[str, float] = {}
    known = list(weights)
    for block in one.blocks:
        for arm, weight in zip(block, known, strict=True):
            found[arm] = found.get(arm, 0.0) + float(weight) / len(one.blocks)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _turned(one: Averaged) -> Averaged:
    """Told from the other side."""
    weights = {label: -weight for label, weight in one.weights.items()}
    return replace(one, weights=weights, aliases=tuple((-share, of) for share, of in one.aliases))


def arms_of(study: Study, arm: str, reference: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arms on the two sides of a comparison; of an effect those with a weight above and below 0."""
    found = averaged(study, arm, reference)
    weights: Mapping[str, float] = found.weights if found else {arm: 1.0, reference: -1.0}
    return (
        tuple(label for label, weight in weights.items() if weight > 0),
        tuple(label for label, weight in weights.items() if weight < 0),
    )


def steps(study: Study) -> list[tuple[str, str]]:
    """Each rung of a ladder with the one below it; none of other designs."""
    if study.design != "ladder":
        return []
    return [(upper.label, lower.label) for lower, upper in itertools.pairwise(study.arms)]


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
