"""The intervals of one number per trial and item: over seeds and items, or over folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench import stats
from bench.judge.outcomes import Outcome
from bench.judge.rows import Doubles
from bench.study.file import Folds

Row = tuple[Outcome, ...]
"""One replicate of several arms; of a pair (reference, arm)."""


@dataclass(frozen=True)
class Cells:
    """Trials of several arms, replicate by replicate, and what is added up of them: Σ weight · score."""

    weights: tuple[float, ...]
    """Of each arm; they add up to 0. Of a reference and an arm −1 and 1."""
    rows: tuple[Row, ...]
    further: tuple[Outcome, ...] = ()
    """Trials of one arm that no other arm has the replicates of."""
    further_of: int = 0
    """Its place."""

    def keep(self, wanted: Callable[[Row], bool]) -> Cells:
        """Some of the replicates."""
        return replace(self, rows=tuple(filter(wanted, self.rows)))

    @property
    def done(self) -> Cells:
        """The replicates that finished in every arm."""
        return self.keep(lambda row: all(o.state == "done" for o in row))

    @property
    def last(self) -> list[Outcome]:
        """One trial of each replicate."""
        return [row[-1] for row in self.rows]

    def side(self, sign: int) -> list[int]:
        """Places of the arms whose weight is above 0, or below."""
        return [i for i, weight in enumerate(self.weights) if weight * sign > 0]

    def diverged(self, sign: int) -> int:
        """Replicates in which an arm on that side diverged."""
        more = sum(o.state == "diverged" for o in self.further if self.further_of in self.side(sign))
        return more + sum(any(row[i].state == "diverged" for i in self.side(sign)) for row in self.rows)

    def little(self, place: int) -> tuple[int, int]:
        """Finished trials in which one arm learned little, and all of its finished ones."""
        trials = [*(row[place] for row in self.rows), *(self.further if place == self.further_of else ())]
        done = [o for o in trials if o.state == "done"]
        return sum(bool(o.little_learned) for o in done), len(done)

    def most_little(self, sign: int) -> int:
        """Of the arm on that side that did it most often."""
        return max((self.little(i)[0] for i in self.side(sign)), default=0)


def interval(
    rows: Sequence[Doubles], of: Sequence[Outcome], name: str, folds: Folds | None
) -> stats.Interval | None:
    """The interval over rows of trials on a set; with folds, over folds (seeds averaged first).

    A fold's own images (its local test set, and what is corrupted of it) are inside its mean; a set that
    every fold's model scored has rows of the same images.
    """
    if folds is None:
        return stats.two_way(np.stack(rows)) if len(rows) > 1 and len(rows[0]) > 1 else None
    by_fold: dict[int | None, list[Doubles]] = {}
    for outcome, row in zip(of, rows, strict=True):
        by_fold.setdefault(outcome.planned.fold, []).append(row)
    averaged = [np.mean(group, axis=0) for group in by_fold.values()]
    if len(averaged) < 2:
        return None
    if _apart(of, name):
        # Images of test to images of training: n/k to n·(k − 1)/k.
        return stats.fold_interval(np.array([row.mean() for row in averaged]), 1 / (folds.k - 1))
    if len(averaged[0]) < 2:
        return None
    return stats.two_way(np.stack(averaged), inflation=1 + len(averaged) / (folds.k - 1))


def gap_interval(
    local: Sequence[Doubles],
    hidden: Sequence[Doubles],
    of: Sequence[Outcome],
    name: str,
    folds: Folds | None,
) -> stats.Interval | None:
    """The interval of local − hidden, over rows of the same trials. Both sets' item terms are added.

    With folds the local images are inside their fold's mean, so that the hidden set's terms are left:
    the fold's local mean minus each hidden image has just those.
    """
    if folds is not None:
        rows = [mine.mean() - there for mine, there in zip(local, hidden, strict=True)]
        return interval(rows, of, name, folds)
    if len(of) < 2 or min(len(local[0]), len(hidden[0])) < 2:
        return None
    return stats.difference_of_gaps(np.stack(local), np.stack(hidden))


def _apart(trials: Sequence[Outcome], name: str) -> bool:
    """Whether a set holds other images in other trials, as the folds of a cross-validation do."""
    return len({o.planned.sets.get(name) for o in trials}) > 1
