"""The simulated screens judge as the package does, and find what is there."""

from __future__ import annotations

import os

import numpy as np
import pytest
from simulation import Scenario
from simulation_designs import BATCH, PLANTED, Design, judge, parts_of, simulate

from bench import stats
from bench.study import screens

STUDIES = 1000 if "DEEP" in os.environ else BATCH


@pytest.mark.parametrize(("seeds", "independent"), [(3, None), (5, None), (3, 2), (5, 7)])
def test_many_studies_at_once_are_judged_as_the_package_judges_one(
    seeds: int, independent: int | None
) -> None:
    rng = np.random.default_rng(seeds)
    x = 0.3 * rng.standard_normal((12, 7, seeds, 60)) + 0.1 * rng.standard_normal((12, 7, seeds, 1))
    x += np.array([0.2, 0, 0.1, -0.3, 0, 0, 0])[:, None, None]
    found = judge(parts_of(x), declared=4, independent=independent)
    for study, mine, half in zip(x, found.side, found.half, strict=True):
        every = [stats.two_way(d) for d in study]
        moderated = stats.moderate(every, independent, orthogonal=independent is None)
        intervals = [interval for interval in moderated if interval]
        judged = stats.judge([stats.Hypothesis(interval, 0.01) for interval in intervals[:4]])
        assert list(mine) == [one.zero for one in judged]
        assert half == pytest.approx([interval.half_width() for interval in intervals[:4]])
    assert found.side.any()


def test_a_screen_has_a_column_for_each_factor_and_what_is_left_tells_of_noise() -> None:
    four, seven = Design.screen(4, 4), Design.screen(7, 3)
    assert (four.weights.shape, four.others.shape) == ((4, 8), (3, 8))
    assert (seven.weights.shape, seven.others.shape) == ((7, 8), (0, 8))
    every = np.vstack([four.weights, four.others])
    assert every @ every.T == pytest.approx(np.eye(7) / 2), "apart, and equally certain"
    assert len(four.runs) == len(screens.runs(4))


@pytest.mark.parametrize("driven", ["seed", "image"])
def test_a_planted_effect_is_found_and_no_other(driven: str) -> None:
    one = simulate(Scenario(5, 0.74, driven, True), Design.screen(4, 4), PLANTED[driven], STUDIES, 0)
    assert one.coverage > 0.95 - 3 * max(one.error, 0.01)
    assert one.false < 0.05 + 3 * (0.05 / STUDIES) ** 0.5
    assert one.power > 0.6


def test_a_ladder_has_its_steps_and_the_way_from_the_first_rung() -> None:
    three = Design.ladder(3)
    assert three.runs.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert (three.weights @ three.runs).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]]


def test_a_step_that_does_nothing_is_called_nothing_also_after_one_that_does() -> None:
    one = simulate(Scenario(5, 0.74, "seed", True), Design.ladder(3), PLANTED["seed"], STUDIES, 2)
    assert one.coverage > 0.95 - 3 * max(one.error, 0.01)
    assert one.false < 0.05 + 3 * (0.05 / STUDIES) ** 0.5
    assert one.power > 0.4


def test_a_screen_decides_where_as_many_trials_one_at_a_time_do_not() -> None:
    # 40 trials each: eight arms with five seeds, five arms with eight
    screen = simulate(Scenario(5, 0.74, "seed", True), Design.screen(4, 4), 0.4, 4 * BATCH, 1)
    alone = simulate(Scenario(8, 0.74, "seed", True), Design.one_at_a_time(4), 0.4, 4 * BATCH, 1)
    assert screen.power > alone.power + 0.1  # 0.70 and 0.47 of 200
