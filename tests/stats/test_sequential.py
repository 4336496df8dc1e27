import pytest

from bench.stats import levels, rejected_now


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
