"""Trials on persistent worker processes of this machine, spawned once so that imports are paid once.

The conductor hands each idle worker its next job through a pipe of its own. There is no shared queue whose
lock a killed worker could take with it: a worker that dies costs the trial it was on, which is recorded as
killed, and is replaced.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.errors import UserError
from bench.execute import Event, Job, Listener, Setting

MOST_DEATHS = 5
"""In a row, without a trial that ended otherwise: then the machine is at fault, not a trial."""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None


class Local:
    """An executor with worker processes; the first batch spawns them, they live until it is closed."""

    def __init__(self, workers: int, setting: Setting) -> None:
        """Nothing is spawned yet.

        workers   most processes at once, at least one
        """
        self._workers, self._setting = workers, setting
        self._crew: list[_Worker] = []

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order they end.

        Raises UserError when one worker after the other dies.
        """
        waiting = list(reversed(jobs))
        while len(self._crew) < min(self._workers, len(jobs)):
            self._crew.append(_spawn(self._setting))
        deaths = 0
        try:
            while waiting or any(worker.job for worker in self._crew):
                for worker in self._crew:
                    if waiting and worker.job is None:
                        worker.job = waiting.pop()
                        _send(worker)
                for event in self._news(listen):
                    deaths = deaths + 1 if event.cause == "killed" else 0
                    yield event
                if deaths > MOST_DEATHS:
                    raise UserError(
                        f"{deaths} workers died one after the other, the last trials are recorded as killed; "
                        "is there memory for so many? use fewer --workers"
                    )
        except BaseException:  # given up half-way, GeneratorExit included: nobody would hear of the rest
            self.close()
            raise

    def close(self) -> None:
        """End every worker, whatever it is at."""
        _dismiss(self._crew)
        self._crew = []

    def _news(self, listen: Listener) -> Iterator[Event]:
        """Wait for any worker to say something; yield the last events of jobs."""
        by_pipe = {worker.pipe: worker for worker in self._crew}
        for pipe in wait(list(by_pipe)):
            assert isinstance(pipe, Connection)
            worker = by_pipe[pipe]
            try:
                last, event = pipe.recv()
            except (EOFError, OSError):
                event, last = self._bury(worker), True
            if event is None:
                continue
            if last:
                worker.job = None
                yield event
            else:
                listen(event)

    def _bury(self, worker: _Worker) -> Event | None:
        """Replace a dead worker; its job, if it had one, becomes a failed record."""
        from bench.execute.records import write_killed

        worker.process.join()
        self._crew[self._crew.index(worker)] = _spawn(self._setting)
        if worker.job is None:
            return None
        message = f"its worker process ended with code {worker.process.exitcode}"
        return write_killed(worker.job, self._setting, message)


def _spawn(setting: Setting) -> _Worker:
    # "spawn": a forked child would inherit torch's threads and a CUDA context that does not work there.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, setting), daemon=True, name="bench-worker")
    process.start()
    theirs.close()  # the worker holds the only other end, so its death is an end of file here
    return _Worker(process, ours)


def _send(worker: _Worker) -> None:
    # An OSError: it died while idle; its pipe reads as ended, and _news records that.
    with contextlib.suppress(OSError):
        worker.pipe.send(worker.job)


def _dismiss(crew: Sequence[_Worker]) -> None:
    for worker in crew:
        if worker.job is not None:
            worker.process.terminate()
        worker.pipe.close()
    for worker in crew:
        worker.process.join(timeout=10)
        if worker.process.is_alive():
            worker.process.kill()


def _serve(pipe: Any, setting: Setting) -> None:
    """A worker's whole life: take a job, work, say how it ended. It does not outlive its conductor."""
    # Ctrl-C reaches the whole group; the conductor decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
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
        tell(True, work(job, setting, lambda news: tell(False, news)))


def _die_with_parent() -> None:
    """Ask Linux to end this process with its conductor, so that a next run never meets it at work."""
    if sys.platform != "linux":
        return
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it was gone before the call
