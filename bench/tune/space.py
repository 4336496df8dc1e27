"""What tuning tries: points of the unit cube, the same for every arm, mapped to each arm's own ranges.

Pure and light: a plan must know every candidate's id without importing a search library.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

from bench.errors import UserError
from bench.recipe import Recipe, Stage
from bench.streams import derive
from bench.study.file import MOST_TUNED, Range, Tune, ranges_of, tuned_keys
from bench.study.patch import apply, look_up
from bench.study.read import Arm, Study
from bench.study.resolve import resolve

Values = dict[str, Any]
"""Dotted key of a recipe → what it is set to."""

DIGITS = 4
"""Significant digits of a tuned number: what a report prints is what was trained."""
EDGE = 0.1
"""Share of a range, at either end, in which a chosen value counts as lying at its edge."""

_BITS = 32
_POLYNOMIALS = (
    (0, (1,)),
    (1, (1, 3)),
    (1, (1, 3, 1)),
    (2, (1, 1, 1)),
    (1, (1, 1, 3, 3)),
    (4, (1, 3, 5, 13)),
    (2, (1, 1, 5, 5, 17)),
    (4, (1, 1, 5, 5, 5)),
    (7, (1, 1, 7, 11, 19)),
)
"""Coefficients and first direction numbers of dimensions 2 to 10. Source: Joe & Kuo 2008."""
assert len(_POLYNOMIALS) + 1 == MOST_TUNED


def points(count: int, dimensions: int, seed: int) -> list[tuple[float, ...]]:
    """The first ``count`` points of a Sobol sequence with a random digital shift, each in [0, 1).

    Point k in dimension j depends on (seed, j, k) alone: more points or dimensions move none. Digital
    shifts keep the sequence's even spread. Source: Joe & Kuo 2008; Owen 2003 (randomisation by digits).
    """
    # derive gives 63 bits, a coordinate has the first _BITS of them.
    shifts = [derive(seed, "sobol", j) >> (63 - _BITS) for j in range(dimensions)]
    state = [0] * dimensions
    found = []
    for k in range(count):
        found.append(tuple((s ^ shift) / 2**_BITS for s, shift in zip(state, shifts, strict=True)))
        # In Gray-code order one direction number leads from each point to the next.
        lowest_zero = (~k & (k + 1)).bit_length() - 1
        state = [s ^ _directions(j)[lowest_zero] for j, s in enumerate(state)]
    return found


@functools.cache
def _directions(dimension: int) -> tuple[int, ...]:
    """Direction numbers of one dimension, most significant bit first."""
    if dimension == 0:
        return tuple(1 << (_BITS - 1 - i) for i in range(_BITS))
    coefficients, first = _POLYNOMIALS[dimension - 1]
    degree = len(first)
    v = [m << (_BITS - 1 - i) for i, m in enumerate(first)]
    for i in range(degree, _BITS):
        # The recurrence of the primitive polynomial, of which the first and last coefficient are 1.
        new = v[i - degree] ^ (v[i - degree] >> degree)
        for k in range(1, degree):
            if coefficients >> (degree - 1 - k) & 1:
                new ^= v[i - k]
        v.append(new)
    return tuple(v)


def grid_points(tune: Tune, label: str, count: int) -> list[dict[str, float]]:
    """The unit coordinates of an arm's first ``count`` candidates by tuned key, paired across arms."""
    dimension = {key: j for j, key in enumerate(tuned_keys(tune))}
    mine = ranges_of(tune, label)
    return [
        {key: point[dimension[key]] for key in mine} for point in points(count, len(dimension), tune.seed)
    ]


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
