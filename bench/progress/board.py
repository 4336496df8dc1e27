"""How a run stands, seen from outside: its trials arm by arm, those that run, the time left."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.execute import Event, Job

CellState = Literal[
    "done", "little learned", "diverged", "failed", "pruned", "running", "unscored", "missing", "unknown"
]
MARKS: dict[str, str] = {
    "done": "●",
    "little learned": "◔",
    "diverged": "✗",
    "failed": "!",
    "pruned": "◖",
    "running": "◐",
    "unscored": "◌",
    "missing": "·",
    "unknown": "?",
}
MOST_MARKS = 24
"""Trials of an arm that are drawn one by one; more, as of a search, are counted."""
MOST_POINTS = 1000
"""Evaluations of a running trial that are told, the last ones."""


@dataclass(frozen=True)
class Cell:
    """One trial of a study."""

    trial: str
    arm: str
    state: CellState
    seconds: float = 0.0
    """What it took, where it has ended."""


@dataclass
class Board:
    """A batch of jobs within its study; kept up to date by the events of an executor."""

    title: str
    total: int
    """Jobs of this batch."""
    workers: int = 1
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """Every trial of the study by arm and id, in its order, this batch included; arms may share a trial."""
    ended: int = 0
    running: dict[str, Event] = field(default_factory=dict)
    """Latest news of each trial that runs."""
    since: dict[str, float] = field(default_factory=dict)
    """When it began, on ``clock``."""
    curves: dict[str, list[float]] = field(default_factory=dict)
    """Validation accuracy at each evaluation of each trial that runs, since this run began."""
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    waits: str = ""
    """What nothing runs here for, in words."""

    def __post_init__(self) -> None:
        self.began = self.clock()

    def listen(self, event: Event) -> None:
        """News of a running trial."""
        if event.kind == "note":
            return
        self.running[event.trial] = event
        self.since.setdefault(event.trial, self.clock())
        value = float(event.at.get("val_accuracy", math.nan))
        if math.isfinite(value):
            self.curves.setdefault(event.trial, []).append(value)
        self._set(event, "running")

    def end(self, event: Event) -> None:
        """A job is over."""
        self._forget(event)
        self.ended += 1
        kind = event.kind
        state: CellState = kind if kind in ("done", "diverged", "pruned") else "failed"
        self._set(event, "little learned" if event.little_learned else state, event.seconds)

    def postpone(self, event: Event) -> None:
        """A job is over for now and runs again."""
        self._forget(event)
        self._set(event, "missing")

    def put_aside(self, event: Event) -> None:
        """A job is another run's, as far as anybody knows."""
        self._forget(event)
        self._set(event, "running")

    def left_s(self) -> float | None:
        """Seconds until the last job ends, from what others took; None while nothing can be told."""
        took: dict[str, list[float]] = {}
        for cell in self.cells.values():
            if cell.state in ("done", "little learned") and cell.seconds:
                took.setdefault(cell.arm, []).append(cell.seconds)
        now = self.clock()
        left = [self._left(event, now, took) for event in self.running.values()]
        waiting = [cell.arm for cell in self.cells.values() if cell.state == "missing"]
        expected = [_mean(took, arm) for arm in waiting[: max(0, self.total - self.ended - len(left))]]
        known = [seconds for seconds in (*left, *expected) if seconds is not None]
        if not known:
            return None
        # what cannot be told yet takes as long as the rest
        whole = sum(known) / len(known) * (len(left) + len(expected))
        longest = max((seconds for seconds in left if seconds is not None), default=0.0)
        return max(whole / self.workers, longest)

    def as_data(self) -> dict[str, Any]:
        """What another process may want to know."""
        running = [
            {
                "trial": event.trial,
                "arm": event.arm,
                "replicate": event.replicate,
                "seconds": round(self.clock() - self.since[event.trial], 1),
                "text": event.text,
                **event.at,
                "curve": self.curves.get(event.trial, [])[-MOST_POINTS:],
            }
            for event in self.running.values()
        ]
        return {
            "title": self.title,
            "total": self.total,
            "ended": self.ended,
            "workers": self.workers,
            "seconds": round(self.clock() - self.began, 1),
            "left_s": self.left_s(),
            "running": running,
            "waits": self.waits,
        }

    def _left(self, event: Event, now: float, took: dict[str, list[float]]) -> float | None:
        elapsed = now - self.since[event.trial]
        if (expected := _mean(took, event.arm)) is not None:
            return max(0.0, expected - elapsed)
        at = event.at
        if not at:
            return None
        share = (at["stage"] - 1 + at["epoch"] / at["epochs"]) / at["stages"]
        return elapsed * (1 - share) / share

    def _set(self, event: Event, state: CellState, seconds: float = 0.0) -> None:
        for arm, trial in [key for key in self.cells if key[1] == event.trial]:
            self.cells[arm, trial] = Cell(trial, arm, state, seconds)

    def _forget(self, event: Event) -> None:
        self.running.pop(event.trial, None)
        self.since.pop(event.trial, None)
        self.curves.pop(event.trial, None)


def board(title: str, jobs: Sequence[Job], workers: int, standing: Iterable[Cell] = ()) -> Board:
    """The board of a batch before its first job.

    standing   the other trials of the study, and how they stand
    """
    cells = {(cell.arm, cell.trial): cell for cell in standing}
    for job in jobs:
        trial = job.run.trial.id
        cells[job.run.arm, trial] = Cell(trial, job.run.arm, "missing")
    return Board(title, len(jobs), workers, cells)


def row(cells: Sequence[Cell], most: int = MOST_MARKS) -> str:
    """A mark for each trial; of more than ``most``, as in a search, how many there are of each."""
    states = [cell.state for cell in cells]
    if len(states) <= most:
        return "".join(MARKS[state] for state in states)
    counts = Counter[str](states)
    return "  ".join(f"{counts[state]} {mark}" for state, mark in MARKS.items() if counts[state])


def _mean(took: dict[str, list[float]], arm: str) -> float | None:
    """What a trial of ``arm`` takes; where none has ended, what any does; None where none at all has."""
    values = took.get(arm) or [seconds for of_arm in took.values() for seconds in of_arm]
    return sum(values) / len(values) if values else None
