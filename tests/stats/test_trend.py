"""Levels in an order: the line, the bend, and which of them may be the best."""

from __future__ import annotations

import numpy as np
import pytest

from bench import stats
from bench.stats import Interval


@pytest.mark.parametrize("levels", [3, 4, 5, 8])
def test_the_line_and_the_bend_are_those_of_a_least_squares_fit(levels: int) -> None:
    means = np.random.default_rng(levels).normal(size=levels)
    at = np.arange(levels) - (levels - 1) / 2
    slope, (square, *_) = np.polyfit(at, means, 1)[0], np.polyfit(at, means, 2)
    assert stats.line(levels) @ means == pytest.approx(slope * (levels - 1))
    assert stats.bend(levels) @ means == pytest.approx(-square * at[-1] ** 2)


def test_by_hand() -> None:
    assert stats.line(3).tolist() == [-1, 0, 1]
    assert stats.bend(3) @ [1, 2, 1] == pytest.approx(1)
    assert stats.line(5) @ np.arange(5) == pytest.approx(4)


@pytest.mark.parametrize("levels", [3, 6])
def test_what_all_levels_share_counts_for_neither_and_a_line_has_no_bend(levels: int) -> None:
    for weights in (stats.line(levels), stats.bend(levels)):
        assert weights.sum() == pytest.approx(0)
    assert stats.bend(levels) @ np.arange(levels) == pytest.approx(0)


def compared(means: list[float], sd: float, seeds: int = 5):
    def one(i: int, j: int) -> Interval | None:
        return Interval(means[i] - means[j], sd**2, 0.0, 0.0, seeds, 100)

    return one


def test_only_what_some_other_level_is_better_than_goes() -> None:
    assert stats.among_best(4, compared([0, 5, 6, 1], 0.5)) == (1, 2)
    assert stats.among_best(4, compared([0, 5, 6, 1], 50)) == (0, 1, 2, 3)
    assert stats.among_best(3, lambda i, j: None) == (0, 1, 2)


def test_more_levels_and_fewer_seeds_ask_for_more() -> None:
    # t with 4 degrees of freedom: p = .02 at 3.75
    assert stats.among_best(2, compared([0, 3.75], 1)) == (1,)
    assert stats.among_best(4, compared([0, 3.75, 3.75, 3.75], 1)) == (0, 1, 2, 3)
    assert stats.among_best(2, compared([0, 5], 1, seeds=3)) == (0, 1)  # p = .038, and .025 is asked for
