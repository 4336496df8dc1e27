import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from bench.stats import Interval, moderate, prior, seeds_needed, smallest_effect, two_way
from bench.stats.moderated import inverse_trigamma
from bench.stats.power import with_seeds


def interval(variance: float, seeds: int = 5, mean: float = 0.02) -> Interval:
    """A comparison whose images add nothing, its seeds' variance given."""
    return Interval(mean, variance / seeds, 0.0, 0.0, seeds, 100)


def test_the_inverse_of_trigamma_is_one_from_tiny_to_huge():
    x = np.geomspace(1e-6, 1e6, 60)
    assert special.polygamma(1, inverse_trigamma(x)) == pytest.approx(x, rel=1e-9)


def test_a_prior_of_three_variances_worked_by_hand():
    """d = 4: ψ(2) = 1 − γ, ψ′(2) = π²/6 − 1, and of log s² = −2, 0, 2 the variance is 4."""
    s2 = np.exp([-2.0, 0.0, 2.0])
    found = prior(s2, 4)
    excess = 4 - (math.pi**2 / 6 - 1)
    half = float(inverse_trigamma(excess))
    assert found.freedom == pytest.approx(2 * half)
    middle = -(1 - 0.5772156649015329) + math.log(2)
    assert found.variance == pytest.approx(math.exp(middle + special.digamma(half) - math.log(half)))


def test_variances_no_further_apart_than_chance_lend_as_much_as_is_allowed():
    found = prior([1.0, 1.0, 1.0, 1.0, 1.0], 4, orthogonal=True)
    assert found.freedom == pytest.approx((5 - 1) * 4 / 2)
    assert prior([1.0, 1.0, 1.0, 1.0, 1.0], 4).freedom == 5, "a noisy baseline may have been quiet by luck"
    assert found.variance == pytest.approx(2 * math.exp(-special.digamma(2)))


def test_others_lend_as_far_as_seeds_are_what_is_uncertain():
    seeds = [interval(v) for v in (0.0008, 0.001, 0.0012)]
    common = float(prior([0.0008, 0.001, 0.0012], 4).variance) / 5
    images = [replace(one, item_variance=3 * common) for one in seeds]
    for told, orthogonal, weight in ((seeds, False, 1), (images, False, 1 / 16), (images, True, 1)):
        first = moderate(told, orthogonal=orthogonal)[0]
        assert first
        assert first.shared
        assert first.shared.freedom == pytest.approx(4 + 4 * weight)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_of_many_comparisons_the_prior_is_the_one_they_were_drawn_from(seeds: int):
    rng = np.random.default_rng(seeds)
    d, d0, s0 = seeds - 1, 6.0, 0.3
    true = s0 * d0 / rng.chisquare(d0, 20_000)
    found = prior(true * rng.chisquare(d, 20_000) / d, d, orthogonal=True)
    assert found.freedom == pytest.approx(d0, rel=0.1)
    assert found.variance == pytest.approx(s0, rel=0.05)


def test_unequal_numbers_of_seeds_are_fitted_each_by_its_own():
    rng = np.random.default_rng(1)
    d = rng.choice([2, 4, 7, 11], 20_000)
    true = 0.3 * 6 / rng.chisquare(6, 20_000)
    found = prior(true * rng.chisquare(d) / d, d, orthogonal=True)
    assert found.freedom == pytest.approx(6, rel=0.1)
    assert found.variance == pytest.approx(0.3, rel=0.03)


def test_what_is_missing_or_never_varies_tells_nothing_and_studies_are_fitted_each_alone():
    whole = prior([1.0, 2.0, 4.0], 4)
    several = prior([[1.0, 2.0, 4.0, np.nan, 0.0], [3.0, np.nan, np.nan, np.nan, np.nan]], 4)
    assert several.variance[0] == pytest.approx(whole.variance)
    assert several.freedom == pytest.approx([float(whole.freedom), 0.0])


def test_fewer_than_two_comparisons_share_nothing():
    assert moderate([]) == []
    for few in ([interval(1.0)], [interval(1.0), None], [interval(1.0), interval(0.0)]):
        assert moderate(few) == few


def test_two_comparisons_lend_each_other_half_of_what_they_have():
    first, second = moderate([interval(0.9), interval(1.1)])
    assert first
    assert first.shared
    assert first.shared.freedom == pytest.approx(4 + 2)
    assert second == interval(1.1) or (second and second.shared)


def test_only_the_quieter_are_moderated_and_their_verdicts_follow_the_larger_variance():
    quiet, loud = interval(0.0001), interval(0.04)
    found = moderate([quiet, *[interval(0.001)] * 4, loud])
    assert found[-1] == loud
    assert found[0]
    assert found[0].shared
    assert found[0].deciding.seed_variance > quiet.seed_variance
    assert found[0].seed_variance == quiet.seed_variance


def test_one_that_never_varied_is_judged_by_the_noise_of_the_others():
    still = Interval(0.02, 0.0, 1e-6, 0.0, 5, 100)
    found = moderate([still, interval(0.001), interval(0.001)])[0]
    assert found
    assert found.p(0) > still.p(0)


def test_the_interval_is_the_wider_of_the_two_and_p_is_that_of_the_deciding_one():
    found = [one for one in moderate([interval(v) for v in (0.0008, 0.0009, 0.001, 0.0012)]) if one]
    shared = [one for one in found if one.shared]
    assert shared
    for one in shared:
        own = replace(one, shared=None)
        assert one.half_width() == max(own.half_width(), one.deciding.half_width())
        assert one.p(0) == one.deciding.p(0) != own.p(0)
        assert one.low <= own.low


def test_a_turned_comparison_has_the_same_p_and_width():
    one = moderate([interval(v) for v in (0.0008, 0.001, 0.0012)])[0]
    assert one
    turned = replace(one, mean=-one.mean)
    assert (turned.p(-0.01), turned.half_width()) == (one.p(0.01), one.half_width())


def test_comparisons_of_all_pairs_lend_no_more_than_their_arms_can_know():
    six = [interval(v) for v in (0.9, 0.95, 1.0, 1.0, 1.05, 1.1)]
    alone = [one.shared.freedom for one in moderate(six) if one and one.shared]
    of_arms = [one.shared.freedom for one in moderate(six, independent=2) if one and one.shared]
    assert (set(alone), set(of_arms)) == ({4 + 5.0}, {4 + 2.0})


def test_what_can_be_detected_and_how_many_seeds_it_takes_follow_the_deciding_variance():
    one = moderate([interval(v, seeds=3) for v in (0.0009, 0.001, 0.0011)])[0]
    assert one
    own = replace(one, shared=None)
    assert smallest_effect(one) == smallest_effect(one.deciding) < smallest_effect(own)
    assert seeds_needed(one, 0.03) == seeds_needed(one.deciding, 0.03)
    more = with_seeds(one, 8)
    assert one.shared
    assert more.freedom_of_seeds == one.shared.freedom + 5
    assert more.seed_variance == pytest.approx(one.shared.variance * 3 / 8)


def test_seeds_that_vary_alike_are_moderated_from_real_tables_too():
    rng = np.random.default_rng(3)
    tables = [
        two_way(0.02 * rng.standard_normal((3, 1)) + 0.1 * rng.standard_normal((3, 50))) for _ in range(8)
    ]
    found = moderate(tables)
    assert any(one and one.shared for one in found)
    for one, own in zip(found, tables, strict=True):
        assert one
        assert one.half_width() >= own.half_width()
