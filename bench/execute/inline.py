"""Trials one after the other in this process: the simplest executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.execute.jobs import Engage, Event, Job, Listener, Place
from bench.registry import executors


@executors.register("inline", where="this process")
def inline() -> Engage:
    """Trials one after the other in the process of ``bench run``: for debugging, and all one core needs."""
    return lambda terms, jobs, before: before or Inline(terms.place)


class Inline:
    """An executor that holds nothing."""

    workers = 1

    def __init__(self, place: Place) -> None:
        self._place, self._stopping = place, False

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order given."""
        from bench.execute.work import work  # imports torch

        for job in jobs:
            if self._stopping:
                return
            yield work(job, self._place, listen, lambda: self._stopping)

    def stop(self) -> None:
        """Begin no further job; the running one ends at its next checkpoint."""
        self._stopping = True

    def close(self) -> None:
        """Nothing to give back."""
