"""Scores by scanner, site or age band: where an arm is good and where not, undeclared."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Document, Effect, Mean
from bench.judge.measure import Measure, parse
from bench.judge.tables.asked import Asked, row
from bench.judge.tables.table import PERCENT, Column, Table, arm_column, filed
from bench.plan import TEST
from bench.slices import Sliced
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
        "Exploratory: verdicts are on slices that a claim declared before the scores were there, and of many "
        f"slices some differ by luck. Per cent, mean over finished {d.over}; n: images, copies counted once; "
        f"± is half the 95 % interval over new {d.over} and new images of the slice, [ ] that of the "
        f"difference; neither under {FEWEST} images, nor where under {FEWEST} count against an arm, or tell "
        "two apart, nor where leaving an image out would leave no class to a score. Worst "
        f"slice: of an arm, among those with at least {FEWEST} images."
    )
    return Table("Slices", columns, d.slices, note) if d.slices else None


def rows(study: Study, evidence: Evidence, order: Sequence[str]) -> tuple[SliceRow, ...]:
    """Every slice of every set that has some, of every arm in ``order``."""
    primary = parse(study.primary, study.sets)
    found: list[SliceRow] = []
    for name in study.sets:
        sliced = evidence.sliced.get(study.sliced_as(name))
        if sliced is not None:
            decides = primary.kind == "score" and primary.set == name and primary.unit == "points"
            measure = Measure("score", name, primary.score if decides else "accuracy")
            columns = (_by(sliced, column, measure, evidence, order) for column in sliced.names)
            found += itertools.chain(*columns)
    return tuple(found)


def _by(
    sliced: Sliced, column: str, measure: Measure, evidence: Evidence, order: Sequence[str]
) -> list[SliceRow]:
    """A row for each value of a column that some images have, and each arm."""
    found: list[SliceRow] = []
    trials = [o for each in evidence.outcomes.values() for o in each]
    for place, value in enumerate(sliced.names[column]):
        part = evidence.part(measure, sliced.of(column, place))
        images, _ = part.rows.size(trials, measure.set)
        tell = row if images >= FEWEST and part.rows.whole(trials, measure) else _of_few
        for arm in order if images else ():
            found.append(SliceRow(column, value, images, tell(measure, arm, evidence.study.baseline, part)))
    known = [one for one in found if one.images >= FEWEST and one.of.value]
    return [replace(one, worst=one in known and _is_worst(one, known)) for one in found]


def _is_worst(one: SliceRow, known: Sequence[SliceRow]) -> bool:
    """Whether its arm does better in some slice, and in none worse."""
    means = [other.of.value.mean for other in known if other.of.arm == one.of.arm and other.of.value]
    return one.of.value is not None and min(means) == one.of.value.mean < max(means)


def _of_few(measure: Measure, arm: str, baseline: str, evidence: Evidence) -> Asked:
    """Means alone: no interval is told of so few images, nor where a class has one of them."""
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
