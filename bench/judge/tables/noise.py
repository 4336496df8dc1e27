"""How much comparisons vary: what ``bench plan`` tells another study of what it can detect."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Document
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import Outcome
from bench.judge.tables.table import PERCENT, Column, Table, filed
from bench.plan import TEST
from bench.planned import PlanFile
from bench.study.read import Study


@dataclass(frozen=True)
class Noise:
    """How much comparisons with the baseline vary on one set: what planning another study takes."""

    set: str
    key: str
    metric: str
    sigma: float
    """Sd over seeds of a difference of means, as a fraction; root mean square over the arms."""
    f: float
    """N·max(0, V_item − V_int), mean over the arms."""
    seeds: int
    """Fewest paired seeds of these comparisons."""
    images: int
    luck: float | None
    """Half the width of the band that the largest of equal arms' differences stays in; see ``by_luck``."""


def table(d: Document, cost: bool) -> Table | None:
    """A row for each set."""
    columns = (
        Column("set", "set", "name", lambda row: row.set),
        Column("metric", "metric", "text", lambda row: row.metric),
        filed("key", lambda row: row.key),
        Column("sigma", "σ, points", "number", lambda row: row.sigma, PERCENT, 2),
        Column("f", "f", "number", lambda row: row.f, digits=3),
        Column("luck", "largest by luck, points", "number", lambda row: row.luck, PERCENT, 2),
        Column("seeds", "seeds", "count", lambda row: row.seeds),
        Column("images", "images", "number", lambda row: row.images, digits=0),
    )
    note = (
        "Of the differences to the baseline. σ: standard deviation over seeds; f: what single images add to "
        "their variance, times the images. From these bench plan tells what another study of the same "
        "images detects. Largest by luck: were all arms equal, the largest of their differences to the "
        "baseline would stay within this of 0, 95 times in 100, by seeds alone, with the pooled spread of "
        "all arms."
    )
    return Table("Noise", columns, d.noise, note) if d.noise else None


def measure_noise(study: Study, plan: PlanFile, evidence: Evidence) -> Iterable[Noise]:
    """Variances of the finished comparisons with the baseline, by set; folds have others."""
    if study.folds is not None:
        return
    arms = sorted(study.arms, key=lambda arm: arm.label != study.baseline)
    others = [arm.label for arm in arms[1:]]
    keys = {name: key for arm in plan.arms for trial in arm.trials for name, key in trial.sets.items()}
    primary = parse(study.primary, study.sets)
    metrics = [Measure("score", name) for name in study.sets]
    for metric in dict.fromkeys([*metrics, *([primary] if primary.kind == "score" else [])]):
        contrasts = [evidence.contrast(label, study.baseline, metric) for label in others]
        intervals = (contrast.of_pairs or contrast.of_finished for contrast in contrasts)
        found = [one for one in intervals if one and one.seeds >= stats.FEWEST_SEEDS]
        if found:
            sigma, f = zip(*map(stats.measured, found), strict=True)
            yield Noise(
                set=LOCAL if metric.set == TEST else metric.set,
                key=keys[metric.set],
                metric=metric.score,
                sigma=math.sqrt(statistics.fmean(one**2 for one in sigma)),
                f=statistics.fmean(f),
                seeds=min(interval.seeds for interval in found),
                images=found[0].items,
                luck=by_luck([evidence.outcomes[arm.label] for arm in arms], metric),
            )


def by_luck(arms: Sequence[Sequence[Outcome]], metric: Measure) -> float | None:
    """How far the largest of equal arms would differ from the first, 95 times in 100, by seeds alone.

    arms   trials of each, the baseline's first; those of which fewer than two seeds finished are left out

    As a fraction, in the metric's unit. None with fewer than three seeds of the baseline.
    """
    called = LOCAL if metric.set == TEST else metric.set
    scores = ([o.score(called, metric.score) for o in trials] for trials in arms)
    known = [np.array([value for value in values if value is not None]) for values in scores]
    if not known or len(known[0]) < stats.FEWEST_SEEDS:
        return None
    enough = [values for values in known if len(values) > 1]
    return stats.largest_by_luck(enough) if len(enough) > 1 else None
