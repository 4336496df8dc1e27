import math

import numpy as np
import pytest
from new_runs import World, foresee
from scipy import stats as scipy_stats

from bench.stats import paired_t, prediction, two_way


def test_of_seeds_alone_it_is_worked_by_hand():
    """Differences 1, 2, 3, 4, 5: mean 3, variance 2.5, V = .5 with 4 degrees of freedom; arms of 4 and 1."""
    found = prediction(paired_t(np.array([1.0, 2, 3, 4, 5])), 4.0, 1.0)
    assert found is not None
    assert found.variance == pytest.approx(4 + 1 + 0.5)
    assert found.freedom == pytest.approx(5.5**2 / ((16 + 1 + 0.25) / 4))
    half = scipy_stats.t.ppf(0.975, found.freedom) * math.sqrt(5.5)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert found.above == pytest.approx(scipy_stats.t.cdf(3 / math.sqrt(5.5), found.freedom))


def test_images_count_through_the_variance_of_the_mean_and_its_degrees_of_freedom():
    d = np.random.default_rng(0).normal(0.02, 0.3, (6, 50)) + np.random.default_rng(1).normal(0, 0.2, 50)
    of_mean = two_way(d)
    found = prediction(of_mean, 1e-4, 3e-4)
    assert found is not None
    V = of_mean.variance
    satterthwaite = V**2 / (of_mean.seed_variance**2 / 5 + of_mean.item_variance**2 / 49)
    total = 4e-4 + V
    nu = total**2 / ((1e-8 + 9e-8) / 5 + V**2 / max(5, satterthwaite))
    assert found.freedom == pytest.approx(nu)
    assert found.high - found.low == pytest.approx(2 * scipy_stats.t.ppf(0.975, nu) * math.sqrt(total))


def test_where_nothing_ever_varied_nothing_is_predicted():
    assert prediction(two_way(np.full((5, 20), 0.1)), 0.0, 0.0) is None
    assert prediction(two_way(np.full((5, 20), 0.1)), 0.0, 0.01) is not None, "the arm's runs do"


@pytest.mark.parametrize("wilder", [1.0, 4.0])
def test_new_runs_are_foreseen_where_the_interval_of_the_mean_misses_them(wilder: float):
    found = foresee(World(5, 0.74, "seed", 0.5, wilder), 300, seed=0)
    assert found.coverage >= 0.93
    assert found.by_effect <= 0.8
