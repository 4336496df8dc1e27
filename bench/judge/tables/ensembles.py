"""Ensembles: the probabilities of an arm's finished seeds, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.findings import LOCAL, Document, Mean
from bench.judge.outcomes import Outcome, Outcomes, said
from bench.judge.tables.table import PERCENT, Column, Table, arm_column
from bench.plan import TEST
from bench.store import Predictions, Store
from bench.study.read import Study


@dataclass(frozen=True)
class EnsembleRow:
    """Probabilities of one arm's finished seeds, averaged."""

    name: str
    arm: str
    seeds: int
    scores: tuple[float | None, ...]
    """Accuracy on local, where there is a local test set, then each hidden set."""
    members: tuple[Mean | None, ...]
    """Accuracy of the same seeds alone."""


def table(d: Document, cost: bool) -> Table | None:
    """What the seeds of an arm know together, and alone."""
    columns = [
        Column("ensemble", "ensemble", "name", lambda row: row.name),
        arm_column(d),
        Column("seeds", "seeds", "count", lambda row: row.seeds),
        *(column for i, name in enumerate(d.sets) for column in _on(d, i, name)),
    ]
    note = (
        "Accuracy of the averaged probabilities; alone: the mean accuracy of the same seeds by themselves. "
        "One draw each: no interval, no verdict. It costs as many forward passes as it has seeds."
    )
    return Table("Ensembles", columns, d.ensembles, note) if d.ensembles else None


def _on(d: Document, i: int, name: str) -> tuple[Column, Column]:
    heading = f"{name} % {d.counted(name)}".strip()
    return (
        Column(name, heading, "number", lambda row: row.scores[i], PERCENT),
        Column(f"{name}_alone", "alone %", "average", lambda row: row.members[i], PERCENT),
    )


def rows(study: Study, outcomes: Outcomes, store: Store) -> tuple[EnsembleRow, ...]:
    """Every ensemble of the study, with its members' mean beside it. One draw each, so no interval."""
    return tuple(
        _row(name, ensemble.arm, study, outcomes[ensemble.arm], store)
        for name, ensemble in study.ensembles.items()
    )


def _row(name: str, arm: str, study: Study, trials: Sequence[Outcome], store: Store) -> EnsembleRow:
    done = [o for o in trials if o.state == "done" and o.planned.fold is None]
    known = [(o, said(o, store)) for o in done]
    scores = []
    for one in study.sets:
        found = [p[key] for o, p in known if (key := o.planned.sets.get(one, "")) in p]
        scores.append(_together(found) if len(found) == len(done) else None)
    members = (Mean.over(o.score(one, "accuracy") for o in trials) for one in _called(study))
    return EnsembleRow(name, arm, len(done), tuple(scores), tuple(members))


def _called(study: Study) -> list[str]:
    return [LOCAL if name == TEST else name for name in study.sets]


def _together(found: Sequence[Predictions]) -> float | None:
    """Accuracy of the mean of the members' probabilities."""
    if not found or any(not np.array_equal(p.ids, found[0].ids) for p in found):
        return None
    mean = np.mean([p.probabilities.astype(np.float64) for p in found], axis=0)
    return float((mean.argmax(1) == found[0].labels).mean())
