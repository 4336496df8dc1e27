import math
import random
from collections import Counter

import pytest
from searches import Desk
from studies import complaint, read

from bench.plan import Run
from bench.study.read import Study
from bench.tune.search import final_seeds, seeds

ARMS = '[arms]\nadam = {}\nlion = { optimizer = { name = "lion", lr = 1e-4 } }\n'
SPACE = '[tune.space]\n"optimizer.lr" = { around = "recipe", times = 10000, log = true }\n'
BEST = {"adam": 2e-3, "lion": 5e-5}
"""Where the toy objective has its optimum."""


def study(tune: str = "candidates = 12", rest: str = "") -> Study:
    return read(f"{ARMS}[tune]\nfinalists = 0\n{tune}\n{SPACE}{rest}")


def hill(run: Run) -> float:
    """0.9 at the arm's best learning rate, 0.2 less for each factor of ten."""
    rate = run.trial.recipe.optimizer.params["lr"]
    return max(0.05, 0.9 - 0.2 * abs(math.log10(rate / BEST[run.arm])))


def rates(desk: Desk, arm: str) -> list[float]:
    search = next(search for search in desk.plan().searches if search.arm == arm)
    return [candidate.values["optimizer.lr"] for candidate in search.candidates]


@pytest.mark.parametrize("sampler", ["sobol", "tpe"])
def test_a_search_finds_the_optimum_of_each_arm_within_its_budget(sampler: str):
    desk = Desk(study(f'candidates = 24\nsampler = "{sampler}"'), hill)
    plan = desk.finish()
    assert Counter(run.arm for run in desk.asked) == {"adam": 24, "lion": 24}
    for search in plan.searches:
        chosen = search.values["optimizer.lr"]
        assert abs(math.log10(chosen / BEST[search.arm])) < 0.2, f"{search.arm}: {chosen}"


def test_every_arms_candidates_are_paired():
    desk = Desk(study(), hill)
    desk.finish()
    adam, lion = rates(desk, "adam"), rates(desk, "lion")
    assert len(adam) == 12
    assert [a / b for a, b in zip(adam, lion, strict=True)] == pytest.approx([10.0] * 12, rel=2e-3)


def test_a_search_may_look_at_more_validation_images_than_replicates_have():
    plain = read(f"{ARMS}[tune]\n{SPACE}", data="limit = 200")
    more = read(f"{ARMS}[tune]\nval_images = 500\n{SPACE}", data="limit = 200")
    before, now = Desk(plain, hill), Desk(more, hill)
    finals, finals_now = before.finish().runs, now.finish().runs
    assert {run.trial.data.val_images for run in now.asked} == {500}
    assert not {run.trial.id for run in now.asked} & {run.trial.id for run in before.asked}
    assert [run.trial.id for run in finals_now] == [run.trial.id for run in finals], "replicates stay"
    assert {run.trial.data.val_images for run in finals_now} == {None}


def test_more_validation_images_without_a_limit_are_a_mistake():
    said = complaint(f"{ARMS}[tune]\nval_images = 500\n{SPACE}")
    assert "[tune] val_images = 500" in said
    assert "no arm has a limit" in said


def test_candidates_see_no_held_out_set_and_no_replicates_seed():
    text = '[hidden.heavy]\nkind = "corrupted"\n'
    desk = Desk(study("candidates = 3\nseeds = 2\nseed = 1", text), hill)
    plan = desk.finish()
    assert {run.sets for run in desk.asked} == {()}
    assert {run.trial.role for run in desk.asked} == {"tune"}
    assert {run.trial.replicate.seed for run in desk.asked} == {20100, 20101}
    assert {run.trial.replicate.seed for run in plan.runs} == {0, 1}
    assert {run.trial.role for run in plan.runs} == {"final"}


def test_replicates_are_trained_with_what_the_search_chose():
    plan = Desk(study(), hill).finish()
    chosen = {search.arm: search.values["optimizer.lr"] for search in plan.searches}
    assert {(run.arm, run.trial.recipe.optimizer.params["lr"]) for run in plan.runs} == set(chosen.items())


def test_replicates_wait_for_their_arms_search():
    desk = Desk(study(), hill)
    first = desk.plan()
    assert first.runs == ()
    for run in first.pending:
        if run.arm == "adam":
            desk.answer(run)
    assert {run.arm for run in desk.plan().runs} == {"adam"}
    assert {run.arm for run in desk.plan().pending} == {"lion"}


@pytest.mark.parametrize("how", ["sobol", "tpe", "median", "wilcoxon", "optuna:MedianPruner"])
def test_an_interrupted_search_in_any_order_ends_as_one_that_was_not(how: str):
    pruner = "none" if how in ("sobol", "tpe") else how
    sampler = "tpe" if how == "tpe" else "sobol"
    text = f'candidates = 14\nsampler = "{sampler}"\npruner = "{pruner}"\nseeds = 5\ngeneration = 3'
    whole = Desk(study(text), hill)
    expected = whole.finish()
    assert expected.pending == ()
    lot = random.Random(0)
    torn = Desk(study(text), hill)
    for _ in range(10_000):
        pending = list(torn.plan().pending)
        if not pending:
            break
        lot.shuffle(pending)
        for run in pending[: lot.randint(1, len(pending))]:  # then the conductor is killed
            torn.answer(run)
    assert torn.plan().file == expected.file
    assert Counter(run.trial.id for run in torn.asked) == Counter(run.trial.id for run in whole.asked)


def test_arms_that_share_a_recipe_share_candidates():
    text = (
        "[arms]\nslow = { optimizer = { lr = 1e-4 } }\nfast = { optimizer = { lr = 1e-2 } }\n"
        "[tune]\nfinalists = 0\ncandidates = 6\n[tune.space]\n"
        '"optimizer.lr" = { low = 1e-5, high = 1e-1, log = true }'
    )
    desk = Desk(read(text), lambda run: run.trial.recipe.optimizer.params["lr"])
    plan = desk.finish()
    assert len(desk.asked) == 6
    assert plan.searches[0].candidates == plan.searches[1].candidates


def test_a_diverged_or_failed_candidate_never_wins():
    def objective(run: Run) -> float | str:
        rate = run.trial.recipe.optimizer.params["lr"] / (10 if run.arm == "adam" else 1)
        return "diverged" if rate > 1e-3 else "oom" if rate > 1e-4 else rate

    plan = Desk(study(), objective).finish()
    for search in plan.searches:
        assert search.chosen is not None
        assert search.values["optimizer.lr"] <= (1e-3 if search.arm == "adam" else 1e-4)


def test_an_arm_whose_candidates_all_failed_keeps_its_recipe():
    plan = Desk(study(), lambda run: "oom" if run.arm == "lion" else hill(run)).finish()
    lion = next(search for search in plan.searches if search.arm == "lion")
    assert (lion.ended, lion.chosen, lion.values) == (True, None, {})
    assert {run.trial.recipe.optimizer.params["lr"] for run in plan.runs if run.arm == "lion"} == {1e-4}


def test_what_the_machine_failed_is_asked_again_a_few_times_and_then_given_up():
    desk = Desk(study("candidates = 2"), lambda run: "killed" if run.arm == "lion" else hill(run))
    plan = desk.finish()
    assert Counter(run.arm for run in desk.asked) == {"adam": 2, "lion": 6}
    assert plan.searches[1].chosen is None


def test_at_a_tie_the_lower_loss_wins_and_then_the_earlier_candidate():
    desk = Desk(study("candidates = 5"), lambda run: 0.5)
    assert [search.chosen for search in desk.finish().searches] == [0, 0]
    third = desk.plan().searches[0].candidates[3].trials[0].id
    record = desk.records[third]
    desk.records[third] = record.model_copy(update={"validation": {"accuracy": 0.5, "nll": 0.1}})
    assert desk.plan().searches[0].chosen == 3


def test_a_metric_of_which_less_is_better_is_minimised():
    desk = Desk(study('candidates = 8\nmetric = "val.nll"'), hill)
    for search in desk.finish().searches:
        best = min(search.candidates, key=lambda c: desk.records[c.trials[0].id].validation["nll"])
        assert search.chosen == best.number


def test_the_mean_over_tuning_seeds_decides():
    def objective(run: Run) -> float:
        lucky = run.candidate == 1 and run.trial.replicate.seed == 20000
        return 0.9 if lucky else 0.6 if run.candidate == 2 else 0.2

    desk = Desk(study("candidates = 4\nseeds = 3"), objective)
    assert [search.chosen for search in desk.finish().searches] == [2, 2]


def test_tuning_by_val_shift_scores_shifted_validation_images_and_nothing_else():
    shifted = '[val_shift]\nkind = "corrupted"\nprofile = "micro-c"\n'
    desk = Desk(study('candidates = 3\nmetric = "val_shift.accuracy"', shifted), hill)
    plan = desk.finish()
    assert {scored.name for run in desk.asked for scored in run.sets} == {"val_shift"}
    assert {scored.name for run in plan.runs for scored in run.sets} == {"test"}
    other = read(f'{ARMS}[tune]\ncandidates = 3\nmetric = "val_shift.accuracy"\n{SPACE}{shifted}seed = 1\n')
    again = Desk(other, hill, desk.records)
    assert len(again.plan().pending) == 6, "the same trials, but not scored on these shifted images"


def test_minutes_end_a_search_after_the_generation_that_spent_them():
    desk = Desk(study("candidates = 50\nminutes = 2.2\ngeneration = 3"), hill)
    desk.finish()
    assert Counter(run.arm for run in desk.asked) == {"adam": 6, "lion": 6}, "30 s each: 5 take 2.5 minutes"


def test_shared_values_are_the_baselines():
    plan = Desk(study("candidates = 6\nshared = true"), hill).finish()
    baseline = plan.searches[0].values["optimizer.lr"]
    assert {(run.arm, run.trial.recipe.optimizer.params["lr"]) for run in plan.shared} == {
        ("lion at the baseline's values", baseline)
    }
    assert [arm.label for arm in plan.file.shared] == ["lion"]


def test_candidates_may_be_shorter_than_replicates():
    plan = Desk(study("candidates = 2\nepochs = 1"), hill)
    finals = plan.finish().runs
    assert {stage.epochs for run in plan.asked for stage in run.trial.recipe.stages} == {1}
    assert [stage.epochs for stage in finals[0].trial.recipe.stages] == [1, 2]


# -- finalists -----------------------------------------------------------------------------------------------


def finalists(tune: str = "candidates = 6") -> Study:
    return read(f"{ARMS}[tune]\n{tune}\n{SPACE}")


def lucky(run: Run) -> float:
    """Candidate 4 wins the search by one image of 200; trained again, 1 holds and 4 does not."""
    assert run.candidate is not None
    if run.trial.replicate.seed < 1_020_000:
        return {4: 0.905, 1: 0.900, 2: 0.895}.get(run.candidate, 0.8)
    return {4: 0.87, 1: 0.90, 2: 0.88}[run.candidate]


def test_a_candidate_that_wins_by_one_image_loses_against_one_that_holds():
    desk = Desk(finalists(), lucky)
    plan = desk.finish()
    for search in plan.searches:
        assert [each.number for each in search.finalists] == [4, 1, 2], "best first"
        assert search.chosen == 1
    again = [run for run in desk.asked if run.trial.replicate.seed >= 1_020_000]
    assert Counter((run.arm, run.candidate) for run in again) == {
        (arm, number): 4 for arm in BEST for number in (1, 2, 4)
    }
    assert Desk(study("candidates = 6"), lucky).finish().searches[0].chosen == 4, "without finalists"


def test_finalists_wait_for_every_candidate_of_their_arm_and_replicates_for_them():
    desk = Desk(finalists(), lucky)
    for run in desk.plan().pending:
        desk.answer(run)
    plan = desk.plan()
    assert plan.runs == ()
    assert {run.trial.replicate.seed for run in plan.pending} == {1_020_000 + n for n in range(4)}
    assert len(plan.pending) == 2 * 3 * 4
    assert not any(search.ended for search in plan.searches)


def test_seeds_of_finalists_are_nobody_elses():
    last = finalists("candidates = 2\nseeds = 100\nseed = 9999").tune
    first = finalists("candidates = 2").tune
    assert last is not None
    assert first is not None
    assert max(seeds(last)) < min(final_seeds(first))


def test_a_finalist_that_diverges_once_does_not_win_and_where_none_holds_the_candidates_choose():
    def fragile(run: Run) -> float | str:
        breaks = run.trial.replicate.seed == 1_020_002 and (run.arm == "lion" or run.candidate == 1)
        return "diverged" if breaks else lucky(run)

    adam, lion = Desk(finalists(), fragile).finish().searches
    assert (adam.chosen, lion.chosen) == (2, 4)


def test_one_candidate_that_is_done_needs_no_finalists():
    desk = Desk(finalists(), lambda run: 0.9 if run.candidate == 3 else "oom")
    assert [(each.chosen, each.finalists) for each in desk.finish().searches] == [(3, ()), (3, ())]


def test_a_search_killed_among_its_finalists_goes_on_there():
    whole, torn = Desk(finalists(), lucky), Desk(finalists(), lucky)
    expected, lot = whole.finish(), random.Random(1)
    while pending := list(torn.plan().pending):
        lot.shuffle(pending)
        for run in pending[: lot.randint(1, len(pending))]:
            torn.answer(run)
    assert torn.plan().file == expected.file
    assert Counter(run.trial.id for run in torn.asked) == Counter(run.trial.id for run in whole.asked)


def test_a_single_finalist_is_refused():
    assert "leaves nothing to choose" in complaint(f"{ARMS}[tune]\nfinalists = 1\n{SPACE}")
