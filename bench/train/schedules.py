"""Learning-rate schedules: what the rate is multiplied with, over a stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Interval

from bench.registry import schedules

Schedule = Callable[[float], float]
"""Share of the stage's steps already done, 0 to below 1 → multiplier of the learning rate, 0 to 1."""

Share = Annotated[float, Interval(ge=0, lt=1)]


@schedules.register("constant")
def constant(warmup: Share = 0.0) -> Schedule:
    """The same rate throughout, after a linear warm-up.

    warmup   share of the stage's steps over which the rate rises from 0, 0 to below 1
    """
    return lambda done: _warm(done, warmup)


@schedules.register("cosine")
def cosine(warmup: Share = 0.0, floor: Annotated[float, Interval(ge=0, le=1)] = 0.0) -> Schedule:
    """Half a cosine from the full rate down to ``floor`` of it, after a linear warm-up.

    warmup   share of the stage's steps over which the rate rises from 0, 0 to below 1
    floor    share of the rate that remains at the end, 0 to 1

    Source: Loshchilov and Hutter 2017, SGDR, without restarts.
    """

    def multiplier(done: float) -> float:
        if done < warmup:
            return _warm(done, warmup)
        falling = (done - warmup) / (1 - warmup)
        return floor + (1 - floor) * (1 + math.cos(math.pi * falling)) / 2

    return multiplier


def _warm(done: float, warmup: float) -> float:
    return min(1.0, done / warmup) if warmup else 1.0
