"""Runs a conductor's jobs on this machine: which executor, how many workers, what is told meanwhile."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from bench.claims import WRITING, Presence, told
from bench.errors import StopAsked, UserError
from bench.execute import Event, Executor, Job, Listener, Place, Terms
from bench.execute.driver import unused_gpu
from bench.execute.order import lonely
from bench.execute.records import SHUT, by_machine, drop_checkpoint, elsewhere, superseded, told_by_others
from bench.machine import Machine
from bench.progress.board import Cell, board
from bench.progress.terminal import Terminal, Trials
from bench.registry import executors
from bench.store import MOST_ATTEMPTS, Brief, Store

SHOWN_EVERY_S = 1.0
"""Seconds between two times that other processes are told how a run stands."""
STOPPING = "stopping: running trials end or write a checkpoint after their epoch; Ctrl-C again stops at once"


@dataclass(frozen=True)
class Patience:
    """What is put up with before a trial or the whole run is given up."""

    timeout_s: float | None = None
    """Longest time a trial may take."""
    max_failures: int | None = None
    """Failed trials after which no further one begins."""


class Crew:
    """Whoever runs the trials of one ``bench run``, from its first batch of jobs to its last."""

    def __init__(
        self,
        place: Place,
        machine: Machine,
        terminal: Terminal,
        presence: Presence,
        patience: Patience = Patience(),
        *,
        smoked: bool = False,
    ) -> None:
        """Nothing is started yet: the first batch does.

        presence   in whose name trials are claimed, as ``place`` says
        """
        self.place, self.machine, self.terminal, self.patience = place, machine, terminal, patience
        self.presence, self._claims, self._store = presence, presence.claims, Store(place.results)
        self._terms = Terms(place, machine, patience.timeout_s, smoked)
        self._executor: Executor | None = None
        self._elsewhere: dict[str, Job] = {}
        """Trial → job of the batch that another run has claimed."""
        self.by_others: set[str] = set()
        """Trials that were to run here and ended in another run, of late."""
        self.shut: dict[str, str] = {}
        """Trial that left no record, for its folder takes none → what is said of it."""
        self.ran = self.ran_elsewhere = 0
        """Trials that ended here, and in all those."""
        self._told_at = -math.inf
        self.after_each: Callable[[], None] = lambda: None
        """Called whenever a trial has ended."""
        self._stopping = False
        self._failed = 0
        self._said: set[str] = set()

    def run(self, title: str, jobs: Sequence[Job], standing: Iterable[Cell] = ()) -> list[str]:
        """Run ``jobs``; return a line for each that failed. Every one ends with a record, here or elsewhere.

        standing   how the other trials of the study stand, for the person to see

        Raises StopAsked when it was asked to stop, after running trials have ended or written their
        checkpoints; UserError after ``max_failures`` failed trials.
        """
        if not jobs:
            return []
        if self._stopping:
            raise StopAsked("no further trial was begun")
        self._say_lonely(jobs)
        failures: list[str] = []
        shown = board(title, jobs, 1, standing)
        with self.terminal.trials(shown) as screen:
            batches = deque([list(jobs)])
            while (batches or self._elsewhere) and not self._stopping:
                batch = batches.popleft() if batches else self._wait(screen, failures)
                free = self._free(batch, screen)
                again = self._run_once(free, screen, failures) if free else []
                batches += [[job] for job in again if job.alone]
                batches += [rest] if (rest := [job for job in again if not job.alone]) else []
        if self._stopping:
            count = shown.total - shown.ended
            left = f"{count} {'is' if count == 1 else 'are'} left"
            left += f", {len(self._elsewhere)} of them other runs have" if self._elsewhere else ""
            self._say_why(failures, f"{shown.ended} of {shown.total} trials ended, {left}")
        return failures

    def workers(self, jobs: Sequence[Job]) -> int:
        """How many of ``jobs`` would run at once."""
        return self._engage(jobs).workers if jobs else 1

    def _engage(self, jobs: Sequence[Job]) -> Executor:
        engage = executors[self.machine.executor].build({})
        executor: Executor = engage(self._terms, jobs, self._executor)
        self._executor = executor
        return executor

    def _say_lonely(self, jobs: Sequence[Job]) -> None:
        """Why some take no turns, where that was asked for; each reason once."""
        asked = self.machine.gang
        reasons = {lonely(job, self.place.device) for job in jobs} if asked > 1 else set()
        for reason in sorted(reasons - self._said - {""}):
            self.terminal.note(f"gang = {asked}: {reason}; they run one after the other")
        self._said |= reasons

    def stop(self) -> None:
        """Begin no further trial; those that run end, or write a checkpoint."""
        self._stopping = True
        if self._executor is not None:
            self._executor.stop()

    def close(self) -> None:
        """End the workers."""
        if self._executor is not None:
            self._executor.close()
        self._claims.sweep()

    def _free(self, jobs: Iterable[Job], screen: Trials) -> list[Job]:
        """Those that no other run has claimed; the others are put aside. What the dead had is taken over."""
        free, claimed = [], self._claims.names()
        for job in jobs:
            id = job.run.trial.id
            if id in claimed and not self.presence.take(id):
                self._put_aside(elsewhere(job), job, screen)
            else:
                free.append(job)
        return free

    def _put_aside(self, event: Event, job: Job, screen: Trials) -> None:
        self._elsewhere[event.trial] = job
        screen.put_aside(event)

    def _wait(self, screen: Trials, failures: list[str]) -> list[Job]:
        """Wait for the trials of other runs; return those that are to run here after all, once one is."""
        screen.board.waits = self._waited_for()
        try:
            with screen.waits():
                while self._elsewhere and not self._stopping:
                    found = self._look_elsewhere(screen, failures)
                    if found or not self._elsewhere:
                        return found
                    screen.board.waits = self._waited_for()
                    self._show(screen)
                    time.sleep(self.presence.poll_s)
        finally:
            screen.board.waits = ""
        return []

    def _waited_for(self) -> str:
        owners = {self._claims.holder(id).removesuffix(WRITING) for id in self._elsewhere}
        who = ", ".join(told(owner) for owner in sorted(owners - {""})[:4])
        count = len(self._elsewhere)
        return (
            f"waiting for {count} trial{'s' if count > 1 else ''} of other runs{f' ({who})' if who else ''}"
        )

    def _look_elsewhere(self, screen: Trials, failures: list[str]) -> list[Job]:
        """Say which trials of other runs have ended; return those that were let go, or whose run has died."""
        found = []
        for id, job in list(self._elsewhere.items()):
            held = self._claims.holder(id)
            if held and not (self.presence.is_over(held) and self._claims.take_over(id, held)):
                continue
            del self._elsewhere[id]
            brief = self._store.brief(id)  # written before it was let go
            if brief is None or not superseded(job, brief):
                found.append(job)
                continue
            drop_checkpoint(id, self._store)
            self._claims.release(id)
            self._end_elsewhere(job, brief, screen, failures)
        return found

    def _end_elsewhere(self, job: Job, brief: Brief, screen: Trials, failures: list[str]) -> None:
        self.by_others.add(brief.id)
        self.ran_elsewhere += 1
        event = told_by_others(job, brief)
        if by_machine(brief):
            screen.postponed(replace(event, kind="note"))
            return
        screen.ended(event)
        if event.kind == "failed":
            failures.append(_line(event))
        self.after_each()

    def _run_once(self, jobs: Sequence[Job], screen: Trials, failures: list[str]) -> list[Job]:
        """Run a batch; return what is worth another attempt in this run."""
        executor = self._engage(jobs)
        by_id = {job.run.trial.id: job for job in jobs}
        again = []
        screen.board.workers = max(1, min(executor.workers, screen.board.total))
        self._show(screen)
        for event in executor.run(jobs, self._listener(screen)):
            job = by_id[event.trial]
            retry = self._another(executor, job, event)
            if event.kind == "elsewhere":
                self._put_aside(event, job, screen)
            elif retry is not None:
                again.append(retry)
                how = "alone, " if retry.alone else "by itself, " if retry.apart else ""
                text = f"{event.text}; runs again {how}when the others are through"
                screen.postponed(replace(event, kind="note", text=text))
            elif self._stopping and (event.apart or event.cause in ("interrupted", "killed")):
                screen.postponed(replace(event, kind="note", text=event.text))
            else:
                screen.ended(event)
                self.ran += 1
                self._judge(event, failures)
                if event.cause == SHUT:
                    self.shut[event.trial] = _line(event)
                self.after_each()
            if retry is None:
                self._claims.release(event.trial)
            screen.board.workers = max(1, min(executor.workers, screen.board.total))
            self._show(screen)
        return again

    def _show(self, screen: Trials) -> None:
        """Let other processes know how it stands, now and then."""
        if time.monotonic() - self._told_at >= SHOWN_EVERY_S:
            self._told_at = time.monotonic()
            self.presence.tell(**screen.board.as_data())

    def _listener(self, screen: Trials) -> Listener:
        def listen(event: Event) -> None:
            screen.listen(event)
            self._show(screen)

        return listen

    def _another(self, executor: Executor, job: Job, event: Event) -> Job | None:
        """The next attempt of a trial that broke through no fault of its arm; None when there is none."""
        if self._stopping:
            return None
        if event.apart:  # it took turns with others, and one of them broke
            return replace(job, apart=True, alone=event.cause == "oom")
        if event.cause == "killed" and job.attempt < MOST_ATTEMPTS:
            return replace(job, attempt=job.attempt + 1)
        # With one worker it was alone already.
        if event.cause == "oom" and executor.workers > 1 and not job.alone:
            return replace(job, attempt=job.attempt + 1, alone=True)
        return None

    def _judge(self, event: Event, failures: list[str]) -> None:
        """Note a failure; one too many ends the run."""
        if event.kind != "failed":
            return
        failures.append(_line(event))
        self._failed += 1
        if self._failed == self.patience.max_failures:
            self.terminal.note(f"{self._failed} trials failed (--max-failures); no further one begins")
            self.stop()

    def _say_why(self, failures: Sequence[str], standing: str) -> None:
        """Raise what ended the run before its last trial."""
        most = self.patience.max_failures
        if most is not None and self._failed >= most:
            lines = "\n".join(f"  {line}" for line in failures)
            raise UserError(
                f"stopped after {self._failed} failed trials (--max-failures {most}); {standing}\n{lines}\n"
                "    mend the cause; the same command continues, with --retry error,oom also failed trials"
            )
        raise StopAsked(standing)


def _line(event: Event) -> str:
    return f"{event.arm} {event.replicate}: {event.text}   (bench show {event.trial})"


@contextmanager
def crew(
    machine: Machine,
    presence: Presence,
    terminal: Terminal,
    patience: Patience = Patience(),
    *,
    keep_weights: bool,
    smoked: bool,
) -> Iterator[Crew]:
    """A crew for the whole of one run, in the folder of a presence and in its name.

    Raises UserError for a device or an executor that is not there.

    Within, the first Ctrl-C or SIGTERM lets running trials end or write a checkpoint; a second one ends all.
    """
    # Where trials run elsewhere, there may be GPUs where the conductor has none.
    elsewhere = executors[machine.executor].traits.get("elsewhere", False)
    device = machine.device if elsewhere else device_of(machine)
    if device == "cpu" and machine.device == "auto" and (why := unused_gpu()):
        terminal.note(f"this machine's GPU is not used, trials run on the CPU: {why}; see bench doctor")
    if machine.gang > 1 and not executors[machine.executor].traits.get("gangs", False):
        terminal.note(f"gang = {machine.gang}: with --executor {machine.executor} trials take no turns")
    folder, owner = presence.folder, presence.owner
    place = Place(folder, machine.cache, device, keep_weights, machine.resident_bytes, owner)
    hands = Crew(place, machine, terminal, presence, patience, smoked=smoked)
    try:
        with _heeding_signals(hands):
            yield hands
    finally:
        hands.close()


@contextmanager
def _heeding_signals(hands: Crew) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    asked: list[int] = []

    def heed(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise StopAsked("trials that ran were cut off, and go on from their last checkpoint")
        hands.terminal.alert(STOPPING)
        hands.stop()

    before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def device_of(machine: Machine) -> str:
    """``cpu`` or ``cuda``. Raises UserError for a GPU that is not there."""
    import torch

    there = torch.cuda.is_available()
    if machine.device == "cuda" and not there:
        why = unused_gpu()
        raise UserError(
            f'device = "{machine.device}": torch sees no GPU{f" ({why})" if why else ""}; '
            "use --device cpu, or see bench doctor"
        )
    return "cuda" if machine.device != "cpu" and there else "cpu"
