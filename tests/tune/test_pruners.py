"""Pruners by name: those of Optuna that can be told from records."""

from __future__ import annotations

import optuna
import pytest
from searches import Desk
from studies import complaint, read

from bench.errors import UserError
from bench.plan import Run
from bench.study.read import Study
from bench.tune import propose, search
from bench.tune.prune import medians

ARMS = '[arms]\none = {}\nother = { augment = ["flip"] }\n'
SPACE = '[tune.space]\n"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }\n'
COURSES = ((0.2, 0.5, 0.6), (0.3, 0.3, 0.7), (0.1, 0.4), (0.25, 0.45, 0.8))


def study(tune: str) -> Study:
    return read(f"{ARMS}[tune]\nfinalists = 0\n{tune}\n{SPACE}")


def by_number(run: Run) -> float:
    """Four good candidates, then bad and good ones in turn."""
    assert run.candidate is not None
    return 0.7 if run.candidate < 4 or run.candidate % 2 else 0.3


def test_floors_are_where_optunas_pruner_begins_to_cut():
    """By hand: medians of 0.2 0.3 0.1 0.25, of 0.5 0.3 0.4 0.45, and of the three that got so far."""
    given = {"n_startup_trials": 4}
    assert propose.floors("MedianPruner", given, COURSES) == pytest.approx((0.225, 0.425, 0.7))
    assert propose.floors("MedianPruner", {}, COURSES) == (0.0, 0.0, 0.0), "five must have finished"
    assert propose.floors("MedianPruner", given | {"n_warmup_steps": 2}, COURSES)[:2] == (0.0, 0.0)
    upper = propose.floors("PercentilePruner", given | {"percentile": 0.0}, COURSES)
    assert upper == (0.3, 0.5, 0.8), "to the last bit: who reaches the best is not behind it"
    assert propose.floors("MedianPruner", given, ()) == ()


def test_who_is_at_a_floor_passes_and_who_is_a_bit_below_does_not():
    given = {"percentile": 30.0, "n_startup_trials": 1}
    (first, *_) = propose.floors("PercentilePruner", given, COURSES)
    whole = optuna.create_study(direction="maximize")
    for course in COURSES:
        whole.add_trial(optuna.create_trial(value=course[-1], intermediate_values=dict(enumerate(course))))
    pruner = optuna.pruners.PercentilePruner(**given)

    def cuts(value: float) -> bool:
        run = optuna.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values={0: value})
        return pruner.prune(whole, run)

    assert not cuts(first)
    assert cuts(first - 1e-15)


def test_optunas_median_cuts_as_the_built_in_one_where_both_may():
    built_in = Desk(study('candidates = 8\npruner = "median"'), by_number)
    pruner = '{ name = "optuna:MedianPruner", n_startup_trials = 3, n_warmup_steps = 1 }'
    named = Desk(study(f"candidates = 8\npruner = {pruner}"), by_number)
    plans = built_in.finish(), named.finish()
    assert [each.pruned for each in plans[0].searches] == [(4, 6), (4, 6)]
    assert plans[0].searches == plans[1].searches
    courses = [course[:3] for course in COURSES if len(course) == 3]
    given = {"n_startup_trials": 3, "n_warmup_steps": 1}
    assert propose.floors("MedianPruner", given, courses) == pytest.approx(medians(courses))


def test_optunas_wilcoxon_pruner_takes_its_own_threshold():
    def objective(run: Run) -> float:
        return by_number(run) + 0.01 * (run.trial.replicate.seed % 100)

    asked = {}
    for p in (0.1, 0.04):
        pruner = f'{{ name = "optuna:WilcoxonPruner", p_threshold = {p} }}'
        desk = Desk(study(f"candidates = 8\npruner = {pruner}\nseeds = 8"), objective)
        assert [each.pruned for each in desk.finish().searches] == [(4, 6), (4, 6)]
        asked[p] = sum(run.candidate == 4 and run.arm == "one" for run in desk.asked)
    assert asked == {0.1: 4, 0.04: 5}, "½⁴ = 0.0625, ½⁵ = 0.03125"


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ('"optuna:HyperbandPruner"', "judges by what else runs"),
        ('"optuna:SuccessiveHalvingPruner"', "judges by what else runs"),
        ('"optuna:ThresholdPruner"', "judges the last evaluation"),
        ('"optuna:PatientPruner"', "takes another pruner"),
        ('"optuna:NopPruner"', 'pruner = "none"'),
        ('"optuna:MedianPrunr"', 'did you mean "MedianPruner"?'),
        ('"medan"', '"medan" is not a pruner; did you mean "median"?'),
        ('"optuna:WilcoxonPruner"', "give seeds = 5 or more"),
        ('"optuna:MedianPruner"\nmetric = "val.nll"', "goes by val.accuracy"),
    ],
)
def test_a_pruner_that_cannot_be_told_from_records_is_refused_with_the_reason(pruner: str, said: str):
    assert said in complaint(f"{ARMS}[tune]\npruner = {pruner}\n{SPACE}")


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ('"optuna:PercentilePruner"', "percentile: is required"),
        ('{ name = "optuna:MedianPruner", n_startup = 3 }', 'did you mean "n_startup_trials"?'),
        ('{ name = "optuna:PercentilePruner", percentile = 130.0 }', "ValueError: Percentile must be"),
        ('{ name = "optuna:WilcoxonPruner", p_threshold = "x" }\nseeds = 5', "must be a number   (p_thr"),
    ],
)  # fmt: skip
def test_its_parameters_are_checked_before_anything_is_trained(pruner: str, said: str):
    with pytest.raises(UserError) as caught:
        search.check(study(f"pruner = {pruner}"))
    assert said in str(caught.value)
