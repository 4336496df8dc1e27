"""What cuts hopeless candidates short, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, did_you_mean
from bench.registry import Component, Written, pruners

if TYPE_CHECKING:
    from bench.study.file import Tune
    from bench.tune.candidates import Standing
    from bench.tune.prune import History, Pruner

Begin = Callable[["Tune", "Sequence[Standing]", "History"], "Pruner"]
"""Candidates of earlier generations, and how runs went → what judges the next ones."""

BY = {"MedianPruner": "evaluations", "PercentilePruner": "evaluations", "WilcoxonPruner": "seeds"}
"""Pruners of Optuna that can be told from records, and what they go by."""
RACE = "judges by what else runs, so which trial ended first would change what is cut"
REFUSED = {
    "NopPruner": 'cuts nothing: pruner = "none"',
    "PatientPruner": "takes another pruner; a stage's patience ends runs that stand still",
    "ThresholdPruner": "judges the last evaluation, while the best one counts here; use PercentilePruner",
    "SuccessiveHalvingPruner": RACE,
    "HyperbandPruner": RACE,
}
"""The others, and why not."""


@pruners.register("none", by="")
def none() -> Begin:
    """Train every candidate to its end."""
    from bench.tune.prune import Unpruned

    return lambda tune, told, history: Unpruned()


@pruners.register("median", by="evaluations")
def median() -> Begin:
    """Cut a candidate whose best validation accuracy so far is below the median of earlier candidates'.

    Not at the first evaluation, and not before three candidates have finished.

    Source: Golovin et al. 2017.
    """
    from bench.tune.prune import ByEvaluation, medians

    return lambda tune, told, history: ByEvaluation(told, history, medians, "the median")


@pruners.register("wilcoxon", by="seeds")
def wilcoxon() -> Begin:
    """Train seed after seed, and cut a candidate that is worse than the best one, pair by pair.

    Source: Optuna's WilcoxonPruner at p = 0.1.
    """
    return _by_seed({})


@pruners.family("optuna")
def optuna(name: str) -> Component:
    """MedianPruner, PercentilePruner or WilcoxonPruner of Optuna, with the parameters of that class.

    The first two go by the best validation accuracy at each evaluation, the third by seeds, one after the
    other; all by candidates of earlier generations. Parameters are checked against the signature before the
    first trial. Others are refused: what they cut would depend on which trial happened to end first.

    Source: Akiba et al. 2019, and what the class itself names.
    """
    if name not in BY:
        hint = REFUSED.get(name) or f"is no pruner that can be told from records; {did_you_mean(name, BY)}"
        raise UserError(f"optuna:{name} {hint}")

    def factory(**parameters: Written) -> Begin:
        return _by_seed(parameters) if BY[name] == "seeds" else _by_evaluation(name, parameters)

    return Component("pruner", f"optuna:{name}", metadata.version("optuna"), factory, {"by": BY[name]})


def _by_seed(parameters: dict[str, Any]) -> Begin:
    from bench.tune.prune import BySeed

    def begin(tune: Tune, told: Sequence[Standing], history: History) -> Pruner:
        if not told:  # a plan needs no search library before something is to be compared
            return BySeed(tune, told, lambda *_: False)
        from bench.tune import propose  # imports optuna

        return BySeed(tune, told, propose.behind_the_best(parameters))

    return begin


def _by_evaluation(name: str, parameters: dict[str, Any]) -> Begin:
    from bench.tune.prune import ByEvaluation

    def floors(courses: Sequence[Sequence[float]]) -> tuple[float, ...]:
        from bench.tune import propose  # imports optuna

        return propose.floors(name, parameters, courses)

    return lambda tune, told, history: ByEvaluation(told, history, floors, f"what optuna:{name} asks")
