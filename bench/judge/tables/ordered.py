"""Levels in an order: what the line through them says, whether they bend, which may be the best."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from bench import stats
from bench.judge.contrast import Contrast
from bench.judge.evidence import Evidence
from bench.judge.factorial import by_arm
from bench.judge.findings import Document, Effect
from bench.judge.measure import Measure, parse
from bench.judge.tables.table import Column, Table
from bench.stats.intervals import Doubles
from bench.study.ordered import Ordered
from bench.study.read import Study


@dataclass(frozen=True)
class Trend:
    """What the levels of one ordered factor say on the primary metric."""

    name: str
    levels: tuple[str, ...]
    line: Effect | None
    """What the straight line rises by from the first level to the last, pointwise."""
    bend: Effect | None
    """How far the parabola lies higher in the middle than at its ends, pointwise."""
    best: str | None
    """The level that was seen to be best; None where one was not judged."""
    among: tuple[str, ...]
    """Levels that cannot be told from the best."""
    seeds: int
    blocks: int
    """Settings of the other factors that levels are averaged over."""
    steps: tuple[Effect | None, ...] = ()
    """Each level minus the first, pointwise; None of the first, and where it cannot be told."""


def find_trends(study: Study, evidence: Evidence) -> tuple[Trend, ...]:
    """Of everything that the study calls ordered."""
    metric = parse(study.primary, study.sets)
    return tuple(_trend(one, evidence, metric) for one in study.ordered)


def _trend(one: Ordered, evidence: Evidence, metric: Measure) -> Trend:
    count = len(one.levels)

    def weighed(weights: Doubles) -> Contrast:
        return evidence.weighed(by_arm(one, weights), metric)

    @functools.cache
    def apart(i: int, j: int) -> Contrast:
        pair = by_arm(one, np.eye(count)[i] - np.eye(count)[j])
        return evidence.weighed({arm: weight for arm, weight in pair.items() if weight}, metric)

    def compared(i: int, j: int) -> stats.Interval | None:
        """Level i minus level j, turned so that above 0 is better; None where it cannot be tested."""
        contrast = apart(i, j)
        test = contrast.test
        if not isinstance(test, stats.Interval) or contrast.reason or _hit(contrast):
            return None
        return replace(test, mean=-test.mean) if metric.lower_is_better else test

    line, bend = weighed(stats.line(count)), weighed(stats.bend(count))
    against = [compared(i, 0) for i in range(1, count)]
    gains = [0.0, *(test.mean for test in against if test is not None)]
    known = len(gains) == count
    return Trend(
        one.name,
        one.levels,
        _effect(line, metric),
        _effect(bend, metric),
        one.levels[int(np.argmax(gains))] if known else None,
        tuple(one.levels[k] for k in stats.among_best(count, compared)) if known else (),
        line.of_finished.seeds if line.of_finished else line.seeds,
        len(one.blocks),
        (None, *(_effect(apart(i, 0), metric) for i in range(1, count))),
    )


def _effect(contrast: Contrast, metric: Measure) -> Effect | None:
    return Effect.of(contrast.of_finished, metric.unit, few=contrast.few)


def _hit(contrast: Contrast) -> bool:
    """Whether seeds diverged: chance is in its mean then."""
    return bool(contrast.diverged or contrast.diverged_reference)


def table(d: Document, cost: bool) -> Table | None:
    """A row for each ordered factor."""
    if not d.trends:
        return None
    columns = (
        Column("factor", "ordered", "name", lambda one: one.name),
        Column("levels", "levels", "prose", lambda one: ", ".join(one.levels)),
        Column("line", "line, first to last", "effect", lambda one: one.line),
        Column("bend", "bend", "effect", lambda one: one.bend),
        Column("best", "best seen", "text", lambda one: one.best),
        Column("among", "not told from the best", "prose", lambda one: ", ".join(one.among) or None),
        Column("blocks", "settings of the others", "count", lambda one: one.blocks),
        Column("seeds", d.over, "count", lambda one: one.seeds),
    )
    note = (
        f"{d.unit.capitalize()} of {d.rules.primary}. Line: what the straight line through the levels' means "
        "rises by, from the first level to the last; levels count as one step apart. Bend: how far the "
        "parabola through them lies higher in the middle than at its ends. Both pointwise, no verdict. Not "
        "told from the best: levels that no other is seen to be better than, corrected for the number of "
        "levels; the best one is among them in at least 95 of 100 such studies. The best seen need not be it."
    )
    return Table("Ordered levels", columns, d.trends, note)
