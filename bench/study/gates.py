"""What a run must find so that it ends well: ``randaugment: not harmful on heavy.accuracy``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.errors import did_you_mean
from bench.recipe import Frozen

WORDS = (
    "helps", "harmful", "no gain", "equivalent", "inconclusive", "unstable", "smaller gap", "larger gap",
    "faster", "slower", "fewer epochs", "more epochs", "steadier", "less steady",
)  # fmt: skip
"""Verdicts, as reports spell them; what stands behind (``by more than 1 point``) plays no part."""
FORM = "ARM: VERDICT on METRIC, also not VERDICT, VERDICT or VERDICT, and against ARM behind it"


class Gate(Frozen):
    """A gate of a study, taken apart."""

    text: str
    """As it was written."""
    arm: str
    reference: str
    metric: str
    words: tuple[str, ...]
    negated: bool = False
    """It is to be none of these verdicts."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The comparison that it is about."""
        return self.arm, self.reference, self.metric


@dataclass(frozen=True)
class Known:
    """What a gate may name.

    problem   of a metric, empty where there is one
    """

    arms: Sequence[str]
    baseline: str
    primary: str
    problem: Callable[[str], str]


def parse(text: str, known: Known) -> Gate:
    """The gate in ``text``; ValueError for what it cannot mean."""
    arm = max(
        (label for label in known.arms if re.match(rf"{re.escape(label)}\s*:", text)), key=len, default=""
    )
    if not arm:
        unknown, colon, _ = text.partition(":")
        hint = did_you_mean(unknown.strip(), known.arms) if colon else f"write {FORM}"
        raise ValueError(f"names no arm; {hint}")
    rest = text[len(arm) :].lstrip(" :")
    rest, _, reference = (part.strip() for part in rest.partition(" against "))
    rest, _, metric = (part.strip() for part in rest.partition(" on "))
    negated = rest.startswith("not ")
    words = [word.strip() for word in rest.removeprefix("not ").split(" or ")]
    for word in words:
        if word not in WORDS:
            raise ValueError(f'"{word}" is no verdict; {did_you_mean(word, WORDS)}   ({FORM})')
    if reference and reference not in known.arms:
        raise ValueError(f'"{reference}" is no arm; {did_you_mean(reference, known.arms)}')
    if metric and (problem := known.problem(metric)):
        raise ValueError(f'"{metric}": {problem}')
    if arm == (reference or known.baseline):
        raise ValueError(f"compares {arm} with itself; say against which arm")
    return Gate(
        text=text,
        arm=arm,
        reference=reference or known.baseline,
        metric=metric or known.primary,
        words=tuple(words),
        negated=negated,
    )
