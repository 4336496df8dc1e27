"""What a person sees while it runs: live on a terminal, plain lines anywhere else. All goes to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TextIO

from bench.errors import shown
from bench.execute import Event
from bench.files import Count
from bench.progress.board import MARKS, Board
from bench.progress.screen import duration, screen_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.progress import Progress


SILENT_S = 2.0
"""Seconds after which whoever reads a pipe is told what is waited for."""


@contextlib.contextmanager
def aside() -> Iterator[TextIO]:
    """Yield stdout for results alone: whatever else is printed meanwhile, by components, goes to stderr.

    By the system's number too, where stdout has its own: so what workers and libraries print does as well.
    """
    before, kept = sys.stdout, None
    before.flush()
    try:
        own = before.fileno() == 1
    except (OSError, ValueError):  # replaced by something that is no file
        own = False
    out: TextIO = before
    if own:
        kept = os.dup(1)
        os.dup2(2, 1)
        out = os.fdopen(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False)
    sys.stdout = sys.stderr
    try:
        yield out
    finally:
        sys.stdout = before
        if kept is not None:
            with contextlib.suppress(BrokenPipeError):
                out.flush()
            os.dup2(kept, 1)
            os.close(kept)


class Terminal:
    """Notes, counters and the progress of trials, in the form that fits where stderr goes."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        """Say nothing when ``quiet``; with ``as_json`` every event is a line of JSON on stdout instead."""
        self.quiet, self.as_json = quiet or as_json, as_json
        self.live = sys.stderr.isatty() and not self.quiet
        self._screen: LiveTrials | None = None
        self._said = 0
        """Lines so far."""
        self.out: TextIO | None = None
        """Where JSON goes; None: stdout, whatever that is by then."""

    def note(self, text: str) -> None:
        """One line about what happens."""
        self._said += 1
        if not self.quiet:
            print(shown(text), file=sys.stderr, flush=True)

    def alert(self, text: str) -> None:
        """One line from a signal's handler, where Python's own streams may be in the middle of another."""
        if self._screen is not None:
            self._screen.banner = text
        elif not self.quiet:
            os.write(2, f"{shown(text)}\n".encode())

    @contextlib.contextmanager
    def waiting(self, what: str | Callable[[], str], *, anyway: bool = False) -> Iterator[None]:
        """Say once what is waited for, where it takes longer than ``SILENT_S`` and nothing else was said.

        what     or what says it, called when it is to be said
        anyway   also where something else was said meanwhile

        Nothing on a terminal that is drawn anew.
        """
        if self.quiet or self.live:
            yield
            return
        said = self._said

        def say() -> None:
            if anyway or self._said == said:
                self.note(f"  {what if isinstance(what, str) else what()} …")

        timer = threading.Timer(SILENT_S, say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def counting(self, what: str, unit: str = "") -> Iterator[Count]:
        """A bar for one long count; anywhere but on a terminal, a line when it took long enough to matter."""
        if not self.live:
            with self.waiting(what):
                yield _PlainCount(self, what, unit)
            return
        progress = _bar(_console())
        task = progress.add_task(what, total=None)
        with progress:
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextlib.contextmanager
    def trials(self, board: Board) -> Iterator[Trials]:
        """Progress over the jobs of ``board``, which is kept up to date."""
        if not self.live:
            with self.waiting(lambda: _running(board)):
                yield (JsonTrials if self.as_json else Trials)(self, board)
            return
        from rich.live import Live

        self._screen = screen = LiveTrials(self, board)
        console = _console()
        live = Live(
            get_renderable=screen.view, console=console, refresh_per_second=4, transient=True, screen=False
        )
        try:
            with live:
                screen.attach(live)
                yield screen
        finally:
            self._screen = None


class Trials:
    """Plain form: one line per trial that ends."""

    def __init__(self, terminal: Terminal, board: Board) -> None:
        self.terminal, self.board = terminal, board

    def listen(self, event: Event) -> None:
        """News of a running trial; the plain form says notes only."""
        self.board.listen(event)
        if event.kind == "note":
            of = f"{event.arm} {event.replicate}  " if event.trial else ""
            self.print(f"  {of}{event.text}")

    def ended(self, event: Event) -> None:
        """A job is over."""
        self.board.end(event)
        self.print(self.line(event))

    def postponed(self, event: Event) -> None:
        """A job is over for now, ``event`` a note why; it runs again."""
        self.board.postpone(event)
        self.listen(event)

    def put_aside(self, event: Event) -> None:
        """A job is another run's; nothing is said before that has ended."""
        self.board.put_aside(event)

    def waits(self) -> AbstractContextManager[None]:
        """Within, nothing runs here: say what the board waits for by then."""
        return self.terminal.waiting(lambda: self.board.waits, anyway=True)

    def print(self, line: str) -> None:
        """Show a finished line."""
        self.terminal.note(line)

    def line(self, event: Event) -> str:
        """``  3/12 ● randaugment s0  accuracy local 91.2 %  hidden 71.0 %  18 s``."""
        board = self.board
        width = len(str(board.total))
        state = "little learned" if event.little_learned else event.kind
        kind = "" if state == "done" else f"{state}: "
        place = f"{board.ended:>{width}}/{board.total} {MARKS.get(state, ' ')}"
        return f"  {place} {event.arm} {event.replicate}  {kind}{event.text}  {duration(event.seconds)}"


class JsonTrials(Trials):
    """Every event as one line of JSON on stdout."""

    def listen(self, event: Event) -> None:
        """News of a running trial."""
        self.board.listen(event)
        self._write(event)

    def ended(self, event: Event) -> None:
        """A job is over."""
        self.board.end(event)
        self._write(event)

    @contextlib.contextmanager
    def waits(self) -> Iterator[None]:
        """Said where the others are, at once."""
        self._print({"event": "waits", "study": self.board.title, "text": self.board.waits})
        yield

    def _write(self, event: Event) -> None:
        board = self.board
        told = {key: value for key, value in vars(event).items() if key not in ("kind", "at")}
        place = {"study": board.title, "ended": board.ended, "total": board.total}
        self._print({"event": event.kind, **place, **told, **event.at})

    def _print(self, line: dict[str, Any]) -> None:
        print(shown(json.dumps(line, ensure_ascii=False), as_json=True), file=self.terminal.out, flush=True)


class LiveTrials(Trials):
    """Terminal form: arms with their trials, those that run now, the time left; finished lines above."""

    def __init__(self, terminal: Terminal, board: Board) -> None:
        super().__init__(terminal, board)
        self.banner = ""
        self._live: Live | None = None

    def attach(self, live: Live) -> None:
        """Where finished lines go above."""
        self._live = live

    def print(self, line: str) -> None:
        """Above the live part, without markup: an arm's name may hold brackets."""
        if self._live:
            self._live.console.print(shown(line), markup=False, highlight=False, soft_wrap=True)

    def view(self) -> RenderableType:
        """The live part; drawn anew four times a second, so that the clock goes on."""
        from rich.console import Group
        from rich.text import Text

        size = shutil.get_terminal_size() if self._live is None else self._live.console.size
        lines = screen_lines(self.board, *size)
        if last := self.banner or self.board.waits:
            lines.append(last)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


class _PlainCount:
    """Says nothing of short counts, and a long one in tenths."""

    def __init__(self, terminal: Terminal, what: str, unit: str) -> None:
        self.terminal, self.what, self.unit, self.tenth = terminal, what, unit, 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total >= 1000 else 0
        if tenth > self.tenth:
            self.tenth = tenth
            self.terminal.note(f"  {self.what}  {done}/{total} {self.unit}".rstrip())


def _running(board: Board) -> str:
    """What a batch waits for: ``mine: 20 trials, 2 at once; none s0, flips s0 run``."""
    named = [f"{event.arm} {event.replicate}" for event in list(board.running.values())[:4]]
    begun = f"{', '.join(named)} run" if named else "starting workers"
    return f"{board.title}: {board.total} trials, {board.workers} at once; {begun}"


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
        transient=True,
    )
