"""Looking several times: levels that are spent look by look, who still counts at each, and who can still win.

Source: Holm 1979 at each look, the level shared out over looks by Bonferroni.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from bench.stats.intervals import Interval
from bench.stats.power import with_seeds
from bench.stats.verdicts import holm

LEVEL = 0.05
SPENT = {3: (0.01, 0.015, 0.025)}
"""Looks → level of each; any other number of looks shares the level out evenly."""

FUTILE = 0.1
"""Chance of a verdict under which further seeds go to others; simulated, docs/method.md."""


def levels(looks: int) -> tuple[float, ...]:
    """The level of each look; they add up to .05."""
    return SPENT.get(looks, (LEVEL / looks,) * looks)


def rejected_now(
    p: Sequence[float], before: Sequence[bool], stopped: Sequence[bool], level: float
) -> list[bool]:
    """Which comparisons are rejected at one cut and one look.

    p        of each member for this cut, at this look
    before   rejected at this cut at an earlier look: it leaves the family
    stopped  decided otherwise at an earlier look: it counts with p = 1
    level    of this look
    """
    members = [i for i, gone in enumerate(before) if not gone]
    adjusted = holm([1.0 if stopped[i] else p[i] for i in members])
    rejected = [False] * len(p)
    for i, value in zip(members, adjusted, strict=True):
        rejected[i] = bool(value < level) and not stopped[i]
    return rejected


def chance_of_verdict(interval: Interval, delta: float | None, seeds: int, alpha: float) -> float:
    """How likely a comparison is to be told from 0, or to be below δ, once it has more seeds, in [0, 1].

    delta  as a fraction; None where there is none
    seeds  at the last look, more than the interval's
    alpha  level that it will be judged at

    The true difference is as unsure as its interval says: what the further seeds will show is predicted from
    the present ones. Stopping for a small chance spends no level, for it only takes chances away.

    Source: predictive power, Spiegelhalter et al. 1986.
    """
    now, then = interval.deciding, with_seeds(interval, seeds)
    reach = then.quantile(alpha) * math.sqrt(then.variance) if then.variance > 0 else 0.0
    spread = math.sqrt(now.seed_variance * (1 - now.seeds / seeds))
    low = -reach if delta is None else max(-reach, delta - reach)
    if spread == 0:
        return float(not low <= now.mean <= reach)
    freedom = now.freedom_of_seeds
    below = float(special.stdtr(freedom, (low - now.mean) / spread))
    return below + float(special.stdtr(freedom, (now.mean - reach) / spread))


def shrunk(mean: float, variance: float, means: Sequence[float], variances: Sequence[float]) -> float:
    """An effect drawn towards none, as far as all effects of the study are no larger than their noise.

    mean, variance    of the effect and of its error
    means, variances  of every effect on the metric, this one's too

    Who stops at the first large difference sees, on average, more than there is. τ², the variance of true
    effects around 0, is the mean square of those seen less that of their errors; at least 0.

    Source: empirical Bayes, Efron & Morris 1973.
    """
    apart = sum(one**2 for one in means) - sum(variances)
    true = max(0.0, apart / len(means))
    return mean * true / (true + variance) if true + variance > 0 else mean
