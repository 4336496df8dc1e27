"""``bench run --hours``: which jobs are begun next. It knows the clock and seconds, and no score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.execute import Job
from bench.plan import Plan, replicates_of
from bench.progress.screen import duration
from bench.store import Brief
from bench.study.read import Study

HOUR_S = 3600.0
AHEAD = 0.5
"""Of the time that is left, what further seeds of a batch are expected to take at most: later ones are better
known."""

Took = Mapping[str, Sequence[float]]
"""Arm → seconds of each of its trials that finished."""
Part = frozenset[str]
"""Arms that only tell something together."""


@dataclass
class Budget:
    """The hours of one ``bench run``; what is begun is ended, whatever it takes.

    So whether a trial is among the results depends on how long earlier ones took, never on its own luck.
    """

    hours: float | None = None
    """None: as long as it takes."""
    clock: Callable[[], float] = time.monotonic
    """In seconds."""

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._batch: tuple[float, int] | None = None
        self._pace = 1.0

    @property
    def left_s(self) -> float:
        """Seconds that are left; below 0 once they are over."""
        return self._began + (self.hours or 0.0) * HOUR_S - self.clock()

    @property
    def overrun(self) -> str:
        """By how much the hours were passed, a second at least; empty where they were not."""
        if self.hours is None or self.left_s > -1:
            return ""
        return f"{duration(-self.left_s)} over: what is begun is ended"

    def next(
        self, groups: Iterable[Sequence[Job]], parts: Sequence[Part], took: Took, workers: int
    ) -> list[Job]:
        """What is begun now, in this order; nothing where no more is expected to fit.

        groups    whole seeds, the first one first, the baseline's job first in each
        parts     what is begun of a group that does not fit as a whole: the jobs of some of these
        workers   jobs that run at once

        As long as nobody knows what an arm takes, the first group is begun whatever it takes.
        """
        groups = list(groups)
        if self.hours is None:
            return [job for group in groups for job in group]
        self._batch = self.clock(), workers
        if not groups or self.left_s <= 0:
            return []
        return self._wholes(groups, took, workers) or self._some(groups[0], parts, took, workers)

    def ended(self, seconds: Sequence[float]) -> None:
        """The batch is over and its trials took so long; by how long it took what follows is expected."""
        if self._batch is None or not any(seconds):
            return
        began, workers = self._batch
        self._pace = (self.clock() - began) / _together(seconds, workers)

    def _wholes(self, groups: Sequence[Sequence[Job]], took: Took, workers: int) -> list[Job]:
        if not any(took.values()):
            return list(groups[0])
        begun: list[Job] = []
        for group in groups:
            expected = self._expected([*begun, *group], took, workers)
            if expected > self.left_s * (AHEAD if begun else 1.0):
                break
            begun += group
        return begun

    def _some(self, group: Sequence[Job], parts: Sequence[Part], took: Took, workers: int) -> list[Job]:
        """The parts of a group that fit, the shortest first: the most comparisons an hour."""
        begun: list[Job] = []
        waiting = list(parts)
        while waiting:
            waiting = [part for part in waiting if any(job.run.arm in part for job in _rest(group, begun))]
            lengths = {
                part: self._expected(begun + _of(part, _rest(group, begun)), took, workers)
                for part in waiting
            }
            shortest = min(lengths, key=lambda part: lengths[part], default=None)
            if shortest is None or lengths[shortest] > self.left_s:
                break
            begun += _of(shortest, _rest(group, begun))
        return begun

    def _expected(self, jobs: Sequence[Job], took: Took, workers: int) -> float:
        """Seconds that ``jobs`` take together, each as long as the longest of its arm did."""
        return self._pace * _together([_longest(job, took) for job in jobs], workers)

    def said(self, plan: Plan, missing: int) -> str:
        """What is left when nothing more fits, and how to go on.

        missing   replicates without a record
        """
        fewest, most = plan.nights[-1].seeds
        seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        seeds += f" of {len(replicates_of(plan.study))} {'folds' if plan.study.folds else 'seeds'}"
        over = f", {self.overrun}" if self.overrun else ""
        searches = sum(not search.ended for search in plan.searches)
        still = f"; {searches} arms are still being tuned" if searches else f"; {missing} trials are left"
        return (
            f"the {self.hours:g} hours are over{over}: {seeds} ended in every arm{still}; the same command "
            "continues"
        )


def _longest(job: Job, took: Took) -> float:
    """An arm of which nothing is known takes as long as any; to score a set takes next to nothing."""
    if job.missing:
        return 0.0
    return max(took.get(job.run.arm) or [seconds for of in took.values() for seconds in of])


def _together(seconds: Sequence[float], workers: int) -> float:
    return max(sum(seconds) / workers, max(seconds, default=0.0))


def _rest(group: Sequence[Job], begun: Sequence[Job]) -> list[Job]:
    return [job for job in group if job not in begun]


def _of(part: Part, jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.run.arm in part]


def by_seed(jobs: Sequence[Job], baseline: str) -> list[list[Job]]:
    """Jobs of one replicate together, in the order of the first of each; the baseline first."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.run.trial.replicate, []).append(job)
    return [sorted(group, key=lambda job: job.run.arm != baseline) for group in groups.values()]


def parts(study: Study) -> list[Part]:
    """Arms of each comparison that the study declares: with one of them missing it says nothing."""
    from bench.judge.factorial import averaged  # leads to numpy, as the next one
    from bench.judge.family import family_keys

    pairs = dict.fromkeys(key[:2] for key in family_keys(study))
    found = (effect.weights if (effect := averaged(study, *pair)) else pair for pair in pairs)
    return list(dict.fromkeys(map(frozenset, found)))


def each(jobs: Sequence[Job]) -> list[Part]:
    """Every arm by itself."""
    return [frozenset({arm}) for arm in dict.fromkeys(job.run.arm for job in jobs)]


def by_round(jobs: Sequence[Job]) -> list[list[Job]]:
    """The first job of each arm, then the second of each: searches side by side."""
    seen: dict[str, int] = {}
    groups: list[list[Job]] = []
    for job in jobs:
        place = seen.get(job.run.arm, 0)
        seen[job.run.arm] = place + 1
        if place == len(groups):
            groups.append([])
        groups[place].append(job)
    return groups


def took(plan: Plan, read: Callable[[str], Brief | None]) -> dict[str, list[float]]:
    """What finished trials of each arm took; where none of any arm did, what its candidates took."""
    found = _seconds(((run.arm, run.trial.id) for run in plan.everything), read)
    return found or candidates_took(plan, read)


def candidates_took(plan: Plan, read: Callable[[str], Brief | None]) -> dict[str, list[float]]:
    """What finished candidates of each arm took."""
    tried = ((s.arm, trial.id) for s in plan.searches for one in s.tried for trial in one.trials)
    return _seconds(tried, read)


def _seconds(
    trials: Iterable[tuple[str, str]], read: Callable[[str], Brief | None]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for arm, id in trials:
        record = read(id)
        if record is not None and record.status == "done":
            found.setdefault(arm, []).append(sum(record.seconds.values()))
    return found
