"""Several data sets: their mean difference, how far they differ beyond noise, what a new one would show.

Each data set's difference is y ~ N(θ, v), its θ ~ N(μ, τ²): data sets are draws from those there might be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Doubles = NDArray[np.float64]

FEWEST_SETS = 3
"""Two have one degree of freedom: an interval thirteen standard errors to either side."""
STEPS = 100
"""Of Newton's; a dozen are taken."""


@dataclass(frozen=True)
class Pooled:
    """The mean over data sets that there might be, and how uncertain it is."""

    mean: float
    error: float
    """Standard error of the mean, above 0."""
    between: float
    """τ, sd of the data sets' true differences; 0 where noise explains all that is seen."""
    inconsistency: float
    """I², 0 to 1: share of what data sets differ by that noise within them does not explain."""
    sets: int

    @property
    def seeds(self) -> int:
        """What is repeated: data sets. Verdicts on three are as careful as those on three seeds."""
        return self.sets

    @property
    def freedom(self) -> int:
        """Degrees of freedom: one less than data sets."""
        return self.sets - 1

    def half_width(self, alpha: float = 0.05) -> float:
        """Of the interval that holds the mean 1 − α of the time."""
        return -float(special.stdtrit(self.freedom, alpha / 2)) * self.error

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval of the mean."""
        return self.mean - self.half_width()

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval of the mean."""
        return self.mean + self.half_width()

    def p(self, value: float) -> float:
        """Two-sided p for "the mean is ``value``"."""
        return 2 * float(special.stdtr(self.freedom, -abs(self.mean - value) / self.error))

    @property
    def new_set(self) -> tuple[float, float]:
        """Ends of the 95 % prediction interval of the true difference on a new data set.

        Source: Higgins, Thompson & Spiegelhalter 2009, section 4, with t of the mean's degrees of freedom.
        """
        half = -float(special.stdtrit(self.freedom, 0.025)) * math.hypot(self.between, self.error)
        return self.mean - half, self.mean + half


def between(y: ArrayLike, v: ArrayLike, expected: float | None = None) -> Doubles:
    """τ², the variance of true differences between data sets, at least 0: with it Q is as large as expected.

    y, v      (…, K) differences of K data sets, and variances of their means, above 0
    expected  of Q = Σ (y − ȳ)² / (v + τ²); None: the median of χ² with K − 1 degrees of freedom, so that τ²
              is too small as often as too large. Its mean, K − 1, makes it too small more often
    returns   (…)

    Source: Paule & Mandel 1982 for K − 1, Viechtbauer 2007 for quantiles of Q; steps of DerSimonian & Kacker
    2007, which come from below.
    """
    y, v = np.broadcast_arrays(np.asarray(y, float), np.asarray(v, float))
    wanted = float(special.chdtri(y.shape[-1] - 1, 0.5)) if expected is None else expected
    found = np.zeros(y.shape[:-1])
    for _ in range(STEPS):
        w = 1 / (v + found[..., None])
        apart = np.square(y - _mean(y, w)[..., None])
        excess = (w * apart).sum(axis=-1) - wanted
        step = np.where(excess > 0, excess / np.maximum((w**2 * apart).sum(axis=-1), 1e-300), 0.0)
        found = found + step
        if np.all(step <= 1e-12 * found):
            break
    return np.asarray(found)


def _mean(y: Doubles, w: Doubles) -> Doubles:
    return np.asarray((w * y).sum(axis=-1) / w.sum(axis=-1))


def inconsistency(y: ArrayLike, v: ArrayLike) -> Doubles:
    """I² = max(0, (Q − (K − 1)) / Q), Cochran's Q of weights 1/v; shapes as in ``between``.

    Source: Higgins & Thompson 2002.
    """
    y, w = np.asarray(y, float), 1 / np.asarray(v, float)
    Q = (w * np.square(y - _mean(y, w)[..., None])).sum(axis=-1)
    return np.asarray(np.maximum(0, Q - (y.shape[-1] - 1)) / np.where(Q > 0, Q, 1.0))


def pooled(y: Sequence[float], v: Sequence[float]) -> Pooled:
    """The mean of data sets, weighed by 1/(v + τ²). Raises ValueError for fewer than ``FEWEST_SETS``.

    y, v  differences of K data sets, and variances of their means, above 0

    The interval is Hartung's and Knapp's, modified so that it is never narrower than without their factor
    Σ w·(y − ȳ)² / (K − 1). With τ² of ``between`` that factor is below 1, so that it is always 1.

    Source: Hartung & Knapp 2001; Röver, Knapp & Friede 2015 for the modification.
    """
    if len(y) < FEWEST_SETS or min(v) <= 0:
        raise ValueError(
            f"needs {FEWEST_SETS} data sets with noise in each, got {len(y)}, variances {list(v)}"
        )
    tau2 = float(between(y, v))
    w = 1 / (np.asarray(v, float) + tau2)
    mean = float(_mean(np.asarray(y, float), w))
    return Pooled(mean, math.sqrt(1 / w.sum()), math.sqrt(tau2), float(inconsistency(y, v)), len(y))
