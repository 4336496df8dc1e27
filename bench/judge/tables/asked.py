"""Scores that a study asks for beside those of every table: of the clinic, of named classes, at a level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Document, Effect, Mean
from bench.judge.measure import Measure, parse
from bench.judge.tables.table import PERCENT, Column, Table, arm_column
from bench.plan import TEST
from bench.registry import metrics
from bench.study.read import Study


@dataclass(frozen=True)
class Asked:
    """One such score of one arm."""

    set: str
    score: str
    arm: str
    items: int
    """Images, or groups of them, that it rests on: of a sensitivity the positive ones."""
    value: Mean | None
    effect: Effect | None
    """Against the baseline; None for the baseline."""


def table(d: Document, cost: bool) -> Table | None:
    """A row for each score, set and arm."""
    columns = (
        Column("score", "score", "name", lambda row: row.score),
        Column("set", "set", "text", lambda row: row.set),
        Column("items", "n", "count", lambda row: row.items),
        arm_column(d),
        Column("value", "value", "within", lambda row: row.value, PERCENT, missing="undefined", stem=""),
        Column("effect", "Δ vs baseline", "effect", lambda row: row.effect),
    )
    note = (
        f"Per cent, mean over finished {d.over}; ± is half the 95 % interval over new {d.over} and new "
        "images, missing where under ten items count against an arm. n: items that a score rests on, of a "
        "sensitivity the positive ones. A level is reached on the scored images themselves. Δ is pointwise, "
        "and no verdict: only what was declared has one."
    )
    return Table("Scores asked for", columns, d.asked, note) if d.asked else None


def positives(study: Study, classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Which classes are asked about against the rest, each once; of two classes always the second.

    classes   the study's, in the order of the labels
    """
    every = (score for of in _of_sets(study, classes).values() for score in of)
    found = [named for score in every if (named := metrics.positive(score))]
    if not found and len(classes) == 2:
        found = [(classes[1],)]
    return list(dict.fromkeys(found))


def rows(study: Study, evidence: Evidence, order: Iterable[str], classes: Sequence[str]) -> tuple[Asked, ...]:
    """Every score asked for, on every set where it is, of every arm in ``order``."""
    arms = list(order)
    return tuple(
        row(Measure("score", name, score), arm, study.baseline, evidence)
        for name, scores in _of_sets(study, classes).items()
        for score in scores
        for arm in arms
    )


def _of_sets(study: Study, classes: Sequence[str]) -> dict[str, list[str]]:
    """Set of the plan → scores asked for on it, those of a class by name; ``study.scores`` on all."""
    sets = study.sets
    found = {
        name: [one for score in study.scores for one in metrics.of_each(score, classes)] for name in sets
    }
    for measure in _declared(study, sets):
        if measure.kind == "score" and measure.traits.get("asked"):
            found[measure.set].append(measure.score)
    return {name: list(dict.fromkeys(scores)) for name, scores in found.items()}


def _declared(study: Study, sets: Sequence[str]) -> Iterator[Measure]:
    for metric in (study.primary, *study.judged_by):
        yield parse(metric, sets)


def row(measure: Measure, arm: str, baseline: str, evidence: Evidence) -> Asked:
    """One score of one arm, and what it differs from the baseline's by."""
    interval = evidence.mean(arm, measure.set, measure.score)
    if evidence.few_wrong(arm, measure):
        interval = None
    effect = None
    if arm != baseline:
        contrast = evidence.contrast(arm, baseline, measure)
        effect = Effect.of(contrast.of_finished, few=contrast.few)
    value = Mean.over(
        (evidence.value(o, measure) for o in evidence.outcomes[arm]), interval, scale=measure.scale
    )
    trials = [o for each in evidence.outcomes.values() for o in each]
    called = LOCAL if measure.set == TEST else measure.set
    return Asked(called, measure.score, arm, evidence.rows.width(trials, measure), value, effect)
