"""Metrics of a study taken apart: of which set, of what, which way is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.judge.findings import LOCAL, OPEN
from bench.plan import TEST
from bench.registry import metrics
from bench.study.metric import apart


@dataclass(frozen=True)
class Measure:
    """A metric of the study, taken apart."""

    kind: str
    """``score``, ``gap``, ``cost``, ``seed_sd``, or ``unknown``."""
    set: str = ""
    """Name in the plan: ``test`` or a hidden set's."""
    score: str = "accuracy"
    families: tuple[str, ...] = ()
    """Of a corrupted set, the only families that count; empty: all. Known of accuracy only."""
    slice: tuple[str, str] | None = None
    """Column and value of the only images that count."""

    @property
    def traits(self) -> Mapping[str, Any]:
        """What the score said of itself where it registered."""
        return metrics[self.score].traits

    @property
    def lower_is_better(self) -> bool:
        """A smaller value wins."""
        return self.kind != "score" or bool(self.traits["lower_is_better"])

    @property
    def unit(self) -> str:
        """What differences are told in: ``points`` of a share, ``ratio`` of costs, or its own unit."""
        if self.kind == "cost":
            return "ratio"
        return self.traits["unit"] if self.kind == "score" and self.traits["unit"] != "share" else "points"

    @property
    def scale(self) -> tuple[float, float]:
        """What no value can leave: of a share 0 to 1, of agreement beyond chance, or a gap, −1 to 1.

        Nothing is known of metrics from outside.
        """
        if self.kind == "gap":
            return -1.0, 1.0
        if self.kind != "score" or self.unit != "points" or metrics[self.score].origin:
            return OPEN
        return -1.0 if self.traits.get("chance") == 0.0 else 0.0, 1.0


def parse(metric: str, sets: Sequence[str]) -> Measure:
    """``local.accuracy``, ``<hidden>.<score>``, ``gap.<hidden>``, ``cost.seconds|epochs`` or ``seed_sd``.

    A score may be on a slice: ``local.accuracy where scanner is B``.
    """
    metric, part = apart(metric)
    left, _, right = metric.partition(".")
    if metric == "seed_sd":
        return Measure("seed_sd")
    if left == "cost":
        return Measure("cost", score=right) if right in ("seconds", "epochs") else Measure("unknown")
    if left == "gap":
        return Measure("gap", right) if right in sets and right != TEST else Measure("unknown")
    left = TEST if left == LOCAL else left
    return Measure("score", left, right, slice=part) if left in sets and right else Measure("unknown")
