"""Candidates that go by results: Optuna's TPE, asked in a way that gives the same answer every time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import WilcoxonPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from bench.streams import derive
from bench.study.file import Range, Tune, ranges_of
from bench.study.patch import look_up
from bench.study.read import Arm
from bench.tune import space
from bench.tune.candidates import Standing, goodness

WORSE_P = 0.1
"""One-sided p below which a candidate's seeds count as worse."""

optuna.logging.set_verbosity(logging.WARNING)


def tpe(tune: Tune, arm: Arm, told: Sequence[Standing], count: int) -> list[space.Values]:
    """The next ``count`` candidates of an arm.

    The sampler is made anew for each generation, told every earlier candidate in its order, and seeded by the
    tuning seed and their number: so no state has to survive a killed run, and the order in which trials ended
    does not matter. Candidates of one generation do not know of each other's results (constant liar).
    """
    # Optuna seeds a generator that takes 32 bits.
    seed = derive(tune.seed, "tpe", len(told)) % 2**32
    sampler = TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    kinds = distributions(tune, arm)
    for each in told:
        value = goodness(each.value, tune.metric) if each.state == "done" else None
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                params=to_optuna(each.candidate.values, kinds),
                distributions=kinds,
                value=value,
            )
        )
    asked = [study.ask(kinds) for _ in range(count)]
    return [from_optuna(trial.params, tune, arm) for trial in asked]


def distributions(tune: Tune, arm: Arm) -> dict[str, BaseDistribution]:
    """What an arm's settings may be, in Optuna's terms."""
    tree = arm.recipe.model_dump(mode="json")
    return {key: _distribution(s, look_up(tree, key)) for key, s in ranges_of(tune, arm.label).items()}


def _distribution(scale: Range, base: Any) -> BaseDistribution:
    if scale.choices is not None:
        return CategoricalDistribution([_plain(choice) for choice in scale.choices])
    low, high = scale.extremes(base)
    if isinstance(base, int) and not isinstance(base, bool):
        whole = space.value_at(scale, base, 0.0), space.value_at(scale, base, 1.0)
        return IntDistribution(*whole, log=scale.log)
    return FloatDistribution(low, high, log=scale.log)


def _plain(choice: Any) -> Any:
    """Optuna's choices are numbers, texts and truth values; a table or list goes by its spelling."""
    return choice if isinstance(choice, str | int | float | bool) else repr(choice)


def to_optuna(values: Mapping[str, Any], kinds: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Settings as Optuna stores them."""
    return {key: _plain(values[key]) for key in kinds}


def from_optuna(params: Mapping[str, Any], tune: Tune, arm: Arm) -> space.Values:
    """Settings as a recipe takes them, numbers rounded to what a report prints."""
    found = {}
    for key, scale in ranges_of(tune, arm.label).items():
        value = params[key]
        if scale.choices is not None:
            value = next(choice for choice in scale.choices if _plain(choice) == value)
        elif isinstance(value, float):
            low, high = scale.extremes(look_up(arm.recipe.model_dump(mode="json"), key))
            value = min(max(float(f"{value:.{space.DIGITS}g}"), low), high)
        found[key] = value
    return found


def behind_the_best(tune: Tune, told: Sequence[Standing], values: Sequence[float]) -> bool:
    """Whether a candidate's seeds so far are worse than the same seeds of the best earlier candidate.

    told     earlier candidates that are done
    values   the candidate's metric for its first seeds, in order
    """
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        pruner = WilcoxonPruner(p_threshold=WORSE_P, n_startup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for each in told:
        steps = {seed: goodness(value, tune.metric) for seed, value in enumerate(each.by_seed)}
        study.add_trial(create_trial(value=goodness(each.value, tune.metric), intermediate_values=steps))
    trial = study.ask()
    for seed, value in enumerate(values):
        trial.report(goodness(value, tune.metric), seed)
    return trial.should_prune()
