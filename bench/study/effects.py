"""What factors do in a grid or a screen, averaged over the others; named as comparisons name arms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import did_you_mean
from bench.study import screens
from bench.study.arms import Arm, Arms

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


class EffectError(ValueError):
    """An effect that a design does not tell; ``found`` is what was asked for."""

    def __init__(self, found: str | Sequence[str], problem: str) -> None:
        super().__init__(problem)
        self.found = found


class EffectClaims:
    """The effects that the claims of one study are about."""

    def __init__(self, design: str, built: Arms) -> None:
        self.design, self.arms, self.baseline = design, built.arms, built.baseline
        self.reference = next(arm.levels for arm in built.arms if arm.label == built.baseline)
        self._told: dict[frozenset[Levels], Levels] = {}
        """Interactions that a screen cannot tell apart → the one that a claim is about."""

    def sides(self, factors: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is compared with what: of every level of a factor, or of two. Raises EffectError."""
        if self.design not in DESIGNS:
            raise EffectError(factors, f"goes with [factors] of a {' or a '.join(DESIGNS)}")
        for factor in factors:
            if factor not in self.reference:
                raise EffectError(factor, f"no such factor; {did_you_mean(factor, self.reference)}")
        if len(set(factors)) < len(factors):
            raise EffectError(factors, "is no interaction of a factor with itself; name two factors")
        if len(self.reference) == 1:  # the arms themselves
            return tuple(arm.label for arm in self.arms if arm.label != self.baseline), (self.baseline,)
        mine = [
            levels
            for levels in every(self.design, self.arms, self.reference)
            if {factor for factor, _, _ in levels} == set(factors)
        ]
        if not mine:
            raise EffectError(factors, "has one level in every arm: nothing is compared")
        for levels in mine:
            self._check(levels)
        first, second = zip(*map(sides, mine), strict=True)
        return tuple(dict.fromkeys(first)), tuple(dict.fromkeys(second))

    def _check(self, levels: Levels) -> None:
        """That the design tells it, and that no other claim is about the same number."""
        effect = averaged(levels, self.design, self.arms, self.reference)
        if not effect.weights:
            raise EffectError(name(levels), "is in no arm together with what it is compared with")
        if len(levels) == 1:
            return
        alone = next((alias for _, alias in effect.aliases if len(alias) == 1), None)
        if alone:
            problem = f"this screen cannot tell it from what {name(alone)} does alone"
            raise EffectError(name(levels), f"{problem}; leave out resolution = 3, or use a grid")
        twin = self._told.setdefault(frozenset({levels, *(alias for _, alias in effect.aliases)}), levels)
        if twin != levels:
            problem = f"this screen cannot tell it from {name(twin)}, which is claimed above"
            raise EffectError(name(levels), f"{problem}: the two are one number")
