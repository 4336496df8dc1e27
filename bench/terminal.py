"""What a person sees while it runs: live on a terminal, plain lines anywhere else. All goes to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bench.execute import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.progress import Progress, TaskID

Count = Callable[[int, int], None]
"""Called with (done, total)."""
MARKS = {"done": "●", "diverged": "✗", "failed": "!"}


def duration(seconds: float) -> str:
    """``58 s``, ``3:04``, ``2:10:00``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Terminal:
    """Notes, counters and the progress of trials, in the form that fits where stderr goes."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty() and not quiet

    def note(self, text: str) -> None:
        """One line about what happens."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def alert(self, text: str) -> None:
        """One line from a signal's handler, where Python's own streams may be in the middle of another."""
        if not self.quiet:
            os.write(2, f"\n{text}\n".encode())

    @contextlib.contextmanager
    def counting(self, what: str, unit: str = "") -> Iterator[Count]:
        """A bar for one long count; anywhere but on a terminal, a line when it took long enough to matter."""
        if not self.live:
            yield _PlainCount(self, what, unit)
            return
        progress = _bar(_console())
        task = progress.add_task(what, total=None)
        with progress:
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextlib.contextmanager
    def trials(self, study: str, total: int, workers: int) -> Iterator[Trials]:
        """Progress over ``total`` jobs."""
        if not self.live:
            yield Trials(self, total)
            return
        from rich.live import Live

        console = _console()
        progress = _bar(console)
        task = progress.add_task(f"{study}  {workers} worker{'s' * (workers > 1)}", total=total)
        screen = LiveTrials(self, total, progress, task)
        with Live(screen.view(), console=console, refresh_per_second=4, transient=True) as live:
            screen.attach(live)
            yield screen


class Trials:
    """Plain form: one line per trial that ends."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self.terminal, self.total, self.ended_count = terminal, total, 0

    def listen(self, event: Event) -> None:
        """News of a running trial; the plain form says notes only."""
        if event.kind == "note":
            self.print(f"  {event.arm} {event.replicate}  {event.text}")

    def ended(self, event: Event) -> None:
        """A job is over."""
        self.ended_count += 1
        self.print(self.line(event))

    def postponed(self, event: Event) -> None:
        """A job is over for now, ``event`` a note why; it runs again."""
        self.listen(event)

    def print(self, line: str) -> None:
        """Show a finished line."""
        self.terminal.note(line)

    def line(self, event: Event) -> str:
        """``  3/12 ● randaugment s0  local 91.2  hidden 71.0  18 s``."""
        width = len(str(self.total))
        kind = "" if event.kind == "done" else f"{event.kind}: "
        place = f"{self.ended_count:>{width}}/{self.total} {MARKS.get(event.kind, ' ')}"
        return f"  {place} {event.arm} {event.replicate}  {kind}{event.text}  {duration(event.seconds)}"


class LiveTrials(Trials):
    """Terminal form: a bar with the time left, the trials that run now, finished lines above."""

    def __init__(self, terminal: Terminal, total: int, progress: Progress, task: TaskID) -> None:
        super().__init__(terminal, total)
        self.progress, self.task = progress, task
        self.running: dict[str, Event] = {}
        self._live: Live | None = None

    def attach(self, live: Live) -> None:
        """Where to draw."""
        self._live = live

    def listen(self, event: Event) -> None:
        """Show where a running trial is."""
        super().listen(event)
        if event.kind != "note":
            self.running[event.trial] = event
        self._draw()

    def ended(self, event: Event) -> None:
        """Move a trial from the running to the finished lines."""
        self.running.pop(event.trial, None)
        self.progress.advance(self.task)
        super().ended(event)
        self._draw()

    def postponed(self, event: Event) -> None:
        """Take a trial from the running ones."""
        self.running.pop(event.trial, None)
        super().postponed(event)

    def print(self, line: str) -> None:
        """Above the live part, without markup: an arm's name may hold brackets."""
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)

    def view(self) -> RenderableType:
        """The live part."""
        from rich.console import Group
        from rich.text import Text

        lines = [
            Text(f" ◐ {e.arm} {e.replicate}  {e.text}", overflow="ellipsis", no_wrap=True)
            for e in self.running.values()
        ]
        return Group(self.progress, *lines)

    def _draw(self) -> None:
        if self._live:
            self._live.update(self.view())


class _PlainCount:
    """Says nothing of short counts, and a long one in tenths."""

    def __init__(self, terminal: Terminal, what: str, unit: str) -> None:
        self.terminal, self.what, self.unit, self.tenth = terminal, what, unit, 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total >= 1000 else 0
        if tenth > self.tenth:
            self.tenth = tenth
            self.terminal.note(f"  {self.what}  {done}/{total} {self.unit}".rstrip())


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
