"""Cutting hopeless candidates short, in a way that can be repeated.

A pruner judges by candidates of earlier generations only, in their order, so what it says does not depend on
which of several trials happened to end first. What it cuts is told from records alone: a candidate that
another study trained to its end counts here as cut at the same evaluation.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bench.plan import Candidate, PlannedTrial
from bench.store import Record
from bench.study.file import Tune
from bench.tune.candidates import Standing, score, usable

History = Callable[[str], list[dict[str, Any]]]
Records = Mapping[str, Record | None]

ENOUGH = 3
"""Finished candidates before one is measured by them."""


@dataclass(frozen=True)
class Judged:
    """A candidate's standing under a pruner, and which of its trials are wanted next."""

    standing: Standing
    wanted: frozenset[str] = frozenset()
    floors: tuple[float, ...] = ()
    """What a wanted trial must reach by each evaluation."""


class Pruner(Protocol):
    """What a search asks about each candidate."""

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """How the candidate stands, given how it would stand without a pruner."""


def pruner(tune: Tune, told: Sequence[Standing], history: History) -> Pruner:
    """The study's pruner, knowing what candidates of earlier generations did."""
    if tune.pruner == "median":
        return Median(told, history)
    if tune.pruner == "wilcoxon":
        return Wilcoxon(tune, told)
    return Unpruned()


class Unpruned:
    """Every candidate is trained to its end."""

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """As it stands; wanted is what has no usable record."""
        return Judged(plain, _wanted(candidate, records) if plain.state == "missing" else frozenset())


class Median:
    """Cuts a candidate whose first seed is behind the median of earlier candidates at an evaluation.

    Behind: its best validation accuracy so far is below the median of theirs. Not at the first evaluation,
    and not before ENOUGH candidates have finished. Source: Golovin et al. 2017.
    """

    def __init__(self, told: Sequence[Standing], history: History) -> None:
        self._history = history
        done = [each.candidate.trials[0].id for each in told if each.state == "done"]
        courses = [course for id in done if (course := self._course(id))]  # a history may be damaged
        self.floors = _medians(courses) if len(courses) >= ENOUGH else ()

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """The other seeds are wanted once the first has kept up."""
        first, record = candidate.trials[0], records[candidate.trials[0].id]
        if record is None or (record.status != "pruned" and not usable(first, record)):
            return Judged(replace(plain, state="missing"), frozenset({first.id}), self.floors)
        course = self._course(first.id)
        behind = [best < floor for best, floor in zip(course, self.floors, strict=False)]
        if any(behind):
            why = f"behind the median at evaluation {behind.index(True) + 1}"
            seconds = sum(record.seconds.values())
            return Judged(Standing(candidate, "pruned", seconds=seconds, why=why, trial=first.id))
        if record.status == "pruned":  # by another search, which asked for more
            return Judged(replace(plain, state="missing"), frozenset({first.id}), self.floors)
        return Unpruned().judge(candidate, records, plain)

    def _course(self, id: str) -> list[float]:
        """Best validation accuracy by each evaluation."""
        return list(itertools.accumulate((entry["val_accuracy"] for entry in self._history(id)), max))


def _medians(courses: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Median over runs at each evaluation of the longest; one that ended early keeps its best."""
    longest = max(map(len, courses))
    held = [[*course, *[course[-1]] * (longest - len(course))] for course in courses]
    return (0.0, *(statistics.median(at) for at in list(zip(*held, strict=True))[1:]))


class Wilcoxon:
    """Cuts a candidate whose seeds are worse than the best earlier candidate's, pair by pair.

    Seeds are trained one after the other. Source: optuna.pruners.WilcoxonPruner.
    """

    def __init__(self, tune: Tune, told: Sequence[Standing]) -> None:
        self._tune = tune
        self._told = [each for each in told if each.state == "done"]

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """Wanted is the next seed, as long as those before it kept up."""
        if plain.state in ("failed", "diverged"):
            return Judged(plain)
        values: list[float] = []
        for trial in candidate.trials:
            record = records[trial.id]
            value = score(trial, record, self._tune.metric) if usable(trial, record) else None
            if value is None:
                return Judged(plain, _wanted(candidate, records, trial))
            values.append(value)
            if len(values) < len(candidate.trials) and self._behind(values):
                why = f"behind the best candidate over {len(values)} seeds"
                return Judged(replace(plain, state="pruned", value=None, why=why, trial=trial.id))
        return Judged(plain)

    def _behind(self, values: Sequence[float]) -> bool:
        if not self._told:
            return False
        from bench.tune.propose import behind_the_best  # imports optuna

        return behind_the_best(self._tune, self._told, values)


def _wanted(candidate: Candidate, records: Records, only: PlannedTrial | None = None) -> frozenset[str]:
    """Trials without a usable record; with ``only``, that one."""
    trials = candidate.trials if only is None else (only,)
    return frozenset(trial.id for trial in trials if not usable(trial, records[trial.id]))
