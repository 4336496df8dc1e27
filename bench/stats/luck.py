"""How far equal arms differ by the luck of their seeds alone: what the eye may take for an effect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

Doubles = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)
# Of probabilities from 0 to 1: what follows a distribution is found at its quantiles there.
_AT, _SHARE = (_NODES + 1) / 2, _WEIGHTS / 2


def largest_by_luck(arms: Sequence[Doubles], level: float = 0.05) -> float:
    """How far the largest of equal arms' mean differences to the first arm goes, 1 − level of the time.

    arms     one array (S,) of scores for each arm, the first being the reference; S ≥ 2, which may differ
    returns  half the width of the band around 0, in the scores' unit; 0 where no seed differs from another

    Seeds are independent draws with one sd in every arm, the pooled one; of two arms it is Student's t.

    Source: Dunnett 1955.
    """
    if len(arms) < 2 or min(map(len, arms)) < 2:
        raise ValueError(f"needs 2 arms of 2 seeds, got {[len(arm) for arm in arms]}")
    freedom = sum(len(arm) - 1 for arm in arms)
    pooled = math.sqrt(sum(float(arm.var()) * len(arm) for arm in arms) / freedom)
    return pooled * _critical(len(arms[0]), Counter(len(arm) for arm in arms[1:]), freedom, 1 - level)


def _critical(reference: int, others: Counter[int], freedom: int, share: float) -> float:
    """The half-width, in pooled sds, within which all differences stay with that probability."""
    spread = np.sqrt(special.chdtri(freedom, 1 - _AT) / freedom)[
        :, None
    ]  # of the pooled sd over the true one
    middle = special.ndtri(_AT) / math.sqrt(reference)  # the reference's mean, in true sds

    def within(half: float) -> float:
        inside = np.ones((len(_AT), len(_AT)))
        for seeds, number in others.items():
            ends = (math.sqrt(seeds) * (middle + side * half * spread) for side in (1, -1))
            high, low = map(special.ndtr, ends)
            inside *= (high - low) ** number
        return float(_SHARE @ inside @ _SHARE)

    low, high = 0.0, 1.0
    while within(high) < share:
        high *= 2
    for _ in range(40):
        half = (low + high) / 2
        low, high = (half, high) if within(half) < share else (low, half)
    return high
