import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.stats import (
    assumed,
    items_needed,
    measured,
    seeds_needed,
    smallest_effect,
    spread_seeds_needed,
    two_way,
    upper_sigma,
)
from bench.stats.intervals import Interval


def test_with_seeds_alone_it_is_the_textbook_power_of_a_t_test():
    effect = smallest_effect(assumed(0.02, 0.0, 5, 1000))
    shift = effect / (0.02 / math.sqrt(5))
    assert scipy_stats.nct.sf(scipy_stats.t.ppf(0.975, 4), 4, shift) == pytest.approx(0.8, abs=1e-6)


def test_more_comparisons_and_fewer_seeds_detect_less():
    plan = assumed(0.011, 0.03, 5, 1700)
    assert smallest_effect(plan) < smallest_effect(plan, family=10)
    assert smallest_effect(plan) < smallest_effect(assumed(0.011, 0.03, 3, 1700), alpha=0.025)


def test_the_effect_called_detectable_is_found_four_times_in_five():
    rng, sigma, f, S, N = np.random.default_rng(0), 0.02, 0.05, 5, 200
    effect = smallest_effect(assumed(sigma, f, S, N))
    found = []
    for _ in range(1000):
        d = effect + sigma * rng.normal(size=(S, 1)) + math.sqrt(f) * rng.normal(size=N)
        found.append(two_way(d).p(0) < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_seeds_needed_is_the_first_number_that_detects_the_effect():
    plan = assumed(0.011, 0.003, 5, 1700)
    needed = seeds_needed(plan, 0.01)
    assert needed is not None
    assert smallest_effect(assumed(0.011, 0.003, needed, 1700)) <= 0.01
    assert smallest_effect(assumed(0.011, 0.003, needed - 1, 1700)) > 0.01


def test_when_the_images_are_too_few_no_number_of_seeds_is_enough():
    assert seeds_needed(assumed(0.011, 0.03, 5, 1700), 0.01) is None


def test_images_needed_are_the_fewest_that_detect_the_effect_with_the_seeds_there_are():
    seed, item, both = 0.002, 0.03, 0.02
    S, N = 5, 1700

    def at(images):
        """By the two-way model: what seeds and images do together is in both variances."""
        crossed = both / (S * images)
        return Interval(0.0, seed**2 / S + crossed, item / images + crossed, crossed, S, images)

    needed, seeds = items_needed(at(N), 0.01)
    assert seeds == S
    assert smallest_effect(at(needed)) <= 0.01 + 1e-9
    assert smallest_effect(at(int(0.99 * needed))) > 0.01
    assert needed > N


def test_where_images_alone_are_not_enough_the_seeds_are_doubled_until_they_are():
    noisy = assumed(0.011, 0.03, 3, 1700)
    assert seeds_needed(noisy, 0.01) is None
    needed, seeds = items_needed(noisy, 0.01)
    assert seeds in (6, 12, 24, 48)
    assert smallest_effect(assumed(0.011, 0.03, seeds, needed)) <= 0.01
    assert all(
        smallest_effect(assumed(0.011, 0.03, seeds // 2, images)) > 0.01 for images in (needed, 100 * 1700)
    )
    assert items_needed(assumed(0.011, 30.0, 3, 30), 0.001) is None, "nobody gets so many"


def test_no_variance_detects_nothing():
    assert smallest_effect(assumed(0.0, 0.0, 5, 100)) == math.inf


def test_what_was_measured_plans_the_next_study():
    d = np.random.default_rng(1).normal(0, 0.05, (5, 1)) + np.random.default_rng(2).normal(size=300)
    i = two_way(d)
    sigma, f = measured(i)
    assert sigma == pytest.approx(d.mean(axis=1).std(ddof=1))
    again = assumed(sigma, f, 5, 300)
    assert again.variance == pytest.approx(i.variance, rel=1e-3)


def test_an_sd_from_five_seeds_may_be_half_as_large_again():
    assert upper_sigma(1.0, 5) == pytest.approx(1.558, abs=1e-3)


@pytest.mark.parametrize(("ratio", "family"), [(2.0, 1), (0.5, 1), (3.0, 5)])
def test_seeds_for_a_difference_in_spread_are_those_of_the_f_test(ratio: float, family: int):
    needed = spread_seeds_needed(ratio, 0.05, family)
    assert needed

    def power(seeds: int) -> float:
        f = scipy_stats.f(seeds - 1, seeds - 1)
        return f.sf(f.ppf(1 - 0.05 / family / 2) / max(ratio, 1 / ratio) ** 2)

    assert power(needed - 1) < 0.8 <= power(needed)


def test_equal_spreads_take_no_number_of_seeds():
    assert spread_seeds_needed(1.0) is None
    assert spread_seeds_needed(float("nan")) is None
