from __future__ import annotations

import pytest
from boards import Clock, cells

from bench.progress.board import Board, Cell
from bench.progress.screen import duration, grid_lines, running_rows, screen_lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (184, "3:04"),
        (3599.6, "1:00:00"),
        (7800, "2:10:00"),
        (360_000, "100:00:00"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def trial(arm: str, **changes: object) -> dict[str, object]:
    at = {"stage": 2, "stages": 2, "epoch": 3, "epochs": 20, "loss": 0.4123, "val_accuracy": 0.912}
    return (
        {"trial": "ab", "arm": arm, "replicate": "s1", "seconds": 46.0, "images_per_s": 1234.5} | at | changes
    )


def test_a_running_trial_is_a_line_with_all_that_matters() -> None:
    # stage 2 of 2, epoch 3 of 20: 57.5 % in 46 s, so 34 s are left
    assert running_rows([trial("flips")], 80, 9) == [
        "  ◐ flips s1  2/2 ep 3/20  loss 0.412  val accuracy 91.2 %  1,234/s  34 s left"
    ]
    assert running_rows([trial("flips", memory_mb=3140.0)], 80, 9) == [
        "  ◐ flips s1  2/2 ep 3/20  loss 0.412  val accuracy 91.2 %  1,234/s  3.1 GB  34 s left"
    ]


def test_columns_of_running_trials_line_up() -> None:
    lines = running_rows([trial("flips"), trial("randaugment", epoch=12, loss=12.5)], 100, 9)
    assert len({line.index("/20") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("width", [80, 160])
def test_long_names_are_cut_to_what_the_terminal_has(width: int) -> None:
    lines = running_rows([trial("an-arm-" * 30), trial("b")], width, 9)
    assert all(len(line) <= width for line in lines)
    assert "34 s left" in lines[0]


def test_more_trials_than_lines_are_counted() -> None:
    assert running_rows([trial("a")] * 9, 80, 4)[-1] == "  and 5 more"


def test_a_screen_shows_the_bar_the_arms_and_what_runs() -> None:
    clock = Clock()
    board = Board("augmentation", 4, 2, cells=cells(none="dm", flips="mm"), clock=clock)
    assert screen_lines(board, 80, 24) == [
        "augmentation  ────────────────────────────  0/4  2 workers  0 s  about 15 s left",
        "  none   ●·",
        "  flips  ··",
        "  the workers start: importing torch takes some seconds",
    ]
    clock.now += 61
    board.ended = 2
    assert screen_lines(board, 80, 24)[0].startswith("augmentation  ━━━━━━━━━━━")
    assert "2/4  2 workers  1:01" in screen_lines(board, 80, 24)[0]


def test_of_hundreds_of_arms_those_are_shown_where_something_happens() -> None:
    many = [Cell(f"t{i}", f"arm{i}", "done") for i in range(300)]
    many[200] = Cell("t200", "arm200", "running")
    many[250] = Cell("t250", "arm250", "failed")
    lines = grid_lines(many, 80, 5)
    assert [line.split()[0] for line in lines] == ["arm200", "arm250", "arm0", "arm1", "and"]
    assert lines[-1] == "  and 296 more arms  296 ●"
