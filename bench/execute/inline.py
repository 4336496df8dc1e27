"""Trials one after the other in this process: the simplest executor."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from bench.errors import UserError
from bench.execute.jobs import Engage, Event, Executor, Job, Listener, Place, Terms
from bench.execute.order import may_join
from bench.registry import executors


@executors.register("inline", where="this process", gangs=True)
def inline() -> Engage:
    """Trials one after the other in the process of ``bench run``: for debugging, and all one core needs."""

    def engage(terms: Terms, jobs: Sequence[Job], before: Executor | None) -> Executor:
        if terms.timeout_s is not None:
            raise UserError(
                "--timeout cannot end a trial of executor inline, which runs in this very process\n"
                "    take --executor local, whose workers can be ended, or leave --timeout out"
            )
        return before or Inline(terms.place, max(1, terms.machine.gang))

    return engage


class Inline:
    """An executor that holds nothing."""

    def __init__(self, place: Place, gang: int = 1) -> None:
        """Nothing is begun yet.

        gang   most trials that take turns
        """
        self._place, self._stopping, self.workers = place, False, gang

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order they end; with a gang of one, in the order given."""
        from bench.execute.work import Gang  # imports torch

        gang = Gang(self._place, listen, lambda: self._stopping, beside=self.workers > 1)
        waiting = deque(jobs)
        try:
            while gang.jobs or (waiting and not self._stopping):
                if waiting and not self._stopping and self._has_room(waiting[0], gang.jobs):
                    gang.begin(waiting.popleft())
                else:
                    yield from gang.turn()
        finally:
            gang.close()

    def _has_room(self, job: Job, others: Sequence[Job]) -> bool:
        return may_join(job, others, self.workers, self._place.device)

    def stop(self) -> None:
        """Begin no further job; the running one ends at its next checkpoint."""
        self._stopping = True

    def close(self) -> None:
        """Nothing to give back."""
