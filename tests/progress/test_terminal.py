import io
import json
import sys
from collections.abc import Callable

import pytest

from bench.execute import Event
from bench.progress.board import Board
from bench.progress.terminal import LiveTrials, Terminal


def event(kind: str = "done", **changes: object) -> Event:
    fields = {
        "kind": kind,
        "trial": "ab12",
        "arm": "flips",
        "seed": 1,
        "text": "accuracy local 91.2 %",
        "seconds": 18.0,
    }
    return Event(**(fields | changes))  # type: ignore[arg-type]


def test_notes_go_to_stderr_and_not_when_quiet(capsys: pytest.CaptureFixture[str]):
    Terminal().note("hello")
    Terminal(quiet=True).note("silence")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


def test_every_trial_that_ends_is_one_line(capsys: pytest.CaptureFixture[str]):
    with Terminal().trials(Board("s", 12)) as screen:
        screen.listen(event("epoch"))
        screen.ended(event())
        screen.ended(event("diverged", text="stage 2, step 340"))
        screen.ended(event("failed", text="out of memory"))
        screen.ended(event(little_learned=True))
    assert capsys.readouterr().err.splitlines() == [
        "   1/12 ● flips s1  accuracy local 91.2 %  18 s",
        "   2/12 ✗ flips s1  diverged: stage 2, step 340  18 s",
        "   3/12 ! flips s1  failed: out of memory  18 s",
        "   4/12 ◔ flips s1  little learned: accuracy local 91.2 %  18 s",
    ]


def test_a_long_count_is_said_in_tenths_and_a_short_one_not(capsys: pytest.CaptureFixture[str]):
    with Terminal().counting("reading", "images") as count:
        for done in range(0, 2001, 50):
            count(done, 2000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  reading  200/2000 images"
    assert len(lines) == 10
    with Terminal().counting("reading") as count:
        for done in range(1000):
            count(done, 999)
        count(0, 0)
    assert capsys.readouterr().err == ""


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def as_terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """Make stderr a terminal that remembers what was written."""
    stream = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", stream)  # in the test itself: capturing replaces what a fixture set
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def test_a_terminal_shows_running_trials_and_keeps_finished_lines(monkeypatch: pytest.MonkeyPatch):
    tty = as_terminal(monkeypatch)
    with Terminal().trials(Board("augmentation", 2, 2)) as screen:
        assert isinstance(screen, LiveTrials)
        screen.listen(event("epoch", text="epoch 3/4"))
        assert list(screen.board.running) == ["ab12"]
        screen.ended(event(arm="cnn [bold]"))
        assert screen.board.running == {}
    assert "1/2 ● cnn [bold] s1  accuracy local 91.2 %" in tty.getvalue(), "an arm's name is no markup"


def test_a_terminal_counts_with_a_bar(monkeypatch: pytest.MonkeyPatch):
    tty = as_terminal(monkeypatch)
    with Terminal().counting("downloading x", "bytes") as count:
        count(5, 10)
        count(10, 10)
    assert "downloading x" in tty.getvalue()


def test_quiet_is_quiet_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch):
    tty = as_terminal(monkeypatch)
    with Terminal(quiet=True).trials(Board("s", 1)) as screen:
        screen.ended(event())
    assert tty.getvalue() == ""


def test_json_says_every_event_on_stdout(capsys: pytest.CaptureFixture[str]):
    with Terminal(as_json=True).trials(Board("s", 2)) as screen:
        screen.listen(event("epoch", at={"epoch": 3, "loss": 0.5}))
        screen.ended(event())
    out, err = capsys.readouterr()
    told = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [line["event"] for line in told] == ["epoch", "done"]
    assert (told[0]["loss"], told[0]["arm"], told[0]["study"]) == (0.5, "flips", "s")
    assert (told[1]["ended"], told[1]["total"], told[1]["seconds"]) == (1, 2, 18.0)


def test_json_says_at_once_what_a_run_waits_for(capsys: pytest.CaptureFixture[str]):
    board = Board("s", 2, waits="waiting for 2 trials")
    with Terminal(as_json=True).trials(board) as screen, screen.waits():
        told = json.loads(capsys.readouterr().out)
    assert told == {"event": "waits", "study": "s", "text": "waiting for 2 trials"}


def test_a_signal_is_answered_at_once(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    Terminal().alert("stopping")
    Terminal(quiet=True).alert("silence")
    assert capfd.readouterr().err == "stopping\n"
    as_terminal(monkeypatch)
    terminal = Terminal()
    with terminal.trials(Board("s", 1)) as screen:
        assert isinstance(screen, LiveTrials)
        screen.board.waits = "waiting for others"
        with screen.waits():
            assert str(screen.view().renderables[-1]) == "waiting for others"
            terminal.alert("stopping")
        assert screen.banner == "stopping", "drawn with the rest, a quarter of a second later"
        assert str(screen.view().renderables[-1]) == "stopping"


class Impatient:
    """A timer that goes off at once."""

    def __init__(self, seconds: float, say: Callable[[], None]) -> None:
        self.seconds, self.say = seconds, say

    def start(self) -> None:
        assert self.seconds < 3, "within three seconds"
        self.say()

    def cancel(self) -> None:
        pass


def test_who_reads_a_pipe_is_told_what_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.progress.terminal.threading.Timer", Impatient)
    terminal, board = Terminal(), Board("mine", 12, 2)
    with terminal.waiting("starting"), terminal.counting("reading cells"), terminal.trials(board):
        pass
    board.listen(event("epoch"))
    with terminal.trials(board):
        pass
    assert capsys.readouterr().err.splitlines() == [
        "  starting …",
        "  reading cells …",
        "  mine: 12 trials, 2 at once; starting workers …",
        "  mine: 12 trials, 2 at once; flips s1 run …",
    ]
    with Terminal(quiet=True).waiting("starting"):
        pass
    assert capsys.readouterr().err == ""


def test_who_waits_for_other_runs_says_so_whatever_was_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    class Late(Impatient):
        def start(self) -> None:
            pass

        def cancel(self) -> None:
            self.say()

    monkeypatch.setattr("bench.progress.terminal.threading.Timer", Late)
    terminal = Terminal()
    with terminal.trials(Board("mine", 12, 2, waits="waiting for 3 trials")) as screen, screen.waits():
        screen.board.waits = "waiting for 1 trial of other runs"
        terminal.note("  mine: starting")
    assert "  waiting for 1 trial of other runs …" in capsys.readouterr().err.splitlines()


def test_what_was_said_meanwhile_is_answer_enough(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    timers: list[Impatient] = []

    class Kept(Impatient):
        def start(self) -> None:
            timers.append(self)

    monkeypatch.setattr("bench.progress.terminal.threading.Timer", Kept)
    terminal = Terminal()
    with terminal.waiting("starting"):
        terminal.note("a line")
        timers[0].say()
    assert capsys.readouterr().err == "a line\n"
