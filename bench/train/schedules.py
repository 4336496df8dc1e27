"""Learning-rate schedules: what the rate is multiplied with, over a stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Protocol

from annotated_types import Ge, Gt, Interval, Len

from bench.registry import schedules


class Schedule(Protocol):
    """What every schedule is: a pure function, so that a stage that was interrupted continues at its rate."""

    def __call__(self, done: float, val_losses: Sequence[float] = ()) -> float:
        """The multiplier of the learning rate, 0 to 1.

        done         share of the stage's steps already done, 0 to below 1
        val_losses   validation losses of the stage's evaluations so far, in order; only schedules registered
                     with ``reacts=True`` look at them
        """
        ...


Share = Annotated[float, Interval(ge=0, lt=1)]
Factor = Annotated[float, Interval(gt=0, lt=1)]
HALF_AND_THREE_QUARTERS = [0.5, 0.75]


@schedules.register("constant")
def constant(warmup: Share = 0.0) -> Schedule:
    """The same rate throughout, after a linear warm-up.

    warmup   share of the stage's steps over which the rate rises from 0, 0 to below 1
    """

    def multiplier(done: float, val_losses: Sequence[float] = ()) -> float:
        return _warm(done, warmup)

    return multiplier


@schedules.register("cosine")
def cosine(warmup: Share = 0.0, floor: Annotated[float, Interval(ge=0, le=1)] = 0.0) -> Schedule:
    """Half a cosine from the full rate down to ``floor`` of it, after a linear warm-up.

    warmup   share of the stage's steps over which the rate rises from 0, 0 to below 1
    floor    share of the rate that remains at the end, 0 to 1

    Source: Loshchilov and Hutter 2017, SGDR, without restarts.
    """

    def multiplier(done: float, val_losses: Sequence[float] = ()) -> float:
        if done < warmup:
            return _warm(done, warmup)
        falling = (done - warmup) / (1 - warmup)
        return floor + (1 - floor) * (1 + math.cos(math.pi * falling)) / 2

    return multiplier


@schedules.register("step")
def step(
    milestones: Annotated[list[Factor], Len(1, 20)] = HALF_AND_THREE_QUARTERS,
    factor: Factor = 0.1,
    warmup: Share = 0.0,
) -> Schedule:
    """The rate falls to ``factor`` of itself at each milestone, after a linear warm-up.

    milestones   shares of the stage's steps, above 0 and below 1, in any order
    factor       above 0, below 1
    warmup       share of the stage's steps over which the rate rises from 0, 0 to below 1

    Source: He et al. 2016, section 4.2.
    """

    def multiplier(done: float, val_losses: Sequence[float] = ()) -> float:
        passed = sum(done >= milestone for milestone in milestones)
        return _warm(done, warmup) * factor**passed

    return multiplier


@schedules.register("plateau", reacts=True)
def plateau(
    patience: Annotated[int, Ge(1)] = 2,
    factor: Factor = 0.1,
    min_gain: Annotated[float, Interval(ge=0, lt=1)] = 1e-4,
    floor: Annotated[float, Gt(0)] = 1e-4,
    warmup: Share = 0.0,
) -> Schedule:
    """The rate falls to ``factor`` of itself whenever the validation loss stops falling, after a warm-up.

    patience   evaluations in a row without a lower validation loss before the rate falls, 1 or more; a stage
               that also stops early needs a larger patience of its own
    factor     above 0, below 1
    min_gain   share of the lowest loss by which a loss must lie below it to count as lower, 0 to below 1
    floor      least multiplier, above 0
    warmup     share of the stage's steps over which the rate rises from 0, 0 to below 1

    Source: torch's ReduceLROnPlateau, whose patience is one less.
    """

    def multiplier(done: float, val_losses: Sequence[float] = ()) -> float:
        lowest, waited, scale = math.inf, 0, 1.0
        for loss in val_losses:
            if loss < lowest * (1 - min_gain):
                lowest, waited = loss, 0
            else:
                waited += 1
            if waited == patience:
                scale, waited = max(floor, scale * factor), 0
        return _warm(done, warmup) * scale

    return multiplier


def _warm(done: float, warmup: float) -> float:
    return min(1.0, done / warmup) if warmup else 1.0
