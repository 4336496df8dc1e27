"""What tuning tries: points of the unit cube, the same for every arm, mapped to each arm's own ranges.

Pure and light: a plan must know every candidate's id without importing a search library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from bench.errors import UserError
from bench.recipe import Recipe, Stage
from bench.streams import derive
from bench.study.file import Range, Tune, ranges_of
from bench.study.patch import apply, look_up
from bench.study.read import Arm, Study
from bench.study.resolve import resolve

Values = dict[str, Any]
"""Dotted key of a recipe → what it is set to."""

DIGITS = 4
"""Significant digits of a tuned number: what a report prints is what was trained."""
EDGE = 0.1
"""Share of a range, at either end, in which a chosen value counts as lying at its edge."""
FIRST = "optimizer.lr"
"""Goes through the sequence in its own order: nearly every study tunes it, and its points never moved."""
_BITS = 32


def points(count: int, key: str, seed: int) -> list[float]:
    """The first ``count`` points of a tuned key, each in [0, 1).

    They depend on (seed, key) alone: neither more points nor other keys move any. One dimension of a Sobol
    sequence with a random digital shift, which each key goes through in an order of its own: shuffled within
    2ⁿ to 2ⁿ⁺¹ − 1, so that every 2ⁿ first points still fill every interval of width 2⁻ⁿ once, while points of
    two keys are independent. Source: Burley 2020 (padding by shuffling); Owen 2003 (randomisation by digits).
    """
    if key == FIRST:
        shift, order = derive(seed, "sobol", 0), list(range(count))
    else:
        shift, order = derive(seed, f"points {key}"), _shuffled(count, key, seed)
    # derive gives 63 bits, a coordinate has the first _BITS of them.
    return [(_van_der_corput(k ^ k >> 1) ^ shift >> (63 - _BITS)) / 2**_BITS for k in order]


def _shuffled(count: int, key: str, seed: int) -> list[int]:
    """The first ``count`` of the whole numbers, each block from one power of two to the next shuffled."""
    order = [0]
    while len(order) < count:
        block = range(len(order), 2 * len(order))
        order += sorted(block, key=lambda k: derive(seed, f"order {key}", k))
    return order[:count]


def _van_der_corput(k: int) -> int:
    """The digits of ``k`` mirrored at the point, as a whole number of _BITS bits."""
    return int(f"{k:0{_BITS}b}"[::-1], 2)


def grid_points(tune: Tune, label: str, count: int) -> list[dict[str, float]]:
    """The unit coordinates of an arm's first ``count`` candidates by tuned key, paired across arms."""
    mine = ranges_of(tune, label)
    columns = [points(count, key, tune.seed) for key in mine]
    return [dict(zip(mine, point, strict=True)) for point in zip(*columns, strict=True)]


def values_at(tune: Tune, arm: Arm, point: Mapping[str, float]) -> Values:
    """The settings that an arm's candidate has at a point of the unit cube."""
    tree = arm.recipe.model_dump(mode="json")
    mine = ranges_of(tune, arm.label)
    return {key: value_at(mine[key], look_up(tree, key), u) for key, u in point.items()}


def value_at(scale: Range, base: Any, u: float) -> Any:
    """The value at ``u`` in [0, 1) of a range. A number whose recipe value is whole stays whole.

    base   the arm's own value, the centre of a range ``around = "recipe"``
    """
    if scale.choices is not None:
        # u is below 1, but u times the number may round up to it.
        return scale.choices[min(int(u * len(scale.choices)), len(scale.choices) - 1)]
    low, high = scale.extremes(base)
    if isinstance(base, int) and not isinstance(base, bool):
        return min(max(round(_between(low, high, u, scale.log)), math.ceil(low)), math.floor(high))
    return min(max(float(f"{_between(low, high, u, scale.log):.{DIGITS}g}"), low), high)


def _between(low: float, high: float, u: float, log: bool) -> float:
    return low * (high / low) ** u if log else low + (high - low) * u


def position(scale: Range, base: Any, value: Any) -> float | None:
    """Where ``value`` lies in its range, 0 to 1; None where choices have no order, or just two ends."""
    if scale.choices is not None:
        numbers = [c for c in scale.choices if isinstance(c, int | float) and not isinstance(c, bool)]
        if len(numbers) < max(len(scale.choices), 3) or value not in scale.choices:
            return None
        return sorted(numbers).index(value) / (len(numbers) - 1)
    low, high = scale.extremes(base)
    if low == high:
        return None
    return math.log(value / low) / math.log(high / low) if scale.log else (value - low) / (high - low)


def at_edge(scale: Range, base: Any, value: Any) -> Literal["low", "high"] | None:
    """``low`` or ``high`` when ``value`` lies in the outer tenth of its range: better may lie beyond."""
    where = position(scale, base, value)
    if where is None or EDGE <= where <= 1 - EDGE:
        return None
    return "low" if where < EDGE else "high"


def tuned(arm: Arm, values: Mapping[str, Any]) -> Arm:
    """The arm with tuned settings in its recipe. Raises UserError for values it cannot take together."""
    recipe, problems = resolve(apply(arm.recipe.model_dump(mode="json"), values))
    if recipe is None:
        raise UserError(f"[tune] arm {arm.label} cannot take {dict(values)} together: {problems[0].text}")
    return arm.model_copy(update={"recipe": recipe})


def shortened(recipe: Recipe, epochs: int | None) -> Recipe:
    """The recipe as a candidate trains it: no stage longer than ``epochs``."""
    if epochs is None:
        return recipe
    stages = [stage.model_dump() for stage in recipe.stages]
    for stage in stages:
        stage["epochs"] = stage["epochs"] and min(stage["epochs"], epochs)
    return recipe.model_copy(update={"stages": tuple(Stage(**stage) for stage in stages)})


def tuned_study(study: Study, chosen: Mapping[str, Mapping[str, Any]]) -> Study:
    """The study with each arm's chosen values frozen into its recipe; arms not in ``chosen`` stay."""
    arms = tuple(tuned(arm, chosen[arm.label]) if arm.label in chosen else arm for arm in study.arms)
    baseline = next(arm.recipe for arm in arms if arm.label == study.baseline)
    return study.model_copy(update={"arms": arms, "recipe": baseline})


def shared_values(tune: Tune, baseline: Mapping[str, Any], label: str) -> Values:
    """The baseline's tuned values, as far as the arm ``label`` has such settings."""
    mine = ranges_of(tune, label)
    return {key: value for key, value in baseline.items() if key in mine}
