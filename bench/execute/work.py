"""What a worker does with its jobs: run them, record them, whatever happens. Imports torch.

Several trials of one process take turns, a block of steps each; a trial alone is a gang of one. On a GPU
members share what a process has once: the context, what cuDNN found fastest, the images of a split. Each has
a stance (``train.stances``) and recordings of its own, so that their kernels run side by side. Which jobs may
come together, and how many, is for executors to say.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bench import folders, metrics
from bench.claims import ClaimLostError
from bench.errors import UserError, is_stop, line_of, words_of
from bench.execute.jobs import Event, Job, Listener, Place
from bench.execute.records import (
    cause_of,
    claim,
    elsewhere,
    ended,
    holds,
    lost,
    seal,
    write_failure,
    write_result,
)
from bench.registry import use
from bench.store import Store
from bench.study.code import components
from bench.train.checkpoint import Interrupted
from bench.train.command import FolderLostError
from bench.train.device import peak_memory_mb, prepare_cublas
from bench.train.graph import CANNOT_RECORD
from bench.train.loop import Progress
from bench.train.stances import Stances
from bench.train.turns import Turns
from bench.trial import FileChangedError, Surroundings, score_from_weights, trial_turns

Stop = Callable[[], bool]
NOWHERE: Mapping[str, float] = {}
LOOKS_S = 1.0
"""Seconds between a trial's looks at whether it is still this run's."""


def work(job: Job, place: Place, listen: Listener, stop: Stop = lambda: False) -> Event:
    """Run ``job`` by itself to a record and return its last event. Only StopAsked comes out of it.

    stop   asked after each evaluation whether to write a checkpoint and end there, as ``interrupted``
    """
    gang = Gang(place, listen, stop)
    gang.begin(job)
    while True:
        for event in gang.turn():
            return event


@dataclass(eq=False)
class _Member:
    job: Job
    started: float = field(default_factory=time.perf_counter)
    most: int = 1
    """Trials that took turns while it was one of them."""
    turns: Turns[Event] | None = None
    """None before its first."""
    looked: float = field(default_factory=time.monotonic)
    """When it was last asked whether its trial is still this run's."""


class Gang:
    """The trials of a process that take turns: others may join when some have ended."""

    def __init__(
        self, place: Place, listen: Listener, stop: Stop = lambda: False, *, beside: bool = False
    ) -> None:
        """Nobody is in it yet.

        stop     asked after each evaluation whether to write a checkpoint and end there, as ``interrupted``
        beside   there may be several at a time
        """
        self._place, self._listen, self._stop = place, listen, stop
        self._stances = Stances(place.device, beside=beside)
        self._members: list[_Member] = []
        self._process = os.getpid()

    @property
    def jobs(self) -> list[Job]:
        """What its members are at."""
        return [member.job for member in self._members]

    def begin(self, job: Job) -> None:
        """Take one in; it begins with its first turn, if it can be claimed then."""
        self._members.append(_Member(job))
        for each in self._members:
            each.most = max(each.most, len(self._members))

    def turn(self) -> Iterator[Event]:
        """Let every member have its turn; yield the last event of each that has ended.

        Only StopAsked comes out of it, and the error of a disk that takes no record.
        """
        for member in list(self._members):
            member.turns = member.turns or self._first_turn(member)
            if member.turns is None:
                self._members.remove(member)
                yield elsewhere(member.job)
                continue
            try:
                next(member.turns)
                self._leave_if_forked()
                continue
            except StopIteration as end:
                event: Event = end.value
            except BaseException as error:  # whatever somebody's code raises ends its trial, not the run
                if is_stop(error):
                    raise
                self._leave_if_forked()
                if len(self._members) > 1 and not _by_itself(error):
                    yield from self._break(member, error)
                    return
                event = _failed(member.job, self._place, error)
            self._members.remove(member)
            yield replace(event, seconds=time.perf_counter() - member.started)

    def close(self) -> None:
        """End all members where they are, without a record."""
        for member in self._members:
            if member.turns is not None:
                member.turns.close()
        self._members = []

    def _leave_if_forked(self) -> None:
        """End a process that a component forked off and let return here: the trial is its parent's."""
        if os.getpid() != self._process:
            os._exit(1)

    def _break(self, broken: _Member, error: BaseException) -> Iterator[Event]:
        """End all, for one broke: after the error of a device nobody can say whose numbers it spared."""
        members = self._members
        self.close()
        for member in members:
            text, cause = f"{broken.job.run.arm} broke beside it", ""
            if member is broken:
                text, cause = line_of(error), cause_of(error)
            event = replace(ended(member.job, "failed", text), cause=cause, apart=True)
            yield replace(event, seconds=time.perf_counter() - member.started)

    def _first_turn(self, member: _Member) -> Turns[Event] | None:
        """Claim a member's trial and begin; None where another run has it. Raises the error of its disk."""
        job = claim(member.job, self._place)
        if job is None:
            return None
        member.job, trial, replicate = job, job.run.trial, job.run.trial.replicate
        number, fold = job.run.candidate, replicate.fold
        self._listen(Event("started", trial.id, job.run.arm, replicate.seed, fold=fold, candidate=number))
        return self._turns(member)

    def _turns(self, member: _Member) -> Turns[Event]:
        job, place = member.job, self._place
        if place.device != "cpu":
            prepare_cublas()
        use(components(job.run.trial.code))
        if job.missing:
            return _score(job, place)
        return (yield from self._train(member))

    def _train(self, member: _Member) -> Turns[Event]:
        job, place = member.job, self._place
        trial, replicate = job.run.trial, job.run.trial.replicate

        def on_progress(news: Progress) -> None:
            self._leave_if_forked()
            if time.monotonic() - member.looked > LOOKS_S:
                member.looked = time.monotonic()
                if not holds(job, place):  # before a checkpoint is written that nobody wants
                    raise ClaimLostError(f"trial {trial.id} was taken over by another run")
            text = f"stage {news.stage}/{news.stages}  epoch {news.epoch}/{news.epochs}  loss {news.loss:.3f}"
            text += f"  val accuracy {100 * news.val_accuracy:.1f} %  {news.images_per_s:.0f} img/s"
            at = vars(news) | ({} if place.device == "cpu" else {"memory_mb": peak_memory_mb(place.device)})
            tell("epoch", text, at)

        def tell(kind: Literal["epoch", "note"], text: str, at: Mapping[str, float] = NOWHERE) -> None:
            number, fold, seed = job.run.candidate, replicate.fold, replicate.seed
            self._listen(Event(kind, trial.id, job.run.arm, seed, text, fold=fold, at=at, candidate=number))

        store = Store(place.results)
        checkpoint = store.trial_dir(trial.id) / "checkpoint.pt"
        broken: list[str] = []

        def note(text: str) -> None:
            if text.startswith(CANNOT_RECORD):
                broken.append(text)
            tell("note", text)

        def clear() -> None:
            if folders.cleared(checkpoint.parent):
                note(f"{checkpoint.parent} was no folder, and is removed; the trial goes on")

        clear()
        folders.check_open(checkpoint.parent)
        where = Surroundings(
            place.device,
            place.cache,
            on_progress,
            note,
            checkpoint,
            self._stop,
            job.run.floors,
            place.resident_bytes,
            self._stances,
        )
        result = yield from trial_turns(trial, job.run.sets, where)
        self._leave_if_forked()
        clear()
        record = write_result(job, place, result, beside=member.most)
        if record.status == "diverged":
            return replace(ended(job, "diverged", record.message), spent=bool(broken))
        if record.status == "pruned":
            return replace(ended(job, "done", f"cut short: {record.message}"), spent=bool(broken))
        # a candidate sees no held-out set
        validation = f"val accuracy {100 * record.validation['accuracy']:.1f} %"
        text = validation if trial.role == "tune" else _scores(job, record.scores)
        return replace(ended(job, "done", text, little=bool(record.little_learned)), spent=bool(broken))


def _by_itself(error: BaseException) -> bool:
    """Whether it says nothing about those beside it: a stop, or a disk that they meet themselves."""
    own = (Interrupted, ClaimLostError, FolderLostError, FileChangedError)
    return isinstance(error, own) or cause_of(error) == "interrupted"


def _score(job: Job, place: Place) -> Event:
    """Score sets added to the study after this trial was trained, from its kept weights."""
    store, trial = Store(place.results), job.run.trial
    where = Surroundings(place.device, place.cache, resident_bytes=place.resident_bytes)
    scored = score_from_weights(trial, job.missing, store.weights_path(trial.id), where)
    seal(job, place)
    sizes = {key: len(prediction.labels) for key, prediction in scored.predictions.items()}
    store.add_scores(
        trial.id,
        scored.predictions,
        metrics.versions(),
        scores=scored.scores,
        recalls=scored.recalls,
        sizes=sizes,
        conditions=scored.conditions,
    )
    return ended(job, "done", _scores(job, scored.scores))


def _scores(job: Job, scores: dict[str, dict[str, float]]) -> str:
    names = {scored.key: scored.name for scored in job.run.sets}
    shown = [(names[key], value["accuracy"]) for key, value in scores.items() if key in names]
    told = "  ".join(f"{'local' if name == 'test' else name} {100 * value:.1f} %" for name, value in shown)
    return f"accuracy {told}" if told else ""


def _failed(job: Job, place: Place, error: BaseException) -> Event:
    message = words_of(error)
    if isinstance(error, ClaimLostError):
        return lost(job, place)
    if isinstance(error, Interrupted):
        # Stopping a study often must not use up the attempts that a trial has.
        uncounted = replace(job, attempt=max(1, job.attempt - 1))
        return write_failure(uncounted, place, "interrupted", message)
    if isinstance(error, FolderLostError) and not job.apart:  # nothing was told of the trial: once more
        return replace(ended(job, "failed", message), apart=True)
    if isinstance(error, FileChangedError):  # nothing that it would say is of this trial
        return ended(job, "failed", message)
    if not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    if job.missing:  # the trial itself is done and stays so
        return ended(job, "failed", f"not scored: {message}")
    return write_failure(job, place, cause_of(error), message, traceback.format_exc())
