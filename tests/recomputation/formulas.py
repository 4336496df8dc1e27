"""Effects, intervals and tests of docs/method.md, arrays in and numbers out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 100_000
MOST_TIMES = 100


@dataclass(frozen=True)
class Effect:
    """A mean over seeds and items, with what its error is made of."""

    mean: float
    v_seed: float
    v_item: float
    v_both: float
    seeds: int
    items: tuple[int, ...]
    """The number of items of each set that the mean is of: one, or two of a gap."""
    lent: float = 0.0
    """Degrees of freedom that other comparisons, or further seeds of the baseline, add to the seeds'."""
    by: "Effect | None" = None
    """What decides in its place."""

    @property
    def variance(self) -> float:
        return max(self.v_seed + self.v_item - self.v_both, self.v_seed, self.v_item)

    def quantile(self, alpha: float) -> float:
        """Cochran and Cox's q at this two-sided level."""
        w = self.v_seed / self.variance if self.variance else 1.0
        of_seeds, of_items = stats.t.isf(alpha / 2, [self.seeds - 1 + self.lent, min(self.items) - 1])
        return float(w * of_seeds + (1 - w) * of_items)

    def half(self, level: float = LEVEL) -> float:
        """Half the interval at 1 − level, the wider one where something else decides."""
        own = self.quantile(level) * math.sqrt(self.variance)
        return max(own, self.by.half(level)) if self.by else own

    def ends(self, level: float = LEVEL) -> tuple[float, float]:
        """Of the interval at 1 − level."""
        half = self.half(level)
        return self.mean - half, self.mean + half

    def p_printed(self, cut: float) -> float:
        """Of the wider interval."""
        return max(replace(self, by=None).p(cut), self.p(cut))

    def p(self, cut: float) -> float:
        """Two-sided, for "the difference is cut"."""
        if self.by:
            return self.by.p(cut)
        if not self.variance:
            return 1.0
        apart = abs(self.mean - cut) / math.sqrt(self.variance)
        if apart == 0:
            return 1.0
        root = optimize.brentq(lambda log: self.quantile(math.exp(log)) - apart, -60.0, 0.0, xtol=1e-13)
        return math.exp(root)

    def with_seeds(self, seeds: int) -> "Effect":
        """The same noise, over another number of seeds."""
        if self.by:
            return self.by.with_seeds(seeds)
        fixed = max(0.0, self.v_item - self.v_both)
        seed = self.v_seed * self.seeds / seeds
        return replace(self, v_seed=seed, v_item=fixed, v_both=0.0, seeds=seeds)

    def with_items(self, times: float) -> "Effect":
        """The same noise, over so many times the items."""
        if self.by:
            return self.by.with_items(times)
        return replace(
            self,
            v_seed=max(0.0, self.v_seed - self.v_both) + self.v_both / times,
            v_item=self.v_item / times,
            v_both=self.v_both / times,
            items=tuple(round(n * times) for n in self.items),
        )

    @property
    def freedom(self) -> float:
        """Welch and Satterthwaite's ν of the variance."""
        own = self.seeds - 1.0 + self.lent
        parts = self.v_seed**2 / own + self.v_item**2 / (min(self.items) - 1)
        return max(own, self.variance**2 / parts) if parts else own

    def detectable(self, alpha: float) -> float:
        """The difference that is found four times in five at this two-sided level."""
        if self.by:
            return self.by.detectable(alpha)
        freedom = self.freedom
        needed, error = self.quantile(alpha), math.sqrt(self.variance)

        def missing(shift: float) -> float:
            return float(stats.nct.sf(needed, freedom, shift)) - POWER

        return float(optimize.brentq(missing, 0.0, needed + 10.0 + needed * 3)) * error


def two_way(x: np.ndarray) -> Effect:
    """Of x (S, N), a score or a difference of scores of each seed and item."""
    S, N = x.shape
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), float(x.mean())
    rest = x - rows[:, None] - columns[None, :] + mean
    return Effect(
        mean,
        float(np.sum((rows - mean) ** 2)) / (S * (S - 1)),
        float(np.sum((columns - mean) ** 2)) / (N * (N - 1)),
        float(np.sum(rest**2)) / ((S - 1) * (N - 1) * S * N),
        S,
        (N,),
    )


def gap(first: np.ndarray, second: np.ndarray) -> Effect:
    """Of first (S, N) minus second (S, M), two sets under the same seeds: their items' terms are added."""
    one, two = two_way(first), two_way(second)
    rows = first.mean(axis=1) - second.mean(axis=1)
    return Effect(
        one.mean - two.mean,
        float(np.var(rows, ddof=1)) / len(rows),
        one.v_item + two.v_item,
        one.v_both + two.v_both,
        len(rows),
        (*one.items, *two.items),
    )


def paired(x: np.ndarray) -> Effect:
    """Of x (S,), one number a seed: the t interval."""
    return Effect(float(x.mean()), float(np.var(x, ddof=1)) / len(x), 0.0, 0.0, len(x), (len(x),))


def brown_forsythe(first: np.ndarray, second: np.ndarray) -> float:
    """p of equal spreads of two samples: an F test on the distances to the medians."""
    distances = [np.abs(sample - np.median(sample)) for sample in (first, second)]
    return float(stats.f_oneway(*distances).pvalue)


def holm(p: list[float]) -> list[float]:
    """Adjusted p-values, in the order given."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, so_far = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = so_far
    return adjusted


def fewest(enough: Callable[[int], bool], start: int, most: int = MOST_SEEDS) -> int | None:
    """The smallest number from `start` on that is enough, None where `most` is not."""
    if not enough(most):
        return None
    low, high = start - 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
