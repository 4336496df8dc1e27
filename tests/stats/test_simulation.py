"""A hundred simulated studies in each of sixteen worlds; ``just coverage`` draws 500: docs/method.md."""

import pytest
from simulation import Scenario, scenarios, simulate

STUDIES = 100


@pytest.mark.parametrize("scenario", scenarios(), ids=str)
def test_intervals_cover_the_truth_and_verdicts_keep_their_word(scenario: Scenario):
    found = simulate(scenario, STUDIES, seed=scenarios().index(scenario))
    assert found.coverage >= 0.93
    if scenario.effect:
        assert abs(found.power - found.predicted) <= 0.06
    else:
        assert found.false_studies <= 0.05


def test_the_truth_is_the_mean_over_images_and_seeds_there_might_be():
    scenario = Scenario(5, 0.74, "image", False)
    assert scenario.truth(scenario.middle(0.74)) == pytest.approx(0.74)
    assert scenario.truth(0.0) == pytest.approx(0.5), "by symmetry"
