"""Variance that is shared: what the comparisons of one study tell each other of the luck of seeds.

Three seeds leave two degrees of freedom to a comparison's own noise, but ten comparisons of one study mostly
have the same noise. Each one's seed variance is drawn towards what they have in common, and only upwards: a
comparison that is noisier than the others keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.stats.intervals import Interval, Shared

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """What the comparisons of a study have in common: as a sample that was seen before."""

    variance: Doubles
    """(…) s₀², above 0; NaN where nothing is shared."""
    freedom: Doubles
    """(…) d₀, its degrees of freedom, at least 0; 0 where nothing is shared."""

    def shrink(
        self, variance: ArrayLike, freedom: ArrayLike, weight: ArrayLike = 1.0
    ) -> tuple[Doubles, Doubles]:
        """Variances and degrees of freedom to decide with: the posterior's where larger, else one's own.

        variance  (…, K) s², at least 0; NaN where missing
        freedom   (…, K) its degrees of freedom d, above 0
        weight    (…, K) how much of d₀ counts, 0 to 1
        returns   (…, K) each
        """
        s2, d = np.broadcast_arrays(np.asarray(variance, float), np.asarray(freedom, float))
        d0, s0 = self.freedom[..., None] * np.asarray(weight, float), self.variance[..., None]
        posterior = (d0 * s0 + d * s2) / (d0 + d)
        lower = s2 < posterior  # NaN, where nothing is shared, is no such comparison
        return np.where(lower, posterior, s2), np.where(lower, d0 + d, d)


def prior(
    variance: ArrayLike, freedom: ArrayLike, independent: int | None = None, *, orthogonal: bool = False
) -> Prior:
    """Fit by moments what comparisons have in common: s² ~ s₀²·F(d, d₀), with unequal degrees of freedom.

    variance     (…, K) s² of each comparison; NaN, or 0, where it tells nothing; leading axes are studies
    freedom      (…, K) d, above 0
    independent  comparisons that are not told by the others, at most K: arms less one, where more pairs of
                 them are compared; None: all K
    orthogonal   no two share an arm's luck, as the contrasts of a screen
    returns      d₀ is at most (independent − 1)·mean(d)/2, and at most mean(d) + 1 unless orthogonal, as many
                 as there are seeds: comparisons share their baseline, so that their variances look more alike
                 than they are, and where it was quiet by luck, all are. Nothing is shared of fewer than 2

    Source: Smyth 2004, section 6.2 (moments of log s²).
    """
    s2, d = np.broadcast_arrays(np.asarray(variance, float), np.asarray(freedom, float))
    known = np.isfinite(s2) & (s2 > 0)
    K = known.sum(axis=-1)
    count = np.where(K > 1, K, np.nan)  # of one there is no spread
    half = np.where(known, d, 2.0) / 2
    e = np.where(known, np.log(np.where(known, s2, 1.0)) - special.digamma(half) + np.log(half), 0.0)
    middle = e.sum(axis=-1) / count
    apart = np.square(e - middle[..., None]) * (count / (count - 1))[..., None]
    excess = np.where(known, apart - special.polygamma(1, half), 0.0).sum(axis=-1) / count
    found = excess > 0
    half0 = inverse_trigamma(np.where(found, excess, 1.0))
    # As the excess goes to 0, d₀ goes to infinity and the correction of the mean of logs to 0.
    s0 = np.exp(middle + np.where(found, special.digamma(half0) - np.log(half0), 0.0))
    told = np.minimum(count, count if independent is None else independent)
    mean = np.where(known, d, 0.0).sum(axis=-1) / count
    cap = np.maximum(told - 1, 0) / 2 * mean
    cap = cap if orthogonal else np.minimum(cap, mean + 1)
    d0 = np.where(found, np.minimum(2 * half0, cap), cap)
    return Prior(s0, np.where(np.isnan(count), 0.0, d0))


def inverse_trigamma(value: ArrayLike) -> Doubles:
    """x with ψ′(x) = value, above 0: Newton's steps on 1/ψ′, which is nearly straight. Source: Smyth 2004."""
    wanted = np.asarray(value, float)
    x = 0.5 + 1 / wanted  # below the root, and the steps are monotone from there: 1/ψ′ is convex
    for _ in range(50):
        now = special.polygamma(1, x)
        step = now * (1 - now / wanted) / special.polygamma(2, x)
        x = x + step
        if np.all(np.abs(step) <= 1e-12 * x):
            break
    return np.asarray(x)


def weight(interval: Interval, variance: float) -> float:
    """How much of d₀ a comparison is lent, 0 to 1: w² of ``variance``, the s₀² that all have in common.

    Where items make most of V, seeds' degrees of freedom are not what it lacks, and the few that it has keep
    Cochran and Cox's quantile careful. Squared, as shares count in Welch's and Satterthwaite's.
    """
    return replace(interval, seed_variance=variance / interval.seeds).seed_share ** 2


def moderate(
    intervals: Sequence[Interval | None], independent: int | None = None, *, orthogonal: bool = False
) -> list[Interval | None]:
    """The comparisons of one study on one metric, each with the seed variance that it is decided by.

    intervals    one per comparison; None: it tells nothing, and gets nothing. Numbers of seeds may differ
    independent  see ``prior``
    orthogonal   see ``prior``; these are lent all of d₀, others as much as ``weight`` says
    returns      in the same order; ``p`` of each is the moderated one, its half width the wider of the two
    """
    told = [interval for interval in intervals if interval is not None]
    s2 = np.array([interval.seed_variance * interval.seeds for interval in told])
    d = np.array([interval.freedom_of_seeds for interval in told])
    shared = prior(s2, d, independent, orthogonal=orthogonal)
    if not told or not shared.freedom > 0:
        return list(intervals)
    weights = [1.0 if orthogonal else weight(one, float(shared.variance)) for one in told]
    lower = [
        replace(interval, shared=Shared(float(variance) / interval.seeds, float(freedom)))
        if freedom > own
        else interval
        for interval, variance, freedom, own in zip(told, *shared.shrink(s2, d, weights), d, strict=True)
    ]
    found = iter(lower)
    return [None if interval is None else next(found) for interval in intervals]
