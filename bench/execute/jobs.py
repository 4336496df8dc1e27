"""What a conductor and its executors tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from bench.machine import Machine
    from bench.plan import Run, ScoredSet


@dataclass(frozen=True)
class Place:
    """What a worker must know about the machine. Nothing in it can change a score."""

    results: Path
    cache: Path
    device: str = "cpu"
    keep_weights: bool = True
    resident_bytes: int = 0
    """Images that a trial may keep on its device; 0: as much as suits the device."""
    owner: str = ""
    """In whose name trials are claimed (``bench.claims``); empty: nobody else is there, none is."""


@dataclass(frozen=True)
class Job:
    """One trial to train and score; or, with ``missing``, only sets to score from its kept weights."""

    run: Run
    missing: tuple[ScoredSet, ...] = ()
    attempt: int = 1
    alone: bool = False
    """With no other trial beside it: memory did not suffice for both."""
    apart: bool = False
    """Takes turns with no other: one of those that it took turns with broke."""


@dataclass(frozen=True)
class Event:
    """News of a job, on its way to the terminal."""

    kind: Literal["started", "epoch", "note", "done", "diverged", "failed", "elsewhere"]
    """``elsewhere``: another run has claimed the trial, or was faster; this one left no record."""
    trial: str
    arm: str
    seed: int
    text: str = ""
    """``epoch``: where training is; ``note``: what the person may want to know, of a trial or, without one,
    of where trials run; ``done``: the scores; ``diverged`` and ``failed``: why, on one line."""
    seconds: float = 0.0
    fold: int | None = None
    cause: str = ""
    """``failed``: the record's cause."""
    at: Mapping[str, float] = field(default_factory=dict)
    """``epoch``: stage, stages, epoch, epochs, loss, val_accuracy, images_per_s; memory_mb on a GPU."""
    candidate: int | None = None
    """Number of a search's candidate."""
    little_learned: bool = False
    """``done``, but little was learned."""
    spent: bool = False
    """Whoever ran it is to make room for a fresh worker: a recording failed on its device."""
    apart: bool = False
    """``failed``, without a record: it took turns with others and one of them broke, or could not take turns;
    the one that broke has its cause."""

    @property
    def replicate(self) -> str:
        """``s3``, in cross-validation ``f3``; of a search ``#3``, and beyond its first seed ``#3 s20001``."""
        from bench.study.file import SEEDS_EACH  # imports pydantic

        if self.candidate is not None:
            return f"#{self.candidate}" + (f" s{self.seed}" if self.seed % SEEDS_EACH else "")
        return f"s{self.seed}" if self.fold is None else f"f{self.fold}"


Listener = Callable[[Event], None]


class Executor(Protocol):
    """Runs batch after batch of jobs somewhere, until it is closed."""

    @property
    def workers(self) -> int:
        """How many jobs run at once, as far as is known."""

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job as it ends: exactly one of done, diverged, failed, elsewhere."""

    def stop(self) -> None:
        """Begin no further job; running ones write a checkpoint and end as ``interrupted``, or just end."""

    def close(self) -> None:
        """Give back what it holds; trials that still run are ended without a record."""


def spent(event: Event, place: Place) -> bool:
    """Whether a worker makes room for a fresh one: told to stop, or its device may be broken for it."""
    return (
        event.spent
        or event.apart
        or event.cause == "interrupted"
        or (place.device != "cpu" and event.cause in ("error", "oom"))
    )


@dataclass(frozen=True)
class Terms:
    """For what an executor is engaged: one ``bench run``."""

    place: Place
    machine: Machine
    timeout_s: float | None = None
    """Longest time a job may take."""
    smoked: bool = False
    """Jobs take a second each."""


Engage = Callable[[Terms, Sequence[Job], Executor | None], Executor]
"""Who runs a batch: whoever ran the one before, to keep its workers, or someone new.

What a registered executor builds. Raises UserError where it cannot work on this machine.
"""
