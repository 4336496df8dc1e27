"""Ensembles: the probabilities of an arm's finished seeds, averaged."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from bench.judge.findings import EnsembleRow
from bench.judge.outcomes import Outcome, Outcomes
from bench.plan import TEST
from bench.store import UNREADABLE, Predictions, Store
from bench.study.read import Study


def rows(study: Study, outcomes: Outcomes, store: Store) -> tuple[EnsembleRow, ...]:
    """Every ensemble of the study, with its members' mean beside it. One draw each, so no interval."""
    return tuple(
        _row(name, ensemble.arm, study, outcomes[ensemble.arm], store)
        for name, ensemble in study.ensembles.items()
    )


def _row(name: str, arm: str, study: Study, trials: Sequence[Outcome], store: Store) -> EnsembleRow:
    done = [o for o in trials if o.state == "done" and o.planned.fold is None]
    said = [(o, _said(o, store)) for o in done]
    scores: list[float | None] = []
    members: list[float | None] = []
    for one in (TEST, *study.hidden):
        found = [p[key] for o, p in said if (key := o.planned.sets.get(one, "")) in p]
        together, alone = _accuracies(found) if len(found) == len(done) else (None, None)
        scores.append(together)
        members.append(alone)
    return EnsembleRow(name, arm, len(done), tuple(scores), tuple(members))


def _said(outcome: Outcome, store: Store) -> dict[str, Predictions]:
    """What a trial said; nothing where its file is damaged, which the report tells elsewhere."""
    try:
        return store.predictions(outcome.planned.id)
    except UNREADABLE:
        return {}


def _accuracies(found: Sequence[Predictions]) -> tuple[float | None, float | None]:
    """Accuracy of the mean of the members' probabilities, and the mean of their accuracies."""
    if not found or any(not np.array_equal(p.ids, found[0].ids) for p in found):
        return None, None
    mean = np.mean([p.probabilities.astype(np.float64) for p in found], axis=0)
    labels = found[0].labels
    alone = [float((p.probabilities.argmax(1) == labels).mean()) for p in found]
    return float((mean.argmax(1) == labels).mean()), statistics.fmean(alone)
