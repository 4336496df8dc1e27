"""How far equal arms differ by the luck of their seeds alone: what the eye may take for an effect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

Doubles = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)
_FAR = 9.0
"""Sds beyond which a normal draw is not looked for."""


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
    # The pooled sd over the true one has the density of χ/√ν; nothing of it lies beyond the far end.
    far = math.sqrt(float(special.chdtri(freedom, 1e-16)) / freedom)
    spread = (_NODES + 1) * far / 2
    log = special.xlogy(freedom - 1, spread) - freedom * spread**2 / 2
    log += freedom / 2 * math.log(freedom) - (freedom / 2 - 1) * math.log(2) - special.gammaln(freedom / 2)
    of_spread = _WEIGHTS * far / 2 * np.exp(log)
    place = _FAR * _NODES
    of_place = _WEIGHTS * _FAR * np.exp(-(place**2) / 2) / math.sqrt(2 * math.pi)
    middle = place / math.sqrt(reference)  # the reference's mean, in true sds

    def within(half: float) -> float:
        inside = np.ones((len(_NODES), len(_NODES)))
        for seeds, number in others.items():
            ends = (math.sqrt(seeds) * (middle + side * half * spread[:, None]) for side in (1, -1))
            high, low = map(special.ndtr, ends)
            inside *= (high - low) ** number
        return float(of_spread @ inside @ of_place)

    low, high = 0.0, 1.0
    while within(high) < share:
        high *= 2
    for _ in range(50):
        half = (low + high) / 2
        low, high = (half, high) if within(half) < share else (low, half)
    return high
