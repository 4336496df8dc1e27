"""Candidates that go by results: Optuna, asked in a way that gives the same answer every time."""

from __future__ import annotations

import functools
import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, WilcoxonPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._tpe.sampler import default_gamma
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.errors import UserError, did_you_mean
from bench.streams import derive
from bench.study.file import Range, Tune, ranges_of
from bench.study.patch import look_up
from bench.study.read import Arm
from bench.study.signature import arguments
from bench.tune import space
from bench.tune.candidates import Standing, distinct, goodness, worst
from bench.tune.prune import Behind

NUMBERS = {"CmaEsSampler": 2}
"""Samplers that fall back on random points where an arm tunes fewer numbers than this."""
quiet = functools.partial(warnings.catch_warnings, action="ignore")
"""Around what Optuna calls experimental or to be removed: a person who names it knows."""

optuna.logging.set_verbosity(logging.ERROR)  # a search is asked again and again, and would warn as often


def tpe(tune: Tune, arm: Arm, told: Sequence[Standing], count: int) -> list[space.Values]:
    """The next ``count`` candidates of an arm.

    The sampler is made anew for each generation, told every earlier candidate in its order, and seeded by the
    tuning seed and their number: so no state has to survive a killed run, and the order in which trials ended
    does not matter. Candidates of one generation do not know of each other's results (constant liar).
    """
    # Optuna seeds a generator that takes 32 bits.
    seed = derive(tune.seed, "tpe", len(told)) % 2**32
    once, low = distinct(told), worst(told, tune.metric)
    # TPE proposes what is like the best tenth. Where fewer have finished, that would take in what diverged:
    # then at random.
    enough = sum(each.state == "done" for each in once) >= default_gamma(len(told) + count)
    startup = 1 if enough else len(told) + count
    sampler = TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    kinds = distributions(tune, arm)
    for each in once:
        study.add_trial(_told(each, tune, kinds, low))
    asked = [study.ask(kinds) for _ in range(count)]
    return [from_optuna(trial.params, tune, arm) for trial in asked]


class Replay:
    """Any sampler of Optuna, taken through an arm's whole search from its start.

    Many keep what they learned in themselves and in the trials that they proposed. So a sampler sees its own
    trials again, with the results that the records have, generation after generation: what it proposes next
    depends on the study and the records alone.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any], tune: Tune, arm: Arm) -> None:
        """Begin. UserError for a sampler or parameter that Optuna does not have or that cannot work here."""
        self._tune, self._arm, self._kinds = tune, arm, distributions(tune, arm)
        numbers = sum(not isinstance(kind, CategoricalDistribution) for kind in self._kinds.values())
        if numbers < NUMBERS.get(name, 0):
            raise UserError(
                f"optuna:{name} needs {NUMBERS[name]} tuned numbers, arm {arm.label} has {numbers}; "
                "tune more, or use tpe"
            )
        of = _class_of(BaseSampler, optuna.samplers, name)
        seed = derive(tune.seed, f"optuna:{name}") % 2**32
        with quiet():
            sampler = of(**arguments(of, parameters, f"optuna:{name}", kept=("seed",)), seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: dict[int, optuna.Trial] = {}
        """By number of the candidate."""
        self._told = 0

    def __call__(self, told: Sequence[Standing], count: int) -> list[space.Values]:
        """The next ``count`` candidates; ``told`` begins with what was told before."""
        with quiet():
            low = worst(told, self._tune.metric)
            for each in told[self._told :]:
                self._tell(each, low)
            self._told = len(told)
            asked = [self._study.ask(self._kinds) for _ in range(count)]
        self._asked = dict(enumerate(asked, len(told)))
        return [from_optuna(trial.params, self._tune, self._arm) for trial in asked]

    def _tell(self, each: Standing, low: float) -> None:
        """How one candidate ended: one of the sampler's own, or one of the paired points before them.

        Its own it hears of even where they repeat: a population waits for every member.
        """
        trial = self._asked.get(each.candidate.number)
        if trial is None:
            self._study.add_trial(_told(each, self._tune, self._kinds, low))
            return
        state, value, steps = _ending(each, self._tune.metric, low)
        for step, reached in steps.items():
            trial.report(reached, step)
        if state == TrialState.PRUNED:  # its value is the last that it reported
            self._study.tell(trial, state=state)
        else:
            self._study.tell(trial, value, state)


def _told(each: Standing, tune: Tune, kinds: Mapping[str, BaseDistribution], low: float) -> FrozenTrial:
    """A judged candidate as a trial of Optuna's, more being better."""
    state, value, steps = _ending(each, tune.metric, low)
    return create_trial(
        state=state,
        params=to_optuna(each.candidate.values, kinds),
        distributions=dict(kinds),
        value=value,
        intermediate_values=steps,
    )


def _ending(each: Standing, metric: str, low: float) -> tuple[TrialState, float | None, dict[int, float]]:
    """How Optuna hears of a candidate: state, value (more is better), and value by step if it was cut short.

    low   what one that diverged is worth. As FAIL it would be ignored, and a sampler that learns would look
          where nobody failed to converge yet nobody was seen: in the region that diverges.
    """
    if each.state == "done":
        return TrialState.COMPLETE, goodness(each.value, metric), {}
    if each.state == "diverged":
        return TrialState.COMPLETE, low, {}
    steps = dict(enumerate(each.course or tuple(goodness(value, metric) for value in each.by_seed)))
    if each.state == "pruned" and steps:
        return TrialState.PRUNED, None, steps
    return TrialState.FAIL, None, {}


def _class_of(base: Any, module: Any, name: str) -> Any:
    """The class ``name`` that a module of Optuna's offers."""
    known = {each: getattr(module, each) for each in module.__all__}
    known = {each: of for each, of in known.items() if inspect.isclass(of) and issubclass(of, base)}
    if name not in known or name.startswith("Base"):
        kind = base.__name__.removeprefix("Base").lower()
        hint = did_you_mean(name, [each for each in known if not each.startswith("Base")])
        raise UserError(f"optuna:{name}: Optuna {optuna.__version__} has no such {kind}; {hint}")
    return known[name]


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


def behind_the_best(parameters: Mapping[str, Any]) -> Behind:
    """Whether a candidate's seeds so far are worse than the same seeds of the best earlier candidate.

    parameters   of Optuna's WilcoxonPruner
    """
    with quiet():
        pruner = WilcoxonPruner(**arguments(WilcoxonPruner, parameters, "optuna:WilcoxonPruner"))

    def behind(tune: Tune, told: Sequence[Standing], values: Sequence[float]) -> bool:
        study = optuna.create_study(direction="maximize", pruner=pruner)
        for each in told:
            steps = {seed: goodness(value, tune.metric) for seed, value in enumerate(each.by_seed)}
            study.add_trial(create_trial(value=goodness(each.value, tune.metric), intermediate_values=steps))
        trial = study.ask()
        for seed, value in enumerate(values):
            trial.report(goodness(value, tune.metric), seed)
        return trial.should_prune()

    return behind


def floors(name: str, parameters: Mapping[str, Any], courses: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The least best-so-far accuracy that one of Optuna's pruners lets pass at each evaluation; 0: any.

    It only says whether it would cut a given run, so the border is found by halving, to the last bit.

    courses   best accuracy by each evaluation, of finished candidates
    """
    of = _class_of(BasePruner, optuna.pruners, name)
    pruner = of(**arguments(of, parameters, f"optuna:{name}"))
    study = optuna.create_study(direction="maximize")
    for course in courses:
        study.add_trial(create_trial(value=course[-1], intermediate_values=dict(enumerate(course))))

    def border(step: int) -> float:
        def cuts(best: float) -> bool:
            reached = dict.fromkeys(range(step + 1), best)
            run = create_trial(state=TrialState.RUNNING, intermediate_values=reached)
            return bool(pruner.prune(study, run))

        low, high = 0.0, 1.0
        if not cuts(low):
            return low
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if cuts(middle) else (low, middle)
        return high

    return tuple(map(border, range(max(map(len, courses), default=0))))
