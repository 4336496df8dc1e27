"""How much comparisons vary: what ``bench plan`` tells another study of what it can detect."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Document
from bench.judge.measure import Measure, parse
from bench.judge.tables.table import PERCENT, Column, Table, filed
from bench.plan import TEST, PlanFile
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


def table(d: Document, cost: bool) -> Table | None:
    """A row for each set."""
    columns = (
        Column("set", "set", "name", lambda row: row.set),
        Column("metric", "metric", "text", lambda row: row.metric),
        filed("key", lambda row: row.key),
        Column("sigma", "σ, points", "number", lambda row: row.sigma, PERCENT, 2),
        Column("f", "f", "number", lambda row: row.f, digits=3),
        Column("seeds", "seeds", "count", lambda row: row.seeds),
        Column("images", "images", "number", lambda row: row.images, digits=0),
    )
    note = (
        "Of the differences to the baseline. σ: standard deviation over seeds; f: what single images add to "
        "their variance, times the images. From these bench plan tells what another study of the same "
        "images detects."
    )
    return Table("Noise", columns, d.noise, note) if d.noise else None


def measure_noise(study: Study, plan: PlanFile, evidence: Evidence) -> Iterable[Noise]:
    """Variances of the finished comparisons with the baseline, by set; folds have others."""
    if study.folds is not None:
        return
    others = [arm.label for arm in study.arms if arm.label != study.baseline]
    keys = {name: key for arm in plan.arms for trial in arm.trials for name, key in trial.sets.items()}
    primary = parse(study.primary, [TEST, *study.hidden])
    metrics = [Measure("score", name) for name in (TEST, *study.hidden)]
    for metric in dict.fromkeys([*metrics, *([primary] if primary.kind == "score" else [])]):
        contrasts = [evidence.contrast(label, study.baseline, metric) for label in others]
        intervals = (contrast.of_finished for contrast in contrasts)
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
            )
