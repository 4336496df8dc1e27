import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special
from scipy import stats as scipy_stats

from bench.stats import (
    Interval,
    brown_forsythe,
    difference_of_gaps,
    fold_interval,
    paired_t,
    two_way,
)

T1, T2 = 12.706204736432095, 4.302652729911275  # Student's t at .975 with 1 and 2 degrees of freedom


def test_two_seeds_and_three_images_worked_by_hand():
    i = two_way(np.array([[1.0, 0, 0], [1, 1, 0]]))
    assert i.mean == pytest.approx(1 / 2)
    assert i.seed_variance == pytest.approx(1 / 36)
    assert i.item_variance == pytest.approx(1 / 12)
    assert i.interaction == pytest.approx(1 / 36)
    assert i.variance == pytest.approx(1 / 12)
    assert i.seed_share == pytest.approx(1 / 3)
    assert i.quantile(0.05) == pytest.approx(T1 / 3 + 2 * T2 / 3)
    assert i.high == pytest.approx(0.5 + (T1 / 3 + 2 * T2 / 3) * math.sqrt(1 / 12))
    assert i.low == pytest.approx(1 - i.high)


def test_an_additive_table_has_no_interaction():
    i = two_way(np.array([[0.2, 0.0, 0.4], [0.4, 0.2, 0.6]]))
    assert (i.seed_variance, i.item_variance) == (pytest.approx(0.01), pytest.approx(0.08 / 6))
    assert i.interaction == pytest.approx(0, abs=1e-15)


def test_pure_interaction_leaves_no_variance_and_no_p_below_one():
    i = two_way(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert i.interaction == pytest.approx(0.25)
    assert i.variance == 0
    assert (i.low, i.high, i.p(0.0)) == (0.5, 0.5, 1.0)


def test_without_image_variance_it_is_the_paired_t_test():
    rows = np.array([0.3, 0.1, 0.25, 0.4])
    i = two_way(np.repeat(rows[:, None], 7, axis=1))
    assert i.seed_share == pytest.approx(1)
    for value in (0.0, 0.1, 0.7):
        assert i.p(value) == pytest.approx(scipy_stats.ttest_1samp(rows, value).pvalue, rel=1e-6)
    ends = scipy_stats.t.interval(0.95, 3, rows.mean(), scipy_stats.sem(rows))
    assert (i.low, i.high) == pytest.approx(ends)


def test_without_seed_variance_it_is_the_t_test_over_images():
    columns = np.array([0.0, 1, 1, 0, -1, 1, 0, 0, 1])
    i = two_way(np.repeat(columns[None], 3, axis=0))
    assert i.seed_share == 0
    assert i.p(0.0) == pytest.approx(scipy_stats.ttest_1samp(columns, 0).pvalue, rel=1e-6)


def test_p_is_the_level_at_which_the_interval_ends_there():
    i = two_way(np.random.default_rng(1).normal(0.1, 1, (4, 30)))
    for alpha in (0.5, 0.05, 1e-3, 1e-9):
        assert i.p(i.mean + i.half_width(alpha)) == pytest.approx(alpha, rel=1e-6)
        assert i.p(i.mean - i.half_width(alpha)) == pytest.approx(alpha, rel=1e-6)
    assert i.p(i.mean) == pytest.approx(1)


def test_swapping_the_arms_mirrors_the_interval():
    d = np.random.default_rng(2).normal(0.1, 1, (5, 20))
    a, b = two_way(d), two_way(-d)
    assert (a.low, a.high) == pytest.approx((-b.high, -b.low))
    assert a.p(0) == pytest.approx(b.p(0))


def test_one_seed_or_one_image_is_refused():
    with pytest.raises(ValueError, match="1 × 5"):
        two_way(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="3 × 1"):
        two_way(np.zeros((3, 1)))


def test_folds_carry_the_correction_for_shared_training_images():
    i = fold_interval(np.array([1.0, 2, 3, 4, 5]), share=1 / 4)
    assert i.variance == pytest.approx((1 / 5 + 1 / 4) * 2.5)
    assert i.quantile(0.05) == pytest.approx(special.stdtrit(4, 0.975))


def test_a_hidden_set_scored_by_every_fold_inflates_the_seed_part_only():
    d = np.random.default_rng(4).normal(size=(5, 12))
    plain, folds = two_way(d), two_way(d, inflation=1 + 5 / 4)
    assert folds.seed_variance == pytest.approx(2.25 * plain.seed_variance)
    assert folds.item_variance == plain.item_variance


def test_a_gap_adds_the_item_terms_of_both_sets():
    local = np.array([[1.0, 0, 0], [1, 1, 0]])  # V_item 1/12, V_int 1/36, rows 1/3 and 2/3
    hidden = np.array([[0.0, 0], [1, 0]])  # rows 0 and 1/2, V_item 1/16, V_int 1/16
    i = difference_of_gaps(local, hidden)
    assert i.mean == pytest.approx(1 / 4)
    assert i.seed_variance == pytest.approx(2 * (1 / 12) ** 2 / 2)
    assert i.item_variance == pytest.approx(1 / 12 + 1 / 16)
    assert i.interaction == pytest.approx(1 / 36 + 1 / 16)
    assert i.items == 2


def test_costs_are_compared_by_a_paired_t_test_on_log_ratios():
    ratio = np.log(np.array([1.1, 1.2, 1.15]))
    assert paired_t(ratio).p(0) == pytest.approx(scipy_stats.ttest_1samp(ratio, 0).pvalue, rel=1e-6)


def test_equal_costs_have_no_variance():
    assert paired_t(np.log(np.array([1.3, 1.3, 1.3]))).variance == 0


def test_spread_is_compared_around_the_median():
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([0.0, 9, 3, -6, 4])
    found = brown_forsythe(a, b)
    assert found.mean == pytest.approx(b.std(ddof=1) - a.std(ddof=1))
    assert found.p(0) == pytest.approx(scipy_stats.levene(a, b, center="median").pvalue)
    assert found.p(0.01) == 1
    assert brown_forsythe(np.ones(3), np.ones(3)).p(0) == 1


def _study(
    rng: np.random.Generator, effect: float, seed_sd: float, image_sd: float
) -> tuple[np.ndarray, float]:
    """Differences (5, 300) of two probit arms that share seeds and images, and the true difference."""
    item = rng.normal(size=300)
    answers = []
    for arm in range(2):
        latent = (
            1.0 + effect * arm + item + image_sd * rng.normal(size=300) + seed_sd * rng.normal(size=(5, 1))
        )
        answers.append(latent + 0.5 * rng.normal(size=(5, 300)) > 0)
    spread = math.sqrt(1 + image_sd**2 + seed_sd**2 + 0.25)
    truth = special.ndtr((1 + effect) / spread) - special.ndtr(1 / spread)
    return answers[1].astype(float) - answers[0], truth


def _coverage(make: Callable[[np.ndarray], Interval], *scenario: float) -> float:
    rng = np.random.default_rng(5)
    studies = [_study(rng, *scenario) for _ in range(500)]
    return float(np.mean([make(d).low <= truth <= make(d).high for d, truth in studies]))


@pytest.mark.parametrize("effect", [0.0, 0.4])
@pytest.mark.parametrize(("seed_sd", "image_sd"), [(0.15, 0.3), (0.02, 0.3), (0.02, 1.0), (0.3, 1.0)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(effect: float, seed_sd: float, image_sd: float):
    assert 0.93 <= _coverage(two_way, effect, seed_sd, image_sd) <= 0.995


def test_where_images_matter_most_an_interval_over_seeds_alone_does_not():
    assert _coverage(lambda d: paired_t(d.mean(axis=1)), 0.4, 0.02, 1.0) < 0.85
