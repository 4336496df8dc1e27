"""What factors do in a grid or a screen, averaged over the others; named as comparisons name arms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.study import screens
from bench.study.arms import Arm

DESIGNS = ("grid", "screen")
"""Those whose arms tell such effects."""
SUM = "the sum of both"
"""What an interaction is compared with: two levels that act as if each were alone."""

FRACTIONS = {1.0: "", 0.5: "½", round(1 / 6, 6): "⅙"}
"""How a share of an alias is written."""

MOST_TOLD = 10
"""Aliases that are named one by one."""

Levels = tuple[tuple[str, str, str], ...]
"""(factor, level, the baseline's level): one of a main effect, two of an interaction."""
Sides = tuple[str, str]
"""What is compared with what, as a comparison names two arms."""
Aliases = tuple[tuple[float, Levels], ...]
"""What a number also holds, times what."""
Cells = Mapping[tuple[tuple[str, str], ...], str]
"""Levels of all factors, as (factor, level) in the order of the factors → arm."""


@dataclass(frozen=True)
class Averaged:
    """A main effect or an interaction, and the arms that it is told from."""

    levels: Levels
    weights: Mapping[str, float]
    """Arm → its weight in Σ weight · score; they add up to 0."""
    blocks: int
    """Settings of the other factors that it is averaged over."""
    aliases: Aliases = ()
    """What the same sum also holds: no data of this design can tell them apart."""


def sides(levels: Levels) -> Sides:
    """How an effect is called: ``with augment.cutmix`` against ``without augment.cutmix``."""
    if len(levels) > 1:
        return name(levels), SUM
    factor, level, reference = levels[0]
    return _told(factor, level), _told(factor, reference)


def is_side(label: str) -> bool:
    """Whether a label may be the second of two sides, and not an arm's."""
    return label == SUM or label.startswith(("with ", "without "))


def name(levels: Levels) -> str:
    """``augment.cutmix``, ``optimizer lion``; of an interaction joined by ×."""
    return " × ".join(factor if level == "on" else _value(factor, level) for factor, level, _ in levels)


def _told(factor: str, level: str) -> str:
    known = {"on": f"with {factor}", "off": f"without {factor}"}
    return known.get(level, f"with {_value(factor, level)}")


def _value(factor: str, level: str) -> str:
    """``optimizer lion``; a label that says its setting already (``ema=0.99``) stands alone."""
    return level if level.startswith(f"{factor.rpartition('.')[2]}=") else f"{factor} {level}"


def told(aliases: Aliases) -> str:
    """``−½ ema × cutmix, …``; nothing where there are none."""
    sizes = {round(abs(share), 6) for share, _ in aliases}
    if len(aliases) > MOST_TOLD and len(sizes) == 1:  # of Plackett and Burman's every one of two others
        size = FRACTIONS.get(next(iter(sizes)), "")
        return f"{size} of each of {len(aliases)} interactions of two others, with either sign"
    parts = []
    for share, levels in aliases:
        size = FRACTIONS.get(round(abs(share), 6), f"{abs(share):.2g}")
        parts.append(f"{'−' if share < 0 else ''}{size} {name(levels)}".strip())
    return ", ".join(parts)


def every(design: str, arms: Sequence[Arm], reference: Mapping[str, str]) -> Iterator[Levels]:
    """Main effects, then interactions of two, of a design that tells them; of one factor none.

    reference   factor → its level in the baseline
    """
    if design not in DESIGNS or len(reference) < 2:
        return
    levels = {factor: dict.fromkeys(arm.levels[factor] for arm in arms) for factor in reference}
    other = [
        (factor, level, reference[factor])
        for factor in reference
        for level in levels[factor]
        if level != reference[factor]
    ]
    yield from ((one,) for one in other)
    yield from ((a, b) for a, b in itertools.combinations(other, 2) if a[0] != b[0])


def averaged(levels: Levels, design: str, arms: Sequence[Arm], reference: Mapping[str, str]) -> Averaged:
    """The effect of these levels. Cells that a grid leaves out are left out together with their partners."""
    if design == "screen":
        return _of_screen(levels, arms, reference)
    cells = {tuple(arm.levels.items()): arm.label for arm in arms}
    changed = {factor: level for factor, level, _ in levels}
    weights: dict[str, float] = {}
    blocks = [block for block in _blocks(changed, reference, cells) if None not in block.values()]
    for block in blocks:
        for present, arm in block.items():
            # + with all the levels; each level that is at its reference instead turns the sign
            sign = (-1) ** (len(changed) - len(present))
            assert arm is not None
            weights[arm] = weights.get(arm, 0.0) + sign / len(blocks)
    return Averaged(levels, weights, len(blocks))


def _blocks(
    levels: Mapping[str, str], reference: Mapping[str, str], cells: Cells
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


def _of_screen(levels: Levels, arms: Sequence[Arm], reference: Mapping[str, str]) -> Averaged:
    """From all arms, half against half."""
    factors = list(reference)
    design = tuple(tuple(int(arm.levels[f] != reference[f]) for f in factors) for arm in arms)
    term = tuple(factors.index(factor) for factor, _, _ in levels)
    scale = 2 * len(levels) / len(arms)
    weights = {arm.label: sign * scale for arm, sign in zip(arms, screens.signs(design, term), strict=True)}
    other = {f: next((a.levels[f] for a in arms if a.levels[f] != reference[f]), "") for f in factors}
    aliases = tuple(
        (share, tuple((factors[i], other[factors[i]], reference[factors[i]]) for i in alias))
        for alias, share in screens.aliases(design, term).items()
    )
    return Averaged(levels, weights, len(arms) // 2, aliases)
