"""Samplers by name: Optuna's are asked by generations, and answer the same whenever they are asked."""

from __future__ import annotations

import math
import random
from collections import Counter

import optuna
import pytest
from searches import Desk
from studies import complaint, read

from bench.errors import UserError
from bench.plan import Run
from bench.registry import samplers
from bench.study.read import Study
from bench.tune import search

ARMS = '[arms]\nadam = {}\nlion = { optimizer = { name = "lion", lr = 1e-4 } }\n'
SPACE = (
    '[tune.space]\n"optimizer.lr" = { around = "recipe", times = 100, log = true }\n'
    '"optimizer.weight_decay" = { low = 1e-6, high = 1e-1, log = true }\n'
)
BEST = {"adam": 2e-3, "lion": 5e-5}
WORK = (
    '"optuna:CmaEsSampler"',
    '{ name = "optuna:CmaEsSampler", popsize = 4 }',
    '"optuna:TPESampler"',
    '"optuna:QMCSampler"',
    '"optuna:RandomSampler"',
    '{ name = "optuna:NSGAIISampler", population_size = 4 }',
)
"""GPSampler works too, and imports torch; it takes half a second for each candidate."""


def study(sampler: str, more: str = "candidates = 18", space: str = SPACE) -> Study:
    return read(f"{ARMS}[tune]\nfinalists = 0\nsampler = {sampler}\n{more}\n{space}")


def hill(run: Run) -> float:
    """Falls off by the logarithms of rate and decay; a decay above 0.05 diverges as if it mattered."""
    params = run.trial.recipe.optimizer.params
    rate, decay = params["lr"] / BEST[run.arm], params["weight_decay"] / 1e-3
    return 0.9 - 0.02 * math.log(rate) ** 2 - 0.002 * math.log(decay) ** 2


def points(desk: Desk, arm: str) -> list[tuple[float, ...]]:
    found = next(each for each in desk.plan().searches if each.arm == arm)
    return [tuple(candidate.values.values()) for candidate in found.candidates]


@pytest.mark.parametrize("sampler", WORK)
def test_every_arm_gets_its_candidates_and_starts_with_the_paired_ones(sampler: str):
    desk, sobol = Desk(study(sampler), hill), Desk(study('"sobol"'), hill)
    plan = desk.finish()
    sobol.finish()
    assert Counter(run.arm for run in desk.asked) == {"adam": 18, "lion": 18}
    assert all(each.ended and each.chosen is not None for each in plan.searches)
    for arm in BEST:
        mine, paired = points(desk, arm), points(sobol, arm)
        assert mine[:9] == paired[:9], "half of 18"
        assert not {*mine[9:]} & {*paired[9:]}
        low, high = BEST[arm] / 20 * 0.1, 1e-2 if arm == "adam" else 1e-3
        assert all(low <= rate <= high for rate, _ in mine)


@pytest.mark.parametrize(
    "sampler", ['"optuna:CmaEsSampler"', '{ name = "optuna:NSGAIISampler", population_size = 4 }']
)
def test_a_search_killed_at_any_moment_ends_as_one_that_was_not(sampler: str):
    text = "candidates = 20\ngeneration = 3"
    whole, torn = Desk(study(sampler, text), hill), Desk(study(sampler, text), hill)
    expected, lot = whole.finish(), random.Random(0)
    while pending := list(torn.plan().pending):
        lot.shuffle(pending)
        for run in pending[: lot.randint(1, len(pending))]:  # then the conductor is killed
            torn.answer(run)
    assert torn.plan().file == expected.file
    assert Counter(run.trial.id for run in torn.asked) == Counter(run.trial.id for run in whole.asked)


def test_what_a_sampler_proposes_depends_on_the_tuning_seed_and_on_nothing_drawn_elsewhere():
    found = []
    for seed in (0, 0, 1):
        random.seed(len(found))
        desk = Desk(study('"optuna:RandomSampler"', f"candidates = 12\nseed = {seed}"), hill)
        desk.finish()
        found.append(points(desk, "adam"))
    assert found[0] == found[1]
    assert not {*found[0]} & {*found[2]}


def test_cma_es_learns_across_generations():
    """Told by replay, it closes in; made anew for each generation it would start from the middle."""
    text = "candidates = 60\ngeneration = 6"
    desk = Desk(study('{ name = "optuna:CmaEsSampler", popsize = 6 }', text), hill)
    desk.finish()
    away = [abs(math.log(rate / BEST["adam"])) for rate, _ in points(desk, "adam")]
    assert sum(away[-12:]) < 0.5 * sum(away[10:22])


def test_it_is_told_how_its_own_candidates_ended(monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[int, float | None]] = []

    class Watching(optuna.samplers.RandomSampler):
        def after_trial(self, study, trial, state, values):  # type: ignore[no-untyped-def]
            told.append((trial.number, values[0] if values else None))

    monkeypatch.setattr(optuna.samplers, "RandomSampler", Watching)
    desk = Desk(
        study('"optuna:RandomSampler"', "candidates = 12\ngeneration = 3"),
        lambda run: "diverged" if run.candidate == 7 else 0.1 * run.candidate / 12,
    )
    for _ in range(3):
        for run in desk.plan().pending:
            desk.answer(run)
    told.clear()
    desk.plan()
    of_one_arm = told[: len(told) // 2]
    # Of the seven finished before it the best has 0.05, the least 0; of the same generation 8 is the best.
    worst = 0 - 0.1 * 8 / 12 - 1e-3
    assert of_one_arm == [
        (6, pytest.approx(0.05)),
        (7, pytest.approx(worst)),
        (8, pytest.approx(0.1 * 8 / 12)),
    ]


@pytest.mark.parametrize("border", [0.35, 0.65])
def test_tpe_does_not_seek_the_region_that_diverges(border: float):
    """Told as failures that say nothing, diverged candidates drew 69 to 100 % of its proposals."""

    def rising_to_the_border(run: Run) -> float | str:
        at = math.log10(run.trial.recipe.optimizer.params["lr"] / 1e-4) / 2 + (
            0.5 if run.arm == "lion" else 0
        )
        return "diverged" if at > border else 0.5 + 0.4 * at

    beyond = []
    rate = '[tune.space]\n"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }\n'
    for seed in range(4):
        desk = Desk(study('"tpe"', f"candidates = 24\nseed = {seed}", rate), rising_to_the_border)
        desk.finish()
        where = [math.log10(run.trial.recipe.optimizer.params["lr"] / 1e-4) / 2 for run in desk.asked]
        beyond += [
            u > border
            for u, run in zip(where, desk.asked, strict=True)
            if run.arm == "adam" and run.candidate >= 10
        ]
    assert sum(beyond) / len(beyond) <= 1 - border, "random search's share"


def test_tpe_keeps_looking_everywhere_where_nothing_has_finished():
    desk = Desk(study('"tpe"', "candidates = 24"), lambda run: "diverged")
    desk.finish()
    rates = [math.log10(rate) for rate, _ in points(desk, "adam")[10:]]
    assert max(rates) - min(rates) > 1.2, "of two decades"


def test_what_is_cut_short_is_told_with_how_far_it_got(monkeypatch: pytest.MonkeyPatch):
    told = []
    real = optuna.Study.add_trial
    monkeypatch.setattr(
        optuna.Study, "add_trial", lambda self, trial: (told.append(trial), real(self, trial))[1]
    )
    more = 'candidates = 12\ngeneration = 4\npruner = "median"'
    desk = Desk(study('"tpe"', more), lambda run: "oom" if run.candidate == 2 else 0.9 - 0.05 * run.candidate)
    desk.finish()
    last = [trial for trial in told if trial.params["optimizer.lr"] > 0][-10:]
    states = {trial.state for trial in told}
    assert states == {
        optuna.trial.TrialState.COMPLETE,
        optuna.trial.TrialState.PRUNED,
        optuna.trial.TrialState.FAIL,
    }
    cut = [trial for trial in last if trial.state == optuna.trial.TrialState.PRUNED]
    assert cut
    assert all(
        trial.intermediate_values
        == pytest.approx({0: trial.intermediate_values[0], 1: trial.intermediate_values[0]})
        for trial in cut
    )


def test_settings_that_repeat_are_told_once(monkeypatch: pytest.MonkeyPatch):
    counts = []
    real = optuna.Study.ask
    monkeypatch.setattr(
        optuna.Study, "ask", lambda self, *args: (counts.append(len(self.get_trials())), real(self, *args))[1]
    )
    two = "[tune.space]\nbatch_size = { choices = [8, 16] }\n"
    Desk(study('"tpe"', "candidates = 12\ngeneration = 1", two), lambda run: 0.5).finish()
    assert set(counts) == {2}, "both batch sizes, however often"


def test_an_arm_that_tunes_one_number_is_no_case_for_cma_es():
    rate = '"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }'
    one = f"[tune.space]\n{rate}\nbatch_size = {{ choices = [8, 16] }}"
    with pytest.raises(UserError) as caught:
        search.check(study('"optuna:CmaEsSampler"', space=one))
    assert "optuna:CmaEsSampler needs 2 tuned numbers, arm adam has 1; tune more, or use tpe" in str(
        caught.value
    )
    assert "arm lion has 1" in str(caught.value)


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ('"optuna:CmaESampler"', 'has no such sampler; did you mean "CmaEsSampler"?'),
        ('{ name = "optuna:CmaEsSampler", popsiz = 4 }', 'popsiz = 4: unknown key; did you mean "popsize"?'),
        ('{ name = "optuna:TPESampler", n_startup_trials = "few" }', "must be a whole number   (n_s"),
        ('{ name = "optuna:TPESampler", seed = 3 }', "seed = 3: is not a study's to set"),
        ('{ name = "optuna:TPESampler", gamma = 3 }', "gamma = 3: cannot be written in a study"),
        ('{ name = "optuna:QMCSampler", qmc_type = "latin" }', "ValueError: "),
    ],
)  # fmt: skip
def test_what_only_optuna_knows_is_told_before_anything_is_trained(sampler: str, said: str):
    with pytest.raises(UserError) as caught:
        search.check(study(sampler, "candidates = 2"))
    assert str(caught.value).startswith("tiny cannot be tuned:\n")
    assert said in str(caught.value)


@pytest.mark.parametrize("sampler", ['"sobol"', '"tpe"', *WORK])
def test_a_sound_sampler_passes_however_few_candidates_there_are(sampler: str):
    search.check(study(sampler, "candidates = 1"))


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ('"optuna:GridSampler"', "goes through points of its own until none is left"),
        ('"optuna:BruteForceSampler"', "goes through points of its own until none is left"),
        ('"optuna:PartialFixedSampler"', "takes another sampler"),
        ('"sobl"', '"sobl" is not a sampler; did you mean "sobol"?'),
        ('"optuna:"', '"optuna:" is not a sampler'),
        ('{ name = "sobol", scramble = true }', "sobol: scramble = True"),
    ],
)
def test_what_can_be_told_from_the_file_is_a_mistake_of_the_file(sampler: str, said: str):
    text = complaint(f"{ARMS}[tune]\nsampler = {sampler}\n{SPACE}")
    assert "[tune] sampler" in text
    assert said in text


def test_only_samplers_that_learn_wait_for_results():
    assert {each.name: each.traits["learns"] for each in samplers} == {"sobol": False, "tpe": True}
    assert samplers["optuna:CmaEsSampler"].traits["learns"]
