"""A hundred simulated studies in each of twenty worlds; ``just coverage`` draws 500: docs/method.md."""

import math
import os

import pytest
from simulation import (
    CHOOSES,
    MARKED,
    RULES,
    Scenario,
    collapse,
    patient_scenarios,
    scenarios,
    search_luck,
    simulate,
)

from bench.judge.searched import SEARCH_LUCK

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


def test_a_baseline_marked_in_error_is_a_false_verdict_only_where_marks_replace_scores():
    found = collapse(5, MARKED[2], 20, seed=0)
    assert [found[rule].false_studies > 0.5 for rule in RULES] == [True, False, False]
    assert [found[rule].withheld for rule in RULES] == [0, 0, 0], "all seeds are marked, or none"


def test_where_seeds_collapse_a_verdict_is_withheld_as_often_as_an_arm_or_the_baseline_has_both_kinds():
    """1 − .9¹⁰ = .651 of comparisons have a marked seed among their ten, all five of an arm hardly ever."""
    found = collapse(5, MARKED[0], 40, seed=0)[RULES[2]]
    assert found.false_studies <= 0.1
    assert found.withheld == pytest.approx(0.65, abs=0.1)


LOOKED = 4000 if "DEEP" in os.environ else 100


@pytest.mark.parametrize("finalists", [False, True])
def test_the_rate_that_a_report_prints_for_the_luck_of_a_search_is_the_simulated_one(finalists: bool):
    worlds = [Scenario(5, 0.74, driven, effect=False) for driven in ("seed", "image")]
    found = sorted(search_luck(world, CHOOSES[1 + finalists], LOOKED, seed=1) for world in worlds)
    for rate, printed in zip(found, SEARCH_LUCK[finalists], strict=True):
        assert abs(rate - printed) <= 3.5 * math.sqrt(printed * (1 - printed) * (1 / LOOKED + 1 / 4000))
