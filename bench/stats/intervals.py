"""Means over seeds and images with their variance, interval and p-values."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Doubles = NDArray[np.float64]

SMALLEST_P = 1e-15
"""p-values below this are returned as it: no decision depends on them and the tails are not exact there."""


@dataclass(frozen=True)
class Shared:
    """The seed variance that decides where other comparisons of the study have a say: ``moderated``."""

    variance: float
    """V_seed, of the mean; larger than the comparison's own."""
    freedom: float
    """Degrees of freedom, its own and those lent by the others."""


@dataclass(frozen=True)
class Interval:
    """A mean (of scores or of paired differences) over seeds and items, and how uncertain it is.

    All variances are those of the mean, not of single values. Built by ``two_way`` and its relatives.
    """

    mean: float
    seed_variance: float
    """V_seed, Σ(D[s]−d̄)² / (S(S−1)), with cross-validation times its correction."""
    item_variance: float
    """V_item, Σ(m[i]−d̄)² / (N(N−1))."""
    interaction: float
    """V_int, the part of both that is counted twice."""
    seeds: int
    items: int
    seed_freedom: float | None = None
    """Degrees of freedom of V_seed; None: S − 1."""
    shared: Shared | None = None
    """What decides in place of V_seed where the study says more of it; stays as the mean's sign turns."""

    @property
    def freedom_of_seeds(self) -> float:
        """Degrees of freedom of V_seed."""
        return self.seeds - 1 if self.seed_freedom is None else self.seed_freedom

    @functools.cached_property
    def deciding(self) -> Interval:
        """The interval that verdicts follow: with the shared seed variance, where there is one."""
        if self.shared is None:
            return self
        lent = self.shared
        return replace(self, seed_variance=lent.variance, seed_freedom=lent.freedom, shared=None)

    @functools.cached_property
    def variance(self) -> float:
        """V = max(V_seed + V_item − V_int, V_seed, V_item)."""
        both = self.seed_variance + self.item_variance - self.interaction
        return max(both, self.seed_variance, self.item_variance)

    @property
    def seed_share(self) -> float:
        """w = V_seed / V, 0 to 1; 1 where nothing varies."""
        return self.seed_variance / self.variance if self.variance > 0 else 1.0

    def quantile(self, alpha: float) -> float:
        """q(α) of its own variances: the two-sided critical value, t of seeds and of items mixed by variance.

        Source: Cochran & Cox, Experimental Designs (1957), section 4.14.
        """
        w = self.seed_share
        # Minus: stdtrit gives the lower quantile, which is negative.
        seed = -float(special.stdtrit(self.freedom_of_seeds, alpha / 2)) if w > 0 else 0.0
        item = -float(special.stdtrit(self.items - 1, alpha / 2)) if w < 1 else 0.0
        return w * seed + (1 - w) * item

    def half_width(self, alpha: float = 0.05) -> float:
        """q(α)·√V, the wider of its own and the deciding one: others may lend it certainty, not accuracy."""
        own = self.quantile(alpha) * math.sqrt(self.variance) if self.variance > 0 else 0.0
        return own if self.shared is None else max(own, self.deciding.half_width(alpha))

    @property
    def low(self) -> float:
        """Lower end of the pointwise 95 % interval."""
        return self.mean - self.half_width()

    @property
    def high(self) -> float:
        """Upper end of the pointwise 95 % interval."""
        return self.mean + self.half_width()

    def p_printed(self, value: float) -> float:
        """p of the interval that is printed: under .05 where the wider of the two excludes ``value``."""
        own = replace(self, shared=None) if self.shared else self
        return max(own.p(value), self.p(value))

    def p(self, value: float) -> float:
        """Two-sided p for "the mean is ``value``": the α whose deciding interval ends there; 1 for V = 0."""
        if self.shared is not None:
            return self.deciding.p(value)
        if self.variance <= 0:
            return 1.0
        wanted = abs(self.mean - value) / math.sqrt(self.variance)
        if wanted >= self.quantile(SMALLEST_P):
            return SMALLEST_P
        # The quantile falls as α grows. Sixty halvings of log α end at a double's last digit.
        low, high = math.log(SMALLEST_P), 0.0
        for _ in range(60):
            middle = (low + high) / 2
            if self.quantile(math.exp(middle)) > wanted:
                low = middle
            else:
                high = middle
        return math.exp((low + high) / 2)


def _components(d: Doubles) -> tuple[float, float, float, float]:
    """Mean, V_seed, V_item and V_int of d (S, N)."""
    S, N = d.shape
    if S < 2 or N < 2:
        raise ValueError(f"needs at least 2 seeds and 2 items, got {S} × {N}")
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    mean = float(rows.mean())
    seed = float(np.square(rows - mean).sum()) / (S * (S - 1))
    item = float(np.square(columns - mean).sum()) / (N * (N - 1))
    # Equals the sum of squares of d[s,i] − D[s] − m[i] + d̄ without a second (S, N) array of residuals.
    residual = float(np.square(d - columns).sum()) - N * float(np.square(rows - mean).sum())
    interaction = max(0.0, residual) / ((S - 1) * (N - 1) * S * N)
    return mean, _clean(seed, mean), _clean(item, mean), interaction


def _clean(variance: float, mean: float) -> float:
    """Rounding of a constant array is no variance."""
    return 0.0 if variance <= (1e-14 * max(1.0, abs(mean))) ** 2 else variance


def two_way(d: Doubles, *, inflation: float = 1.0) -> Interval:
    """The mean over S seeds and N items, both seen as draws: the target is new seeds and new images.

    d          (S, N) scores of an arm, or differences of two arms paired by seed and item; S, N ≥ 2
    inflation  factor on V_seed; 1 + J/(k−1) for a set that the models of J = k·r folds all score

    Source: two-way random effects, Owen 2007 (the pigeonhole bootstrap) for the variance of the mean.
    """
    mean, seed, item, interaction = _components(np.asarray(d, dtype=float))
    return Interval(mean, seed * inflation, item, interaction, *d.shape)


def paired_t(x: Doubles) -> Interval:
    """The mean over seeds alone, as for a cost, which has no images: Student's t.

    x  (S,) one value per seed, for example log ratios of seconds; S ≥ 2
    """
    x = np.asarray(x, dtype=float)
    if len(x) < 2:
        raise ValueError(f"needs at least 2 seeds, got {len(x)}")
    mean = float(x.mean())
    return Interval(mean, _clean(float(x.var(ddof=1)) / len(x), mean), 0.0, 0.0, len(x), 1)


def fold_interval(x: Doubles, share: float) -> Interval:
    """The mean over folds, whose training sets overlap. No item term: it is inside each fold's mean.

    x      (J,) mean difference over the images of each fold (average seeds first); J ≥ 2
    share  1/(k−1) for k folds, n_test/n_rest for random splits

    Source: Nadeau & Bengio 2003, the corrected resampled t-test.
    """
    plain = paired_t(x)
    variance = plain.seed_variance * (1 + plain.seeds * share)
    return Interval(plain.mean, variance, 0.0, 0.0, plain.seeds, 1)


def difference_of_gaps(local: Doubles, hidden: Doubles) -> Interval:
    """Mean of local − hidden, for one arm's scores (its gap) or for paired differences (a gap's change).

    local   (S, N) on the local test set
    hidden  (S, M) on a hidden set, the same seeds

    The two sets' item terms are added, as if their images were different ones.
    """
    a, b = np.asarray(local, dtype=float), np.asarray(hidden, dtype=float)
    _, _, item_a, interaction_a = _components(a)
    _, _, item_b, interaction_b = _components(b)
    seeds = paired_t(a.mean(axis=1) - b.mean(axis=1))
    items = min(a.shape[1], b.shape[1])
    return Interval(
        seeds.mean, seeds.seed_variance, item_a + item_b, interaction_a + interaction_b, len(a), items
    )


@dataclass(frozen=True)
class SpreadTest:
    """Do two arms' scores spread differently over seeds? Only "no difference" can be tested."""

    mean: float
    """Standard deviation of B minus that of A."""
    p_zero: float
    seeds: int
    ratio: float = math.nan
    """Standard deviation of B over that of A; NaN where either is 0."""

    def p(self, value: float) -> float:
        """p for "equal spread"; 1 for any other value, which has no test."""
        return self.p_zero if value == 0 else 1.0


def brown_forsythe(reference: Doubles, arm: Doubles) -> SpreadTest:
    """Brown–Forsythe over the seeds' scores of two arms.

    reference, arm  (S,) scores of the common seeds, S ≥ 2

    Source: Brown & Forsythe 1974 (Levene's test around the median).
    """
    a, b = np.asarray(reference, dtype=float), np.asarray(arm, dtype=float)
    of_a, of_b = float(a.std(ddof=1)), float(b.std(ddof=1))
    difference, ratio = of_b - of_a, of_b / of_a if of_a > 0 and of_b > 0 else math.nan
    far_a, far_b = np.abs(a - np.median(a)), np.abs(b - np.median(b))
    within = float(far_a.var(ddof=1) / len(a) + far_b.var(ddof=1) / len(b))
    if within == 0:
        return SpreadTest(difference, 1.0, len(a), ratio)
    # Both groups have one size, so pooled or not the variance is the same; 2 (S − 1) degrees of freedom.
    F = float(far_a.mean() - far_b.mean()) ** 2 / within
    return SpreadTest(difference, float(special.fdtrc(1, 2 * len(a) - 2, F)), len(a), ratio)
