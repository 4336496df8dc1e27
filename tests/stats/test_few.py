import pytest
from few_errors import hold
from scipy import stats as scipy_stats

from bench.stats import at_least


def test_without_an_error_it_is_the_rule_of_three_and_with_some_it_is_clopper_and_pearsons():
    assert at_least(1.0, 300) == pytest.approx(0.05 ** (1 / 300))
    exact = scipy_stats.binomtest(297, 300, alternative="greater").proportion_ci(0.95, method="exact")
    assert at_least(0.99, 300) == pytest.approx(exact.low)
    assert at_least(297 / 300, 300) > at_least(296.4 / 300, 300) > at_least(296 / 300, 300)


def test_where_all_are_wrong_nothing_is_known():
    assert at_least(0.0, 4) == 0


@pytest.mark.parametrize("driven", ["seed", "image"])
def test_the_bound_holds_where_an_interval_of_almost_no_width_would_not(driven: str):
    found = hold(5, 100, 0.998, driven, 200, seed=0)
    assert found.few == 1
    assert found.bound >= 0.95
    assert found.interval <= 0.7
