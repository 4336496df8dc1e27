"""From p-values to words: Holm over the declared family, verdicts, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.stats.intervals import Interval

FEWEST_SEEDS = 3
FEWEST_DISAGREEMENTS = 10

Word = Literal[
    "helps",
    "helps, small",
    "helps, by more than δ",
    "harmful",
    "no gain",
    "equivalent",
    "inconclusive",
    "unstable",
]
Sides = tuple[int, int, int]
"""Where a comparison lies from 0, δ and −δ: 1 above, −1 below, 0 unknown."""
ClaimOutcome = Literal["supported", "refuted", "inconclusive"]


class Testable(Protocol):
    """What a comparison must offer: a difference, and a p for any value of it."""

    @property
    def mean(self) -> float:
        """The difference."""

    @property
    def seeds(self) -> int:
        """Common seeds."""

    def p(self, value: float) -> float:
        """p for "the difference is ``value``"."""


@dataclass(frozen=True)
class Hypothesis:
    """One member of the family: an arm against a reference on one metric, above 0 is better."""

    test: Testable | None
    delta: float | None = None
    """Difference that matters, as a fraction; None where there is none (cost, spread)."""
    reason: str = ""
    """Why it cannot be tested; counts with p = 1 then."""
    own: bool = False
    """The others see it with p = 1: times differ between runs of one study, their verdicts may not."""

    never: bool = False
    """No data could ever test it: it is no member, and makes nobody else's verdict more cautious."""

    def p(self, cut: float | None) -> float:
        """p for "the difference is ``cut``"; 1 for what cannot be tested."""
        if self.test is None or self.reason or cut is None:
            return 1.0
        return self.test.p(cut)

    def p_printed(self, cut: float | None) -> float:
        """The same of the 95 % interval as it is printed, which may be wider than what decides."""
        p = self.p(cut)
        return (
            max(p, self.test.p_printed(cut))
            if p < 1 and cut is not None and isinstance(self.test, Interval)
            else p
        )


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on."""

    word: Word
    reason: str = ""
    dagger: bool = False
    """Holm is more cautious here than the 95 % interval alone would be."""
    bolder: bool = False
    """Told by variance that is shared, where the wider interval that is printed alone would not tell it."""
    zero: int = 0
    """1: above 0, −1: below 0, 0: neither."""
    delta: int = 0
    minus_delta: int = 0

    alone: Sides | None = field(default=None, compare=False)
    """The sides that the 95 % interval alone would tell."""

    @property
    def sides(self) -> Sides:
        """Of the cuts 0, δ and −δ."""
        return self.zero, self.delta, self.minus_delta

    def mirrored(self) -> Judgement:
        """The same comparison, told from the other arm's side."""
        zero, delta, minus = _turned(self.sides)
        alone = _turned(self.alone) if self.alone else None
        found = self.word if self.word == "unstable" else word(zero, delta, minus)
        turned = Judgement(found, self.reason, zero=zero, delta=delta, minus_delta=minus)
        return turned if alone is None or found == "unstable" else turned.beside(alone)

    def beside(self, alone: Sides) -> Judgement:
        """The same, compared with what the 95 % interval alone would tell."""
        pairs = list(zip(self.sides, alone, strict=True))
        other = self.word != word(*alone)
        dagger = other and any(more and not ours for ours, more in pairs)
        bolder = other and any(ours and not more for ours, more in pairs)
        return replace(self, dagger=dagger, bolder=bolder, alone=alone)


def _turned(sides: Sides) -> Sides:
    zero, delta, minus = sides
    return -zero, -minus, -delta


def level(seeds: int) -> float:
    """Level of a comparison: .05, with 3 seeds .025."""
    return 0.025 if seeds <= FEWEST_SEEDS else 0.05


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values, in the order given.

    p  (K,) in [0, 1]

    Source: Holm 1979.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(values) else steps
    return adjusted


def sides(
    family: Sequence[Hypothesis], cuts: Sequence[float | None], *, adjust: bool = True
) -> tuple[list[int], list[float]]:
    """On which side of its cut each comparison is seen to be: 1 above, −1 below, 0 unknown; and its p.

    adjust  False: each for itself at .05, as its 95 % interval says
    """
    raw = [member.p(c) if adjust else member.p_printed(c) for member, c in zip(family, cuts, strict=True)]
    adjusted = list(raw)
    if adjust:
        everyone = holm(raw)
        without = holm([1.0 if member.own else p for member, p in zip(family, raw, strict=True)])
        adjusted = [float(everyone[i] if member.own else without[i]) for i, member in enumerate(family)]
    found = []
    for member, cut, p in zip(family, cuts, adjusted, strict=True):
        test = member.test
        if test is None or cut is None or p >= (level(test.seeds) if adjust else 0.05):
            found.append(0)
        else:
            found.append(1 if test.mean > cut else -1)
    return found, adjusted


def judge(family: Sequence[Hypothesis]) -> list[Judgement]:
    """The verdict of every member, Holm at each of the cuts 0, δ and −δ."""
    members = [member for member in family if not member.never]
    judged = zip(_words(members, adjust=True), _words(members, adjust=False), strict=True)
    found = iter([ours.beside(plain.sides) for ours, plain in judged])
    nothing = Judgement("inconclusive")
    return [replace(nothing if member.never else next(found), reason=member.reason) for member in family]


def _words(family: Sequence[Hypothesis], *, adjust: bool) -> list[Judgement]:
    at_zero, _ = sides(family, [0.0] * len(family), adjust=adjust)
    at_delta, _ = sides(family, [member.delta for member in family], adjust=adjust)
    negative = [None if member.delta is None else -member.delta for member in family]
    at_minus, _ = sides(family, negative, adjust=adjust)
    return [
        Judgement(word(zero, delta, minus), zero=zero, delta=delta, minus_delta=minus)
        for zero, delta, minus in zip(at_zero, at_delta, at_minus, strict=True)
    ]


def word(zero: int, delta: int, minus_delta: int) -> Word:
    """The verdict that follows from the sides of the cuts 0, δ and −δ."""
    if zero < 0:
        return "harmful"
    if zero > 0:
        if delta < 0:
            return "helps, small"
        return "helps, by more than δ" if delta > 0 else "helps"
    if delta < 0:
        return "equivalent" if minus_delta > 0 else "no gain"
    return "inconclusive"


def untestable(
    interval: Interval | None, seeds: int, disagreements: int | None = None, item: str = "image"
) -> str:
    """Why a comparison cannot have a verdict, or nothing.

    disagreements  items on which the arms ever differ; None where images play no part
    item           what they are: ``image``, or ``group`` where groups of images are known
    """
    if seeds < FEWEST_SEEDS:
        return f"{seeds} common seed{'' if seeds == 1 else 's'}, {FEWEST_SEEDS} needed"
    if interval is None:
        return f"a class has fewer than 2 {item}s"
    if disagreements is not None and disagreements == 0:
        return "too few errors: the arms never disagree"
    if disagreements is not None and disagreements < FEWEST_DISAGREEMENTS:
        items = item if disagreements == 1 else f"{item}s"
        few = f"the arms disagree on {disagreements} {items} only, {FEWEST_DISAGREEMENTS} needed"
        return f"too few errors: {few}"
    return "the difference never varies" if interval.variance <= 0 else ""


def settle(judgement: Judgement, diverged: int, diverged_reference: int, *, mixed: bool = False) -> Judgement:
    """A verdict when seeds diverged (scored as chance): it stands only against the arm that diverged more.

    mixed  some seeds of one of the arms learned, some hardly: no verdict stands
    """
    if mixed:
        return Judgement("unstable", judgement.reason)
    if diverged == diverged_reference == 0:
        return judgement
    against_arm = judgement.zero < 0 and diverged > diverged_reference
    against_reference = judgement.zero > 0 and diverged < diverged_reference
    if against_arm or against_reference:
        return judgement
    return Judgement("unstable", judgement.reason)


def claim_outcome(
    expect: Literal["better", "no gain", "no difference"],
    judgement: Judgement,
    margin_side: int | None = None,
) -> ClaimOutcome:
    """Whether a comparison bears out a claim.

    expect       ``no difference``: the comparison lies between −δ and δ
    margin_side  side of the claim's margin as ``sides`` found it; None: the claim names no margin
    """
    if judgement.word == "unstable":
        return "inconclusive"
    harmful = judgement.zero < 0
    if expect == "no gain":
        supported, refuted = judgement.delta < 0 or harmful, judgement.delta > 0 and judgement.zero > 0
    elif expect == "no difference":  # two one-sided tests: within δ of 0, on whichever side
        supported = judgement.delta < 0 < judgement.minus_delta
        refuted = (judgement.delta > 0 and judgement.zero > 0) or (judgement.minus_delta < 0 and harmful)
    elif margin_side is not None:
        supported, refuted = margin_side > 0 and judgement.zero > 0, margin_side < 0 or harmful
    else:
        supported, refuted = judgement.zero > 0, harmful or judgement.word in ("no gain", "equivalent")
    return "supported" if supported else "refuted" if refuted else "inconclusive"


@dataclass(frozen=True)
class Share:
    """A share of seeds with its one-sided 95 % bounds."""

    count: int
    of: int
    low: float
    high: float


def diverged_share(diverged: int, seeds: int) -> Share:
    """Share of diverged seeds, each bound one-sided at 95 %.

    Source: Clopper & Pearson 1934.
    """
    if not 0 <= diverged <= seeds or seeds < 1:
        raise ValueError(f"{diverged} of {seeds} is no share")
    low = 0.0 if diverged == 0 else float(special.betaincinv(diverged, seeds - diverged + 1, 0.05))
    high = 1.0 if diverged == seeds else float(special.betaincinv(diverged + 1, seeds - diverged, 0.95))
    return Share(diverged, seeds, low, high)


def convergence_outcome(share: Share) -> ClaimOutcome:
    """Whether "does not converge" is borne out: more than half of all seeds would diverge."""
    return "supported" if share.low > 0.5 else "refuted" if share.high < 0.5 else "inconclusive"
