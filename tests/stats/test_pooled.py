"""Means over data sets, and what a new one would show."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats
from simulation_pooled import World, draw, judged, weighed, worlds

from bench import stats

BCG = """
4 119 11 128 | 6 300 29 274 | 3 228 11 209 | 62 13536 248 12619 | 33 5036 47 5761 | 180 1361 372 1079
8 2537 10 619 | 505 87886 499 87892 | 29 7470 45 7232 | 17 1699 65 1600 | 186 50448 141 27197
5 2493 3 2338 | 27 16886 29 17825
"""
"""Ill and well with the vaccine, ill and well without, of 13 trials of it: Colditz et al. 1994."""
STUDIES = 20_000 if "DEEP" in os.environ else 2_000


def log_risk_ratios() -> tuple[list[float], list[float]]:
    trials = [list(map(int, row.split())) for row in BCG.replace("\n", "|").split("|") if row.strip()]
    y = [math.log(a / (a + b) / (c / (c + d))) for a, b, c, d in trials]
    return y, [1 / a - 1 / (a + b) + 1 / c - 1 / (c + d) for a, b, c, d in trials]


def test_numbers_of_the_bcg_trials_come_out():
    """Q and τ² of Paule and Mandel as other programs have them; mean and interval follow by hand."""
    y, v = log_risk_ratios()
    tau2 = float(stats.between(y, v, len(y) - 1))
    assert tau2 == pytest.approx(0.3181, abs=1e-4)
    w = 1 / (np.array(v) + tau2)
    mean, error = w @ y / w.sum(), 1 / math.sqrt(w.sum())
    assert mean == pytest.approx(-0.7150, abs=1e-4)
    quantile = scipy_stats.t.isf(0.025, 12)
    assert [mean - quantile * error, mean + quantile * error] == pytest.approx([-1.1091, -0.3208], abs=1e-4)
    assert stats.pooled(y, v).inconsistency == pytest.approx((152.2330 - 12) / 152.2330, abs=1e-6)


def test_the_median_unbiased_variance_makes_q_its_median():
    y, v = log_risk_ratios()

    def excess(tau2: float) -> float:
        w = 1 / (np.array(v) + tau2)
        return float(w @ np.square(y - w @ y / w.sum()) - scipy_stats.chi2.median(12))

    found = optimize.brentq(excess, 0, 10, xtol=1e-14)
    assert float(stats.between(y, v)) == pytest.approx(found, rel=1e-9)
    assert stats.pooled(y, v).between == pytest.approx(math.sqrt(found), rel=1e-9)


def test_three_equal_data_sets_by_hand():
    """Differences 1, 2, 3 with variance 0.1: Q = 2/(0.1 + τ²) is 2·ln 2 at τ² = 1/ln 2 − 0.1."""
    found = stats.pooled([1, 2, 3], [0.1] * 3)
    tau2 = 1 / math.log(2) - 0.1
    assert found.mean == pytest.approx(2)
    assert found.between == pytest.approx(math.sqrt(tau2))
    assert found.error == pytest.approx(math.sqrt((0.1 + tau2) / 3))
    assert found.high == pytest.approx(2 + 4.302653 * found.error)
    assert found.new_set[1] == pytest.approx(2 + 4.302653 * math.sqrt(tau2 + found.error**2))
    assert found.inconsistency == pytest.approx(0.9)
    assert found.p(found.high) == pytest.approx(0.05)


def test_where_noise_explains_all_the_mean_is_that_of_the_noise_and_no_narrower():
    found = stats.pooled([1.0, 1.01, 0.99, 1.0], [1.0, 1.0, 4.0, 0.25])
    assert (found.between, found.inconsistency) == (0, 0)
    assert found.error == pytest.approx(1 / math.sqrt(1 + 1 + 0.25 + 4))
    assert found.new_set == pytest.approx((found.low, found.high))


def test_many_studies_at_once_are_pooled_as_one():
    seen = draw(World(5, 0.5, unequal=True), 20, np.random.default_rng(1))
    every = weighed(seen)
    for i in range(20):
        one = stats.pooled(list(seen.difference[i]), list(seen.variance[i]))
        expected = (every.mean[i], every.error[i], math.sqrt(every.between[i]))
        assert (one.mean, one.error, one.between) == pytest.approx(expected)


@pytest.mark.parametrize(("y", "v"), [([1, 2], [1, 1]), ([1, 2, 3], [1, 0, 1])])
def test_two_data_sets_or_one_without_noise_have_no_mean(y: list[float], v: list[float]):
    with pytest.raises(ValueError, match="needs 3"):
        stats.pooled(y, v)


@pytest.mark.parametrize("world", worlds(), ids=str)
def test_the_mean_is_covered_and_a_new_data_set_nearly(world: World):
    seen = draw(world, STUDIES, np.random.default_rng(worlds().index(world)))
    found = judged(weighed(seen), seen.new, world.sets)
    assert found.covered >= 0.935
    assert found.false <= 0.065
    assert found.new >= 0.88
