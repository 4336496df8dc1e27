"""What a study can detect, from measured or from assumed variances."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from scipy import special

from bench.stats.intervals import Interval

POWER = 0.8
MANY_SEEDS = 100_000
"""Stands for seeds without end."""
MANY_TIMES = 100
"""So many times the items there are nobody gets."""
MOST_DOUBLINGS = 6
"""Of the seeds, before images are said to be of no use."""


def smallest_effect(interval: Interval, alpha: float = 0.05, family: int = 1) -> float:
    """The smallest true difference that such a comparison finds 4 times in 5; infinite where V is 0.

    alpha   level of one comparison (see ``level``)
    family  comparisons that share the level; the first Holm step is assumed
    """
    interval = interval.deciding
    if interval.variance <= 0:
        return math.inf
    critical, freedom = interval.quantile(alpha / family), freedom_of(interval)
    # Power rises with the shift: double until it suffices, then halve down to a double's last digit.
    low, high = 0.0, 1.0
    while _power(critical, freedom, high) < POWER:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(critical, freedom, middle) < POWER else (low, middle)
    return high * math.sqrt(interval.variance)


def power_of(interval: Interval, effect: float, alpha: float = 0.05, family: int = 1) -> float:
    """How often such a comparison finds a true difference of ``effect`` (above 0), in [0, 1]."""
    interval = interval.deciding
    if interval.variance <= 0:
        return 0.0
    shift = effect / math.sqrt(interval.variance)
    return _power(interval.quantile(alpha / family), freedom_of(interval), shift)


def freedom_of(interval: Interval) -> float:
    """Degrees of freedom of V, at least those of the seeds. Source: Satterthwaite 1946."""
    of_seeds = interval.freedom_of_seeds
    spread = interval.seed_variance**2 / of_seeds
    spread += interval.item_variance**2 / max(1, interval.items - 1)
    return max(of_seeds, interval.variance**2 / spread)


def _power(critical: float, freedom: float, shift: float) -> float:
    """P(T > critical), T noncentral t; normal where the freedom is beyond the library's exact range."""
    if freedom > 1e5:
        return float(special.ndtr(shift - critical))
    return 1.0 - float(special.nctdtr(freedom, shift, critical))


def with_seeds(interval: Interval, seeds: int) -> Interval:
    """The interval that as many seeds would give: V = V_seed·S/S′ + max(0, V_item − V_int).

    Of a shared seed variance, what others lend stays: the degrees of freedom grow by the further seeds.
    """
    interval = interval.deciding
    item = max(0.0, interval.item_variance - interval.interaction)
    seed = interval.seed_variance * interval.seeds / seeds
    lent = None if interval.seed_freedom is None else interval.seed_freedom + seeds - interval.seeds
    return replace(
        interval, seed_variance=seed, item_variance=item, interaction=0.0, seeds=seeds, seed_freedom=lent
    )


def seeds_needed(interval: Interval, effect: float, alpha: float = 0.05, family: int = 1) -> int | None:
    """Fewest seeds that detect ``effect``; None where no number does: that needs more images, not seeds."""

    def detects(seeds: int) -> bool:
        return smallest_effect(with_seeds(interval, seeds), alpha, family) <= effect

    return _fewest(detects)


def with_items(interval: Interval, items: int) -> Interval:
    """The interval that as many items would give under the same seeds.

    V_item and V_int fall by N/N′; of V_seed what seeds and items do together, which is V_int, does too.
    """
    interval = interval.deciding
    share = interval.items / items
    crossed, item = interval.interaction * share, interval.item_variance * share
    seed = max(0.0, interval.seed_variance - interval.interaction) + crossed
    return replace(interval, seed_variance=seed, item_variance=item, interaction=crossed, items=items)


def items_needed(
    interval: Interval, effect: float, level: Callable[[int], float] = lambda seeds: 0.05, family: int = 1
) -> tuple[int, int] | None:
    """Fewest items that detect ``effect``, and the seeds that go with them; None where that is out of reach.

    level   seeds → level of one comparison

    The seeds are those there are where items alone suffice, else the fewest doublings of them.
    """
    start, most = interval.items, MANY_TIMES * interval.items
    for seeds in (interval.seeds * 2**k for k in range(MOST_DOUBLINGS + 1)):
        known = interval if seeds == interval.seeds else with_seeds(interval, seeds)

        def detects(items: int, known: Interval = known) -> bool:
            return smallest_effect(with_items(known, items), level(known.seeds), family) <= effect

        if found := _fewest(detects, start, most):
            return found, seeds
    return None


def _fewest(detects: Callable[[int], bool], start: int = 4, most: int = MANY_SEEDS) -> int | None:
    """The fewest (seeds, items) from ``start`` on that detect something, None where ``most`` do not."""
    if not detects(most):
        return None
    low, high = start - 1, start
    while not detects(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detects(middle) else (middle, high)
    return high


def spread_seeds_needed(ratio: float, alpha: float = 0.05, family: int = 1) -> int | None:
    """Fewest seeds with which a difference in spread is found 4 times in 5; None where none suffice.

    ratio  standard deviation of one arm over that of the other, either way round; NaN: None

    Of the F test of two variances, the sharpest for normal scores. Brown–Forsythe, which is what judges,
    takes some more, so this is a lower bound.
    """
    if math.isnan(ratio):
        return None
    square = max(ratio, 1 / ratio) ** 2

    def detects(seeds: int) -> bool:
        # The ratio of the sample variances over that of the true ones is what follows F.
        critical = float(special.fdtri(seeds - 1, seeds - 1, 1 - alpha / family / 2))
        return float(special.fdtrc(seeds - 1, seeds - 1, critical / square)) >= POWER

    return _fewest(detects)


def measured(interval: Interval) -> tuple[float, float]:
    """σ, the sd over seeds of a comparison's D[s], and f = N·max(0, V_item − V_int), to plan another with."""
    sigma = math.sqrt(interval.seed_variance * interval.seeds)
    return sigma, interval.items * max(0.0, interval.item_variance - interval.interaction)


def assumed(sigma: float, f: float, seeds: int, items: int) -> Interval:
    """The interval a planned comparison would have: V_seed = σ²/S, V_item = f/N, V_int = 0."""
    return Interval(0.0, sigma**2 / seeds, f / items, 0.0, seeds, items)


def upper_sigma(sigma: float, seeds: int) -> float:
    """σ's one-sided 80 % upper bound when it was measured on so few seeds (× 1.56 at 5)."""
    # (S − 1)·s²/σ² follows χ² with S − 1 degrees of freedom; a fifth of it lies below this point.
    return sigma * math.sqrt((seeds - 1) / float(special.chdtri(seeds - 1, 0.8)))
