"""How candidates are proposed, by name. A plan of paired points needs no search library."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.registry import Component, Written, samplers

if TYPE_CHECKING:
    from bench.study.file import Tune
    from bench.study.read import Arm
    from bench.tune.candidates import Standing
    from bench.tune.space import Values

Ask = Callable[["Sequence[Standing]", int], "list[Values]"]
"""Every candidate judged so far, in order; how many are wanted → their settings."""
Sampler = Callable[["Tune", "Arm"], Ask]
"""What begins an arm's search."""

ENDS = (
    "goes through points of its own until none is left; give { choices = […] }, and sobol goes through them"
)
REFUSED = {
    "GridSampler": ENDS,
    "BruteForceSampler": ENDS,
    "PartialFixedSampler": "takes another sampler; what [tune.space] leaves out is fixed already",
}
"""Samplers of Optuna that make no fair search here, and why."""


@samplers.register("sobol", learns=False)
def sobol() -> Sampler:
    """Points that fill each range evenly, the same for every arm, mapped to each arm's own ranges.

    Each setting goes through one dimension of a Sobol sequence in an order of its own: what else is tuned, or
    in which order it is written, moves none of its points.

    random   a digital shift and an order for each setting, from the tuning seed and the setting's name

    Source: Burley 2020 (padding by shuffling); Owen 2003.
    """

    def begin(tune: Tune, arm: Arm) -> Ask:
        from bench.tune import space

        def ask(told: Sequence[Standing], count: int) -> list[Values]:
            points = space.grid_points(tune, arm.label, len(told) + count)[len(told) :]
            return [space.values_at(tune, arm, point) for point in points]

        return ask

    return begin


@samplers.register("tpe", learns=True)
def tpe() -> Sampler:
    """Half the candidates, at most 10, as ``sobol``; the others where an arm's own results look promising.

    A candidate that diverged counts as worse than any that finished, one that was cut short by how far it
    got; what ran out of memory or met a bug tells nothing of its settings. Equal settings count once.

    random   Optuna's multivariate TPE, made anew for each generation from the tuning seed

    Source: Bergstra et al. 2011; Optuna's TPESampler.
    """

    def begin(tune: Tune, arm: Arm) -> Ask:
        def ask(told: Sequence[Standing], count: int) -> list[Values]:
            from bench.tune import propose  # imports optuna

            return propose.tpe(tune, arm, told, count)

        return ask

    return begin


@samplers.family("optuna")
def optuna(name: str) -> Component:
    """Any sampler of Optuna by its class's name, with the parameters and defaults of that class.

    The first half of the candidates, at most 10, are ``sobol``'s. Then the sampler goes by results: it is
    taken through the whole search from its start, told each generation in order, so that it answers the same
    whenever it is asked. Parameters are checked against its signature before the first trial; ``seed`` comes
    from [tune]. Refused are samplers that end by themselves and those that need another one. CmaEsSampler
    needs two tuned numbers or more, and draws settings with choices at random.

    random   the sampler's own, seeded from the tuning seed and its name

    Source: Akiba et al. 2019, and what the class itself names.
    """
    if name in REFUSED:
        raise UserError(f"optuna:{name} {REFUSED[name]}")

    def factory(**parameters: Written) -> Sampler:
        return functools.partial(_replayed, name, parameters)

    return Component("sampler", f"optuna:{name}", metadata.version("optuna"), factory, {"learns": True})


def _replayed(name: str, parameters: dict[str, Any], tune: Tune, arm: Arm) -> Ask:
    @functools.cache
    def begun() -> Ask:
        from bench.tune.propose import Replay  # imports optuna

        return Replay(name, parameters, tune, arm)

    return lambda told, count: begun()(told, count)
