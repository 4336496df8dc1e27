"""Trials on persistent worker processes of this machine, spawned once so that imports are paid once.

The conductor hands each idle worker its next job through a pipe of its own. There is no shared queue whose
lock a killed worker could take with it: a worker that dies costs the attempt it was on, which is recorded as
killed, and is replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.execute.inline import Inline
from bench.execute.jobs import Engage, Event, Executor, Job, Listener, Place, Terms, spent
from bench.execute.order import next_for
from bench.registry import executors

if TYPE_CHECKING:  # to import it takes a tenth of the time of `bench --help`
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from bench.execute.slots import Rooms

MOST_DEATHS = 5
"""In a row, without a trial that ended otherwise: then the machine is at fault, not a trial."""
LOOKS_S = 0.5
"""Seconds between looks at the clock and at whether to stop."""


@executors.register("local", where="worker processes")
def local() -> Engage:
    """Worker processes of this machine that live for a whole run, one per core or as many as fit a GPU."""

    def engage(terms: Terms, jobs: Sequence[Job], before: Executor | None) -> Executor:
        from bench.execute import slots

        if isinstance(before, Local):
            return before
        places, rooms = slots.choose(terms.machine, terms.place, jobs, smoked=terms.smoked)
        unguarded = terms.place.device == "cpu" and terms.timeout_s is None
        if unguarded and min(len(places), len(jobs)) == 1:
            return Inline(terms.place)  # a worker would take ten seconds to import torch
        return Local(places, terms.place, terms.timeout_s, rooms)

    return engage


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: str
    job: Job | None = None
    """What it is at."""
    last: Job | None = None
    """What it did before."""
    since: float | None = None
    """When its job began, after the imports; on the monotonic clock."""


class Local:
    """An executor with worker processes; the first batch spawns them, they live until it is closed."""

    def __init__(
        self,
        slots: Sequence[str],
        place: Place,
        timeout_s: float | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        """Nothing is spawned yet.

        slots      one per worker: the GPU it sees, as in CUDA_VISIBLE_DEVICES, or "" for whatever is there
        timeout_s  longest time a job may take, in seconds
        rooms      says the slots anew for each batch of jobs, and whenever a trial has ended
        """
        self._rooms = rooms
        self._slots, self._place, self._timeout_s = tuple(slots), place, timeout_s
        self._crew: list[_Worker] = []
        self._stopping = False
        self._deaths = 0

    @property
    def workers(self) -> int:
        """One per slot."""
        return len(self._slots)

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order they end.

        Raises UserError when one worker after the other dies.
        """
        waiting = list(jobs)
        self._choose_slots(waiting)
        if any(job.alone for job in jobs):
            self.close()  # workers hold memory between trials
        try:
            while self._busy() or (waiting and not self._stopping):
                if not self._stopping:
                    self._hand_out(waiting)
                for event in self._news(listen, waiting):
                    self._deaths = self._deaths + 1 if event.cause == "killed" else 0
                    yield event
                if self._deaths > MOST_DEATHS:
                    raise UserError(
                        f"{self._deaths} workers died one after the other, the last trials are recorded as "
                        "killed; is there memory for so many? use fewer --workers"
                    )
        except BaseException:  # given up half-way, GeneratorExit included: nobody would hear of the rest
            self.close()
            raise

    def stop(self) -> None:
        """Begin no further job; tell the workers, which end at their next checkpoint."""
        self._stopping = True
        for worker in self._busy():
            worker.process.terminate()

    def close(self) -> None:
        """End every worker, whatever it is at."""
        for worker in self._crew:
            if worker.job is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._crew:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._crew = []

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._crew if worker.job is not None]

    def _hand_out(self, waiting: list[Job]) -> None:
        """Give every idle worker a job, spawning those that are missing."""
        for slot in self._free_slots()[: max(0, len(waiting) + len(self._busy()) - len(self._crew))]:
            self._crew.append(_spawn(self._place, slot))
        for worker in self._crew:
            if waiting and worker.job is None:
                worker.job, worker.since = next_for(worker.last, waiting), None
                # An OSError: it died while idle; its pipe reads as ended, and _news records that.
                with contextlib.suppress(OSError):
                    worker.pipe.send(worker.job)

    def _free_slots(self) -> list[str]:
        """Slots without a worker; an idle worker beyond its slots is let go, for it holds memory."""
        free = list(self._slots)
        for worker in sorted(self._crew, key=lambda worker: worker.job is None):  # those at work first
            if worker.slot in free:
                free.remove(worker.slot)
            elif worker.job is None:
                self._crew.remove(worker)
                worker.pipe.close()
        return free

    def _choose_slots(self, waiting: Sequence[Job], ended: Job | None = None) -> None:
        """Ask anew how many run at once, now that a trial has ended; a trial that runs is not disturbed."""
        if self._rooms is None:
            return
        if ended is not None:
            self._rooms.ended(ended.run.trial)
        jobs = [*waiting, *(worker.job for worker in self._crew if worker.job is not None)]
        if jobs:
            self._slots = tuple(self._rooms.slots(job.run.trial for job in jobs))

    def _news(self, listen: Listener, waiting: Sequence[Job]) -> Iterator[Event]:
        """Wait a moment for any worker to say something; yield the last events of jobs."""
        from multiprocessing.connection import Connection, wait

        by_pipe = {worker.pipe: worker for worker in self._crew}
        for pipe in wait(list(by_pipe), timeout=LOOKS_S):
            assert isinstance(pipe, Connection)
            worker = by_pipe[pipe]
            try:
                last, event = pipe.recv()
            except (EOFError, OSError):
                yield from self._bury(worker)
                continue
            if last:
                worker.last, worker.job = worker.job, None
                if spent(event, self._place):
                    self._crew.remove(worker)
                    worker.pipe.close()  # which ends it
                self._choose_slots(waiting, worker.last)
                yield event
            else:
                if event.kind == "started":
                    worker.since = time.monotonic()
                listen(event)
        yield from self._overdue()

    def _bury(self, worker: _Worker) -> Iterator[Event]:
        """Let go of a dead worker; its job, if it had one, becomes a failed record."""
        from bench.execute.records import write_killed

        worker.process.join()
        self._crew.remove(worker)
        if worker.job is not None:
            message = f"its worker process ended with code {worker.process.exitcode}"
            yield write_killed(worker.job, self._place, message)

    def _overdue(self) -> Iterator[Event]:
        """End what takes too long: only killing ends a process that hangs."""
        from bench.execute.records import write_failure

        if self._timeout_s is None:
            return
        latest = time.monotonic() - self._timeout_s
        for worker in self._busy():
            if worker.job is not None and worker.since is not None and worker.since < latest:
                worker.process.kill()
                worker.process.join()
                self._crew.remove(worker)
                message = f"took longer than {self._timeout_s:g} s (--timeout)"
                yield write_failure(worker.job, self._place, "timeout", message)


def _spawn(place: Place, slot: str) -> _Worker:
    import multiprocessing

    # "spawn": a forked child would inherit torch's threads and a CUDA context that does not work there.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, place, slot), daemon=True, name="bench-worker")
    process.start()
    theirs.close()  # the worker holds the only other end, so its death is an end of file here
    return _Worker(process, ours, slot)


def _serve(pipe: Any, place: Place, slot: str) -> None:
    """A worker's whole life: take a job, work, say how it ended. It does not outlive its conductor."""
    stops: list[int] = []
    # Ctrl-C reaches the whole group; the conductor decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    _die_with_parent()
    if slot:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot  # before torch looks
    from bench.execute.records import DISK
    from bench.execute.work import work

    def tell(last: bool, event: Event) -> None:
        try:
            pipe.send((last, event))
        except OSError:
            os._exit(1)  # nobody listens: no record, the next run does this trial again

    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            event = work(job, place, lambda news: tell(False, news), lambda: bool(stops))
        except OSError as error:
            if error.errno not in DISK:
                raise
            os._exit(1)  # the failure itself could not be recorded; the conductor meets the same disk
        tell(True, event)


def _die_with_parent() -> None:
    """Ask Linux to end this process with its conductor, so that a next run never meets it at work."""
    if sys.platform != "linux":
        return
    import ctypes
    import multiprocessing

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it was gone before the call
