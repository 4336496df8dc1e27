import math

import numpy as np
import pytest
from simulation_further import BASELINE, Paired, draw, judged, kinds, of_pairs, with_further

from bench import stats


def tables(seed: int = 0, items: int = 40):
    rng = np.random.default_rng(seed)
    hard = 0.1 * rng.standard_normal(items)
    every = hard + 0.02 * rng.standard_normal((8, 1)) + 0.1 * rng.standard_normal((8, items))
    arm = hard + 0.03 + 0.02 * rng.standard_normal((5, 1)) + 0.1 * rng.standard_normal((5, items))
    return arm, every[:5], every


def test_a_slope_of_one_is_the_paired_difference():
    arm, paired, every = tables()
    found, pairs = stats.with_further(arm, paired, every, 1.0), stats.two_way(arm - paired)
    assert found.mean == pytest.approx(pairs.mean)
    assert found.seed_variance == pytest.approx(pairs.seed_variance)
    assert found.item_variance == pytest.approx(pairs.item_variance)
    assert found.interaction == pytest.approx(pairs.interaction)
    assert found.freedom_of_seeds == pytest.approx(4)


def test_a_slope_of_zero_worked_by_hand():
    """Arm 1, 3 (variance 2), reference 2, 0 and 4, 2: means 2 and 2, variance 8/3; covariance −2 widens."""
    same = np.ones(2)
    arm, every = np.outer([1.0, 3.0], same), np.outer([2.0, 0.0, 4.0, 2.0], same)
    found = stats.with_further(arm, every[:2], every, 0.0)
    assert found.mean == 0
    of_arm, widened, of_reference = 2 / 2, 2 * 2 / 4, 8 / 3 / 4
    assert found.seed_variance == pytest.approx(of_arm + widened + of_reference)
    shares = (of_arm + widened) / 1 + of_reference / 3
    assert found.freedom_of_seeds == pytest.approx((2 + of_reference) / shares)


def test_the_slope_is_one_regression_over_all_arms_and_stays_within_its_bounds():
    base = np.array([0.0, 1.0, 2.0])
    assert stats.slope([(base, 0.5 * base), (base, np.array([1.0, 0.0, 1.0]))]) == pytest.approx(0.25)
    assert stats.slope([(base, 3 * base)]) == 1
    assert stats.slope([(base, -base)]) == 0
    assert stats.slope([(np.ones(3), base)]) == stats.slope([]) == 0


def test_studies_judged_at_once_are_judged_as_one_by_one():
    drawn = draw(Paired(5, 3, 0.5), 6, np.random.default_rng(1))
    at_once = with_further(drawn)
    for study in range(6):
        arms, baseline = drawn.arms[study], drawn.baseline[study]
        slope = stats.slope([(baseline[:5], arm) for arm in arms])
        for place, arm in enumerate(arms):
            one = stats.with_further(*(np.outer(x, np.ones(2)) for x in (arm, baseline[:5], baseline)), slope)
            assert one.mean == pytest.approx(at_once.mean[study, place])
            assert one.seed_variance == pytest.approx(at_once.variance[study, place])
            assert one.freedom_of_seeds == pytest.approx(at_once.freedom[study, place])


STUDIES = 400


@pytest.mark.parametrize("kind", kinds(), ids=str)
def test_further_seeds_of_the_baseline_keep_the_promise_of_intervals_and_verdicts(kind: Paired):
    covered, rejected = judged(with_further(draw(kind, STUDIES, np.random.default_rng(0))), kind, 0.0)
    each = covered.mean(axis=-1)
    assert each.mean() >= 0.945 - 3 * each.std() / math.sqrt(STUDIES)
    assert rejected.any(axis=-1).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


def test_where_pairs_have_nothing_in_common_differences_vary_less():
    drawn = draw(Paired(5, 7, 0.0), STUDIES, np.random.default_rng(0))
    expected = math.sqrt((1 / 5 + 1 / BASELINE) / (2 / 5))
    assert with_further(drawn).mean.std() / of_pairs(drawn).mean.std() == pytest.approx(expected, abs=0.04)
