"""A hundred simulated studies in each of twenty worlds; ``just coverage`` draws 500: docs/method.md."""

import pytest
from simulation import Scenario, patient_scenarios, scenarios, simulate

STUDIES = 100


@pytest.mark.parametrize("scenario", scenarios(), ids=str)
def test_intervals_cover_the_truth_and_verdicts_keep_their_word(scenario: Scenario):
    found = simulate(scenario, STUDIES, seed=scenarios().index(scenario))
    assert found.coverage >= 0.93
    if scenario.effect:
        assert abs(found.power - found.predicted) <= 0.06
    else:
        assert found.false_studies <= 0.05


FEW = [scenario for scenario in patient_scenarios() if scenario.patients == 30]


@pytest.mark.parametrize("scenario", FEW, ids=str)
def test_images_of_thirty_patients_are_covered_patient_by_patient_and_not_image_by_image(scenario: Scenario):
    found = simulate(scenario, STUDIES, seed=patient_scenarios().index(scenario))
    assert found.coverage >= 0.93
    assert found.by_image <= 0.75
    if not scenario.effect:
        assert found.false_studies <= 0.05


def test_the_truth_is_the_mean_over_images_and_seeds_there_might_be():
    scenario = Scenario(5, 0.74, "image", False)
    assert scenario.truth(scenario.middle(0.74)) == pytest.approx(0.74)
    assert scenario.truth(0.0) == pytest.approx(0.5), "by symmetry"
