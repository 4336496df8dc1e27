"""Claims as a study writes them, and what comparisons each of them is about."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import did_you_mean
from bench.recipe import Frozen
from bench.registry import metrics
from bench.study.arms import Arms
from bench.study.effects import EffectClaims, EffectError
from bench.study.file import ClaimTable, Criterion, Expectation
from bench.study.metric import apart, metric_problem, on, slice_problem
from bench.study.ordered import Ordered, claimed
from bench.study.patch import Tree

Add = Callable[[str, Any, str], None]
"""Notes a mistake: where it stands, what was found there, what is wrong with it."""
Sides = tuple[tuple[str, ...], tuple[str, ...]]
"""``better`` and ``than`` of a claim."""


class Claim(Frozen):
    """A statement the report judges. ``better`` and ``than`` are arm labels: lists and globs are expanded.

    Of an effect of factors they are its sides, as ``study.effects`` calls them; of levels, a line's ends.
    """

    says: str
    better: tuple[str, ...]
    than: tuple[str, ...] = ()
    metric: str
    """``local.accuracy``, ``<hidden>.accuracy``, ``gap.<hidden>``, ``cost.seconds``, ``seed_sd``, …"""
    expect: Expectation = "better"
    margin: float = 0.0
    criterion: Criterion | None = None
    """Of ``does not converge``: what a seed that converges reaches."""


@dataclass
class Claims:
    """Reads the claims of one study."""

    table: Tree
    """The study as it is written."""
    built: Arms
    sets: Sequence[str]
    """Whose scores can be asked for: ``local`` where there are local test images, then hidden sets."""
    ordered: Sequence[Ordered]
    primary: str
    add: Add
    _effects: EffectClaims | None = None

    def read(self, place: str, claim: ClaimTable) -> Claim:
        """What a claim compares, with a mistake added for everything that it cannot.

        place   its heading in the file
        """
        unconverged = claim.expect == "does not converge"
        metric = claim.metric or ("converged" if unconverged else self.primary)
        if claim.metric and (problem := metric_problem(metric, self.sets, "converged")):
            self.add(f"{place} metric", metric, problem)
        if unconverged != (metric == "converged"):
            self.add(f"{place} metric", metric, '"converged" and expect = "does not converge" go together')
        elif claim.slice is not None:
            ((column, value),) = claim.slice.items()
            if problem := slice_problem(metric, (column, value), self.sets, self.table):
                self.add(f"{place} slice", column, problem)
            metric = on(metric, column, value)
        if claim.over is not None:
            better, than = self._trend(f"{place} over", claim, metric)
        elif claim.effect is not None:
            better, than = self._effect(f"{place} effect", claim.effect)
        else:
            better, than = self._arms(place, claim)
        written = {key: getattr(claim, key) for key in ("says", "expect", "margin", "criterion")}
        return Claim(better=better, than=than, metric=metric, **written)

    def _arms(self, place: str, claim: ClaimTable) -> Sides:
        better = labels_of(f"{place} better", claim.better or [], self.built, self.add)
        than = labels_of(f"{place} than", claim.than, self.built, self.add) if claim.than is not None else ()
        if better == than and len(better) == 1:
            self.add(f"{place} than", claim.than, "compares an arm with itself")
        return better, than

    def _effect(self, place: str, wanted: str | list[str]) -> Sides:
        """Of a factor, or of two; nothing when nobody knows the arms."""
        built = self.built
        if built.labels is None or len(built.arms) < len(built.labels) or built.baseline not in built.labels:
            return (), ()
        design = self.table.get("design", "grid") if "factors" in self.table else "arms"
        self._effects = self._effects or EffectClaims(design, built)
        try:
            return self._effects.sides([wanted] if isinstance(wanted, str) else wanted)
        except EffectError as error:
            self.add(place, error.found, str(error))
            return (), ()

    def _trend(self, place: str, claim: ClaimTable, metric: str) -> Sides:
        """Over levels; a value that falls is better where less is."""
        score = apart(metric)[0].partition(".")[2]
        less = metric.startswith(("cost.", "gap.")) or (
            score in metrics and metrics[score].traits["lower_is_better"]
        )
        try:
            return claimed(claim.over or "", self.ordered, falls=(claim.expect == "falls") != less)
        except ValueError as error:
            if len(self.ordered) == len(self.table.get("ordered", [])):  # else that is the mistake
                self.add(place, claim.over, str(error))
            return (), ()


def labels_of(place: str, wanted: str | list[str], built: Arms, add: Add) -> tuple[str, ...]:
    """Arms that a name, a list of names or globs mean; nothing is said when nobody knows the arms."""
    if built.labels is None:
        return ()
    found: list[str] = []
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        known = built.labels
        matches = (
            [pattern] if pattern in known else [one for one in known if fnmatch.fnmatchcase(one, pattern)]
        )
        if not matches:
            add(place, pattern, f"no such arm; {did_you_mean(pattern, known)}")
        found += matches
    if not wanted:
        add(place, wanted, "names no arm")
    return tuple(dict.fromkeys(found))
