"""How far the chosen candidate of a search is ahead of the runner-up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.store import UNREADABLE, VALIDATION, Predictions, Store
from bench.tune.candidates import Standing, goodness, ranked

ACCURACY = "val.accuracy"
"""The metric of which a difference is a number of images."""


@dataclass(frozen=True)
class Lead:
    """The best candidate's lead over the second, mean over the seeds that both were trained with."""

    over: int
    """Number of the runner-up."""
    by: float
    """In the metric, 0 or more."""
    images: float | None
    """The same in validation images of one seed; None for another metric, or where none were kept."""
    errors: float | None
    """In standard errors; None where one seed without kept predictions does not tell."""

    @property
    def tie(self) -> bool:
        """Under one standard error: another seed or other images may well turn it."""
        return self.errors is not None and round(self.errors, 6) < 1


def lead(looked: Sequence[Standing], metric: str, store: Store) -> Lead | None:
    """Of the candidates (or finalists) that chose; None where fewer than two are done.

    The standard error is the larger of that over seeds, paired, and that over images, from how many the two
    disagree on (McNemar): with few seeds their spread may be small by chance.
    """
    first, second = [*ranked(looked, metric), None, None][:2]
    if first is None or second is None:
        return None
    each = [
        goodness(a, metric) - goodness(b, metric) for a, b in zip(first.by_seed, second.by_seed, strict=True)
    ]
    by, errors = max(statistics.fmean(each), 0.0), []
    if len(each) > 1:
        errors.append(statistics.stdev(each) / math.sqrt(len(each)))
    count, disagree = _images(first, second, store) if metric == ACCURACY else (0, 0)
    seeds = len(each)
    if count:
        errors.append(math.sqrt(disagree) / count)
    error = max(errors, default=None)
    ahead = None if error is None else 0.0 if by == 0 else by / error if error else math.inf
    return Lead(second.candidate.number, by, by * count / seeds if count else None, ahead)


def _images(first: Standing, second: Standing, store: Store) -> tuple[int, int]:
    """Validation images of all seeds, and on how many just one of the two is right; (0, 0) if not kept."""
    count = disagree = 0
    for one, other in zip(first.candidate.trials, second.candidate.trials, strict=True):
        said = [_validation(trial.id, store) for trial in (one, other)]
        if said[0] is None or said[1] is None or not np.array_equal(said[0].ids, said[1].ids):
            return 0, 0
        right = [each.probabilities.argmax(axis=1) == each.labels for each in said if each]
        count, disagree = count + len(right[0]), disagree + int((right[0] != right[1]).sum())
    return count, disagree


def _validation(id: str, store: Store) -> Predictions | None:
    try:
        return store.predictions(id, (VALIDATION,)).get(VALIDATION)
    except UNREADABLE:
        return None
