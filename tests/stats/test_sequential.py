from dataclasses import replace

import pytest

from bench.stats import Interval, chance_of_verdict, levels, rejected_now, shrunk


@pytest.mark.parametrize("looks", [1, 2, 3, 4, 7])
def test_the_levels_of_all_looks_add_up_to_five_per_cent(looks: int):
    assert sum(levels(looks)) == pytest.approx(0.05)
    assert len(levels(looks)) == looks


def test_three_looks_spend_as_they_were_simulated():
    assert levels(3) == (0.01, 0.015, 0.025)


def test_a_look_is_a_step_of_holm_over_those_that_are_left():
    p = [0.004, 0.006, 0.03]
    nobody = [False] * 3
    assert rejected_now(p, nobody, nobody, 0.01) == [False, False, False], "0.004 · 3 is above 0.01"
    assert rejected_now(p, nobody, nobody, 0.015) == [True, True, False], "0.012 and 0.006 · 2"
    left = [True, False, False]
    assert rejected_now(p, left, left, 0.015) == [False, True, False], "0.006 · 2, the first has left"


def test_what_was_decided_otherwise_still_counts():
    """With p = 1, so that it makes the others' hurdle no lower, and is never rejected itself."""
    p = [0.001, 0.006, 0.006]
    stopped = [True, False, False]
    assert rejected_now(p, [False] * 3, stopped, 0.015) == [False, False, False], "0.006 · 3"
    assert rejected_now(p, [True, False, False], stopped, 0.015) == [False, True, True], "0.006 · 2"


def test_a_comparison_far_from_every_verdict_has_hardly_a_chance_and_one_near_it_has():
    """Standard error .01, of seeds alone; at twelve of them .0065."""
    still = Interval(0.002, 1e-4, 0.0, 0.0, 5, 100)
    near = replace(still, mean=0.025)
    assert chance_of_verdict(still, None, 12, 0.001) < 0.05
    assert 0.2 < chance_of_verdict(near, None, 12, 0.001) < 0.8
    assert chance_of_verdict(replace(still, mean=0.2), None, 12, 0.001) > 0.99
    behind = replace(still, mean=-0.03)
    assert chance_of_verdict(behind, 0.01, 12, 0.001) > chance_of_verdict(behind, None, 12, 0.001)


def test_where_seeds_never_vary_the_verdict_is_known_already():
    fixed = Interval(0.002, 0.0, 1e-4, 0.0, 5, 100)
    assert chance_of_verdict(fixed, None, 12, 0.05) == 0
    assert chance_of_verdict(replace(fixed, mean=0.5), None, 12, 0.05) == 1


def test_an_effect_is_drawn_back_by_the_noise_in_all_of_them():
    """Two effects of 3 and −1 with variance 1: their mean square is 5, the true one 4."""
    assert shrunk(3.0, 1.0, [3.0, -1.0], [1.0, 1.0]) == pytest.approx(3.0 * 4 / 5)
    assert shrunk(0.5, 1.0, [0.5, -0.5], [1.0, 1.0]) == 0, "no larger than noise"
    assert shrunk(0.5, 0.0, [0.5], [0.0]) == 0.5
