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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.execute.inline import Inline
from bench.execute.jobs import Engage, Event, Executor, Job, Listener, Place, Terms, spent
from bench.execute.order import lonely, may_join, next_for
from bench.registry import executors

if TYPE_CHECKING:  # to import it takes a tenth of the time of `bench --help`
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from bench.execute.slots import Rooms

MOST_DEATHS = 5
"""In a row, without a trial that ended otherwise: then the machine is at fault, not a trial."""
START = "spawn"
"""Of a worker: a forked one would inherit torch's threads and a CUDA context that does not work there."""
LOOKS_S = 0.5
"""Seconds between looks at the clock and at whether to stop."""


@executors.register("local", where="worker processes", gangs=True)
def local() -> Engage:
    """Worker processes of this machine that live for a whole run, one per core or as many as fit a GPU."""

    def engage(terms: Terms, jobs: Sequence[Job], before: Executor | None) -> Executor:
        from bench.execute import slots

        if isinstance(before, Local):
            return before
        places, rooms = slots.choose(terms.machine, terms.place, jobs, smoked=terms.smoked)
        unguarded = terms.place.device == "cpu" and terms.timeout_s is None
        if unguarded and min(len(places), len(jobs)) == 1:
            # a worker would take ten seconds to import torch
            return Inline(terms.place, max(1, terms.machine.gang))
        return Local(places, terms.place, terms.timeout_s, rooms, terms.machine.gang)

    return engage


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: str
    jobs: dict[str, Job] = field(default_factory=dict)
    """Trial → what it is at; several take turns."""
    last: Job | None = None
    """What it was given last."""
    since: dict[str, float] = field(default_factory=dict)
    """Trial → when its job began, after the imports; on the monotonic clock."""
    most: dict[str, int] = field(default_factory=dict)
    """Trial → the most jobs that there were while it was one of them."""
    leaving: bool = False
    """Takes no further job, and makes room when it has none."""

    def take(self, job: Job) -> None:
        """Have one more."""
        self.jobs[job.run.trial.id] = self.last = job
        self.most |= {id: max(self.most.get(id, 1), len(self.jobs)) for id in self.jobs}

    def end(self, id: str) -> Job:
        """Have done with one."""
        self.since.pop(id, None)
        self.most.pop(id, None)
        return self.jobs.pop(id)

    def late(self, limit_s: float, now: float) -> list[Job]:
        """Those that took longer than ``limit_s``, or so many times that as took turns with them."""
        known = {id: now - since for id, since in self.since.items()}
        return [job for id, job in self.jobs.items() if known.get(id, 0.0) > limit_s * self.most.get(id, 1)]


class Local:
    """An executor with worker processes; the first batch spawns them, they live until it is closed."""

    def __init__(
        self,
        slots: Sequence[str],
        place: Place,
        timeout_s: float | None = None,
        rooms: Rooms | None = None,
        gang: int = 1,
    ) -> None:
        """Nothing is spawned yet.

        slots      one per worker: the GPU it sees, as in CUDA_VISIBLE_DEVICES, or "" for whatever is there
        timeout_s  longest time a job may take, in seconds
        rooms      says the slots anew for each batch of jobs, and whenever a trial has ended
        gang       trials that take turns in a worker; 0: as many as ``rooms`` says
        """
        self._rooms, self._gang, self._seats = rooms, gang, max(1, gang)
        self._slots, self._place, self._timeout_s = tuple(slots), place, timeout_s
        self._crew: list[_Worker] = []
        self._stopping = False
        self._deaths = 0

    @property
    def workers(self) -> int:
        """As many for each slot as take turns there."""
        return len(self._slots) * self._seats

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
            if worker.jobs:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._crew:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._crew = []

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._crew if worker.jobs]

    def _hand_out(self, waiting: list[Job]) -> None:
        """Give jobs to all workers that have room, spawning those that are missing; idle ones first."""
        turns = self._rooms is not None if self._gang == 0 else self._gang > 1
        beside = turns and not all(lonely(job, self._place.device) for job in waiting)
        for slot in self._free_slots()[: max(0, len(waiting) + len(self._busy()) - len(self._crew))]:
            self._crew.append(_spawn(self._place, slot, beside))
        for _ in range(self._seats):
            for worker in sorted(self._crew, key=lambda worker: len(worker.jobs)):
                self._hand(worker, waiting)

    def _hand(self, worker: _Worker, waiting: list[Job]) -> None:
        """Give a worker the next job, if it has room for that one."""
        if not waiting or worker.leaving or (worker.jobs and len(worker.jobs) >= self._seats):
            return
        job = next_for(worker.last, waiting)
        if not may_join(job, list(worker.jobs.values()), self._seats, self._place.device):
            waiting.insert(0, job)
            return
        worker.take(job)
        # An OSError: it died while idle; its pipe reads as ended, and _news records that.
        with contextlib.suppress(OSError):
            worker.pipe.send(job)

    def _free_slots(self) -> list[str]:
        """Slots without a worker; an idle worker beyond its slots is let go, for it holds memory."""
        free = list(self._slots)
        for worker in sorted(self._crew, key=lambda worker: not worker.jobs):  # those at work first
            if worker.slot in free:
                free.remove(worker.slot)
            elif not worker.jobs:
                self._crew.remove(worker)
                worker.pipe.close()
        return free

    def _choose_slots(self, waiting: Sequence[Job], ended: Job | None = None) -> None:
        """Ask anew how many run at once, now that a trial has ended; a trial that runs is not disturbed."""
        if self._rooms is None:
            return
        if ended is not None:
            self._rooms.ended(ended.run.trial)
        jobs = [*waiting, *(job for worker in self._crew for job in worker.jobs.values())]
        if jobs:
            trials = [job.run.trial for job in jobs]
            self._slots = tuple(self._rooms.slots(trials))
            self._seats = self._gang or self._rooms.seats(trials)

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
            if last and event.trial in worker.jobs:
                ended = worker.end(event.trial)
                worker.leaving |= spent(event, self._place)
                if worker.leaving and not worker.jobs:
                    self._crew.remove(worker)
                    worker.pipe.close()  # which ends it
                self._choose_slots(waiting, ended)
                yield event
            elif not last:
                if event.kind == "started":
                    worker.since[event.trial] = time.monotonic()
                listen(event)
        yield from self._overdue()

    def _bury(self, worker: _Worker) -> Iterator[Event]:
        """Let go of a dead worker; its job, if it had one, becomes a failed record.

        Of several nobody knows which one it died of: each is to show by itself.
        """
        from bench.execute.records import write_killed

        worker.process.join()
        self._crew.remove(worker)
        message = f"its worker process ended with code {worker.process.exitcode}"
        if len(worker.jobs) > 1:
            yield from _apart(worker.jobs.values(), message)
        else:
            yield from (write_killed(job, self._place, message) for job in worker.jobs.values())

    def _overdue(self) -> Iterator[Event]:
        """End what takes too long: only killing ends a process that hangs."""
        from bench.execute.records import write_failure

        if self._timeout_s is None:
            return
        for worker in self._busy():
            late = worker.late(self._timeout_s, time.monotonic())
            if late:
                worker.process.kill()
                worker.process.join()
                self._crew.remove(worker)
                message = f"took longer than {self._timeout_s:g} s (--timeout)"
                yield from (write_failure(job, self._place, "timeout", message) for job in late)
                others = [job for job in worker.jobs.values() if job not in late]
                yield from _apart(others, f"{late[0].run.arm} beside it {message}")


def _apart(jobs: Iterable[Job], message: str) -> Iterator[Event]:
    from bench.execute.records import ended

    return (replace(ended(job, "failed", message), apart=True) for job in jobs)


def _spawn(place: Place, slot: str, beside: bool) -> _Worker:
    import multiprocessing

    context: Any = multiprocessing.get_context(START)
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, place, slot, beside), daemon=True, name="bench-worker"
    )
    process.start()
    theirs.close()  # the worker holds the only other end, so its death is an end of file here
    return _Worker(process, ours, slot)


def _serve(pipe: Any, place: Place, slot: str, beside: bool) -> None:
    """A worker's whole life: take jobs, work, say how each ended. It does not outlive its conductor."""
    stops: list[int] = []
    # Ctrl-C reaches the whole group; the conductor decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    _die_with_parent()
    if slot:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot  # before torch looks
    try:
        _attend(pipe, place, lambda: bool(stops), beside)
    except OSError:
        os._exit(1)  # the failure itself could not be recorded; the conductor meets the same disk


def _attend(pipe: Any, place: Place, stop: Callable[[], bool], beside: bool) -> None:
    """Take jobs as they come, until the pipe ends.

    beside   there may be several at a time
    """
    from bench.execute.work import Gang

    def tell(last: bool, event: Event) -> None:
        try:
            pipe.send((last, event))
        except OSError:
            os._exit(1)  # nobody listens: no record, the next run does this trial again

    gang, leaving = Gang(place, lambda news: tell(False, news), stop, beside=beside), False
    while True:
        try:
            while not gang.jobs or pipe.poll():
                job = pipe.recv()
                if not leaving:
                    gang.begin(job)
                    continue
                # sent before the conductor knew; nothing begins on a device that may be broken
                tell(True, *_apart([job], "its worker made room for a fresh one"))
        except EOFError:
            return
        for event in gang.turn():
            leaving |= spent(event, place)
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
