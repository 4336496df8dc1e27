"""Thirty simulated studies in each of three worlds; ``just coverage`` draws more: docs/method.md."""

import pytest
from simulation import Scenario
from simulation_claims import TRUTHS, expect


@pytest.mark.parametrize("truth", TRUTHS)
def test_no_difference_is_seldom_borne_out_by_arms_that_are_a_delta_apart(truth: int):
    found = expect(Scenario(5, 0.74, "image", bool(truth)), truth, studies=30, seed=truth + 1)
    assert found.false_studies <= 0.1
    assert (found.no_difference > 0.8) is (truth == 0), "and is found where it is so"
    if truth < 0:
        assert found.no_gain > 0.8, "a loss: whoever expects that nothing changes must not ask for no gain"
    if truth == 0:
        assert found.holm <= found.alone
