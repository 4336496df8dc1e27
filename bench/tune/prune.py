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

from bench.planned import Candidate, PlannedTrial
from bench.store import Brief
from bench.study.file import Tune
from bench.tune.candidates import Standing, score, usable

History = Callable[[str], list[dict[str, Any]]]
Records = Mapping[str, Brief | None]

Behind = Callable[[Tune, Sequence[Standing], Sequence[float]], bool]
"""Earlier candidates that are done, the metric of this one's first seeds in order → whether it is worse."""

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


class Unpruned:
    """Every candidate is trained to its end."""

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """As it stands; wanted is what has no usable record."""
        return Judged(plain, _wanted(candidate, records) if plain.state == "missing" else frozenset())


class ByEvaluation:
    """Cuts a candidate whose first seed is behind earlier candidates at an evaluation.

    Behind: its best validation accuracy so far is below a floor that theirs make.
    """

    def __init__(
        self,
        told: Sequence[Standing],
        history: History,
        floors_of: Callable[[Sequence[Sequence[float]]], tuple[float, ...]],
        what: str,
    ) -> None:
        """Set the floors.

        floors_of   courses (best accuracy by each evaluation) of finished candidates → floor by evaluation
        what        whoever is below a floor is said to be behind this
        """
        self._history, self._what = history, what
        done = [each.candidate.trials[0].id for each in told if each.state == "done"]
        courses = [course for id in done if (course := self._course(id))]  # a history may be damaged
        self.floors = floors_of(courses) if courses else ()

    def judge(self, candidate: Candidate, records: Records, plain: Standing) -> Judged:
        """The other seeds are wanted once the first has kept up."""
        first, record = candidate.trials[0], records[candidate.trials[0].id]
        if record is None or (record.status != "pruned" and not usable(first, record)):
            return Judged(replace(plain, state="missing"), frozenset({first.id}), self.floors)
        course = self._course(first.id)
        behind = [best < floor for best, floor in zip(course, self.floors, strict=False)]
        if any(behind):
            why = f"behind {self._what} at evaluation {behind.index(True) + 1}"
            seconds = sum(record.seconds.values())
            reached = tuple(course[: behind.index(True) + 1])
            cut = Standing(candidate, "pruned", seconds=seconds, why=why, trial=first.id, course=reached)
            return Judged(cut)
        if record.status == "pruned":  # by another search, which asked for more
            return Judged(replace(plain, state="missing"), frozenset({first.id}), self.floors)
        return Unpruned().judge(candidate, records, plain)

    def _course(self, id: str) -> list[float]:
        """Best validation accuracy by each evaluation."""
        return list(itertools.accumulate((entry["val_accuracy"] for entry in self._history(id)), max))


def medians(courses: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Median over runs at each evaluation of the longest; one that ended early keeps its best.

    The first evaluation cuts nobody, and nothing does before ENOUGH runs have finished.
    """
    if len(courses) < ENOUGH:
        return ()
    longest = max(map(len, courses))
    held = [[*course, *[course[-1]] * (longest - len(course))] for course in courses]
    return (0.0, *(statistics.median(at) for at in list(zip(*held, strict=True))[1:]))


class BySeed:
    """Cuts a candidate whose seeds are worse than the best earlier candidate's; they are trained in turn."""

    def __init__(self, tune: Tune, told: Sequence[Standing], behind: Behind) -> None:
        self._tune, self._behind = tune, behind
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
            last = len(values) == len(candidate.trials)
            if self._told and not last and self._behind(self._tune, self._told, values):
                why = f"behind the best candidate over {len(values)} seeds"
                return Judged(replace(plain, state="pruned", value=None, why=why, trial=trial.id))
        return Judged(plain)


def _wanted(candidate: Candidate, records: Records, only: PlannedTrial | None = None) -> frozenset[str]:
    """Trials without a usable record; with ``only``, that one."""
    trials = candidate.trials if only is None else (only,)
    return frozenset(trial.id for trial in trials if not usable(trial, records[trial.id]))
