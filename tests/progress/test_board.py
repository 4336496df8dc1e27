from __future__ import annotations

import pytest
from boards import Clock, cells

from bench.execute import Event
from bench.progress.board import Board, Cell, row
from bench.progress.screen import curve_rows


def event(trial: str, kind: str = "epoch", **changes: object) -> Event:
    return Event(kind, trial, trial[0], int(trial[1:]), **changes)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_trial_runs_ends_and_is_counted(clock: Clock) -> None:
    board = Board("s", 2, cells=cells(a="mm"), clock=clock)
    board.listen(event("a0", "started"))
    assert row(list(board.cells.values())) == "◐·"
    board.end(event("a0", "diverged", seconds=3.0))
    board.listen(event("a1", "started"))
    board.postpone(event("a1", "note"))
    assert row(list(board.cells.values())) == "✗·"
    assert (board.ended, board.running) == (1, {})


def test_a_trial_of_two_arms_stands_in_both_rows(clock: Clock) -> None:
    both = {("a", "t"): Cell("t", "a", "missing"), ("b", "t"): Cell("t", "b", "missing")}
    board = Board("s", 1, cells=both, clock=clock)
    board.end(Event("done", "t", "a", 0))
    assert [cell.state for cell in board.cells.values()] == ["done", "done"]


def test_what_learned_little_has_a_mark_and_counts_as_time_spent(clock: Clock) -> None:
    board = Board("s", 2, cells=cells(a="mm"), clock=clock)
    board.end(event("a0", "done", seconds=30.0, little_learned=True))
    assert row(list(board.cells.values())) == "◔·"
    assert board.left_s() == pytest.approx(30.0)


def test_nothing_is_said_of_the_time_left_before_anything_was_measured(clock: Clock) -> None:
    board = Board("s", 2, cells=cells(a="mm"), clock=clock)
    assert board.left_s() is None
    board.listen(event("a0", "started"))
    assert board.left_s() is None


def test_the_first_trials_epochs_tell_how_long_all_take(clock: Clock) -> None:
    board = Board("s", 2, cells=cells(a="mm"), clock=clock)
    board.listen(event("a0", "started"))
    clock.now += 6
    # epoch 2 of 4 in the second of two stages: three quarters in 6 s, so 2 s are left of 8
    board.listen(event("a0", at={"stage": 2, "stages": 2, "epoch": 2, "epochs": 4}))
    # the other, of which nothing is known, is taken to need as long as what is known
    assert board.left_s() == pytest.approx(4.0)


def test_finished_trials_of_an_arm_tell_how_long_its_others_take_shared_by_the_workers(clock: Clock) -> None:
    board = Board("s", 3, 2, cells=cells(a="dm", b="mm"), clock=clock)
    board.cells["b", "b0"] = Cell("b0", "b", "done", 30.0)
    board.ended = 1
    # a1 takes 10 s, b1 30 s: 40 s of work for two workers
    assert board.left_s() == pytest.approx(20.0)
    board.listen(event("b1", "started"))
    clock.now += 4
    # 26 s of b1 are left, and no other worker can take part of it
    assert board.left_s() == pytest.approx(26.0)


def test_many_trials_of_an_arm_are_counted() -> None:
    many = [*cells(a="d" * 30 + "m" * 5 + "x").values()]
    assert row(many) == "30 ●  1 ✗  5 ·"
    assert row(many[:3]) == "●●●"


def test_a_trial_that_runs_is_told_with_its_curve_until_it_ends(clock: Clock) -> None:
    board = Board("s", 2, clock=clock)
    at = {"stage": 1, "stages": 1, "epoch": 1, "epochs": 4, "loss": 1.0, "images_per_s": 1.0}
    for value in (0.25, 0.5, float("nan"), 1.0):
        board.listen(event("a0", at={**at, "val_accuracy": value}))
    (told,) = board.as_data()["running"]
    assert told["curve"] == [0.25, 0.5, 1.0]
    assert curve_rows([told, {"arm": "b", "replicate": "s0"}], 60) == [
        "validation accuracy over evaluations, ▁ 25.0 to █ 100.0 %",
        "  a s0  ▁▃█  now 100.0, best 100.0, of 3",
        "  b s0  none yet",
    ]
    long = {"arm": "a", "replicate": "s1", "curve": [i / 100 for i in range(101)]}
    drawn = curve_rows([long], 60)[1].split()[2]
    assert (len(drawn), drawn[-1], list(drawn)) == (22, "█", sorted(drawn))
    assert curve_rows([], 60) == ["no running trial was evaluated yet"]
    board.end(event("a0", "done"))
    assert board.curves == {}
