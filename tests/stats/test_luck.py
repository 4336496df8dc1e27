import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.stats import largest_by_luck


def _arms(seeds: list[int], sd: float = 1.0) -> list[np.ndarray]:
    """Arms of given sizes, each with that variance exactly."""
    values = [np.linspace(-1, 1, n) for n in seeds]
    return [sd * one / one.std(ddof=1) for one in values]


@pytest.mark.parametrize("seeds", [[3, 3], [5, 5], [5, 3]])
def test_of_two_arms_it_is_students_t_with_the_pooled_sd(seeds: list[int]):
    freedom = sum(seeds) - 2
    expected = scipy_stats.t.ppf(0.975, freedom) * 0.02 * np.sqrt(1 / seeds[0] + 1 / seeds[1])
    assert largest_by_luck(_arms(seeds, 0.02)) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("arms", "seeds", "published"), [(4, 6, 2.54), (5, 5, 2.65), (10, 3, 2.95)])
def test_of_more_arms_it_is_dunnetts_table(arms: int, seeds: int, published: float):
    """Two-sided 5 %, 20 degrees of freedom: Dunnett 1964, table II."""
    half = largest_by_luck(_arms([seeds] * arms))
    assert half / np.sqrt(2 / seeds) == pytest.approx(published, abs=0.006)


def test_the_largest_of_many_equal_arms_stays_inside_95_times_in_100():
    """Unequal numbers of seeds too; the binomial error of 4,000 studies is .0034."""
    rng, sizes = np.random.default_rng(0), [5, 5, 3, 8, 5, 5]
    of_one = largest_by_luck(_arms(sizes))  # of arms with a pooled sd of 1; it grows with that sd
    assert largest_by_luck(_arms(sizes, 0.02)) == pytest.approx(0.02 * of_one)
    inside = []
    for _ in range(4000):
        arms = [rng.normal(0.7, 0.02, n) for n in sizes]
        apart = max(abs(arm.mean() - arms[0].mean()) for arm in arms[1:])
        squares = sum(float(np.square(arm - arm.mean()).sum()) for arm in arms)
        inside.append(apart <= of_one * np.sqrt(squares / (sum(sizes) - len(sizes))))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.011)


def test_seeds_that_agree_leave_nothing_to_luck_and_one_seed_tells_nothing():
    assert largest_by_luck([np.full(3, 0.5)] * 4) == 0
    with pytest.raises(ValueError, match="2 arms of 2 seeds"):
        largest_by_luck([np.ones(3), np.ones(1)])
