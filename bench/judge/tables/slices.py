"""Scores by scanner, site or age band: where an arm is good and where not, undeclared."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Document, Effect, Mean
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import Outcomes, said
from bench.judge.tables.asked import Asked, row
from bench.judge.tables.table import PERCENT, Column, Table, arm_column, filed
from bench.plan import TEST
from bench.slices import Sliced
from bench.store import Predictions, Store
from bench.study.read import Study

FEWEST = stats.FEWEST_DISAGREEMENTS
"""Images of a slice, for an interval and for being called the worst one."""


@dataclass(frozen=True)
class SliceRow:
    """One arm on the images of a set that have one value in a column."""

    column: str
    value: str
    images: int
    of: Asked
    worst: bool = False
    """The arm does nowhere worse, by this column, among slices with enough images."""


def table(d: Document, cost: bool) -> Table | None:
    """A row for each set, slice and arm."""
    columns = (
        Column("set", "set", "text", lambda one: one.of.set),
        Column("slice", "slice", "name", lambda one: f"{one.column}: {one.value}", where="print"),
        filed("column", lambda one: one.column),
        filed("value", lambda one: one.value),
        Column("images", "n", "count", lambda one: one.images),
        arm_column(d, lambda one: one.of.arm),
        Column("score", "score", "text", lambda one: one.of.score.replace("_", " ")),
        Column("mean", "%", "within", lambda one: one.of.value, PERCENT, missing="undefined", stem=""),
        Column("effect", "Δ vs baseline", "effect", lambda one: one.of.effect),
        Column("worst", "worst slice", "text", lambda one: "worst" if one.worst else None, missing=""),
    )
    note = (
        "Exploratory: no slice was declared before the scores were there, so none has a verdict, and of many "
        f"slices some differ by luck. Per cent, mean over finished {d.over}; n: images, copies counted once; "
        f"± is half the 95 % interval over new {d.over} and new images of the slice, [ ] that of the "
        f"difference; neither under {FEWEST} images, nor where under {FEWEST} count against an arm. Worst "
        f"slice: of an arm, among those with at least {FEWEST} images."
    )
    return Table("Slices", columns, d.slices, note) if d.slices else None


def rows(study: Study, outcomes: Outcomes, store: Store, order: Sequence[str]) -> tuple[SliceRow, ...]:
    """Every slice of every set that has some, of every arm in ``order``."""
    known = store.slices(study.name) if study.slices else {}
    primary = parse(study.primary, study.sets)
    found: list[SliceRow] = []
    for name in study.sets:
        sliced = known.get(_origin(study, name))
        if sliced is not None:
            decides = primary.kind == "score" and primary.set == name and primary.unit == "points"
            measure = Measure("score", name, primary.score if decides else "accuracy")
            whole = _Whole(study, outcomes, store, measure, order)
            found += itertools.chain(*(whole.by(sliced, column) for column in sliced.names))
    return tuple(found)


def _origin(study: Study, name: str) -> str:
    """The set that a set's images are of, as ``[slices]`` calls it."""
    corrupted = name in study.hidden and study.hidden[name].kind == "corrupted"
    return LOCAL if name == TEST or corrupted else name


class _Whole:
    """One score of one set, before its images are told apart."""

    def __init__(
        self, study: Study, outcomes: Outcomes, store: Store, measure: Measure, order: Sequence[str]
    ) -> None:
        self.study, self.outcomes, self.measure, self.order = study, outcomes, measure, order
        self.root = store.root
        self.trials = [o for each in outcomes.values() for o in each]
        keys = {o.planned.id: o.planned.sets.get(measure.set, "") for o in self.trials if o.state == "done"}
        every = {o.planned.id: said(o, store) for o in self.trials if o.planned.id in keys}
        self.said = {id: {key: every[id][key]} for id, key in keys.items() if key in every[id]}

    def by(self, sliced: Sliced, column: str) -> list[SliceRow]:
        """A row for each value of a column that some images have, and each arm."""
        found: list[SliceRow] = []
        for place, value in enumerate(sliced.names[column]):
            part = _Part(self.root, self.said, sliced.of(column, place))
            evidence = Evidence(self.study, self.outcomes, part, {self.measure.set: (self.measure.score,)})
            images, _ = evidence.rows.size(self.trials, self.measure.set)
            tell = row if images >= FEWEST else _of_few
            for arm in self.order if images else ():
                of = tell(self.measure, arm, self.study.baseline, evidence)
                found.append(SliceRow(column, value, images, of))
        known = [one for one in found if one.images >= FEWEST and one.of.value]
        return [replace(one, worst=one in known and _is_worst(one, known)) for one in found]


def _is_worst(one: SliceRow, known: Sequence[SliceRow]) -> bool:
    """Whether its arm does better in some slice, and in none worse."""
    means = [other.of.value.mean for other in known if other.of.arm == one.of.arm and other.of.value]
    return one.of.value is not None and min(means) == one.of.value.mean < max(means)


class _Part(Store):
    """A store in which trials have answered for some images only."""

    def __init__(
        self, root: Path, whole: Mapping[str, Mapping[str, Predictions]], ids: NDArray[np.uint64]
    ) -> None:
        """whole: trial → key of a set → what was said of all of it."""
        super().__init__(root)
        self._whole, self._ids = whole, ids

    def predictions(self, id: str, wanted: Container[str] | None = None) -> dict[str, Predictions]:
        """Of a set none of whose images are left, nothing."""
        told = {key: said for key, said in self._whole.get(id, {}).items() if wanted is None or key in wanted}
        parts = {key: _only(said, self._ids) for key, said in told.items()}
        return {key: part for key, part in parts.items() if len(part.ids)}


def _only(said: Predictions, ids: NDArray[np.uint64]) -> Predictions:
    chosen = np.isin(said.ids, ids)
    return Predictions(
        said.probabilities[chosen],
        said.labels[chosen],
        said.ids[chosen],
        None if said.conditions is None else said.conditions[chosen],
        said.condition_names,
        groups=None if said.groups is None else said.groups[chosen],
    )


def _of_few(measure: Measure, arm: str, baseline: str, evidence: Evidence) -> Asked:
    """Means alone: no interval is told of so few images."""
    of_arm, of_base = (
        {o.replicate: evidence.value(o, measure) for o in evidence.outcomes[name]} for name in (arm, baseline)
    )
    both = [(value, of_base.get(at)) for at, value in of_arm.items()]
    apart = [value - other for value, other in both if value is not None and other is not None]
    mean = statistics.fmean(apart) if apart and arm != baseline else None
    effect = None if mean is None else Effect(mean, mean, mean, few=True)
    trials = [o for each in evidence.outcomes.values() for o in each]
    value = Mean.over(evidence.value(o, measure) for o in evidence.outcomes[arm])
    called = LOCAL if measure.set == TEST else measure.set
    return Asked(called, measure.score, arm, evidence.rows.width(trials, measure), value, effect)
