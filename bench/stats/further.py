"""A reference that was trained more often than the arms: what its further seeds add to a difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.stats.intervals import Doubles, Interval, two_way


def with_further(arm: Doubles, paired: Doubles, every: Doubles, beta: float) -> Interval:
    """Arm minus reference: Ā − B̄ − β·(B̄ of the pairs − B̄), B̄ over all seeds of the reference.

    arm, paired  (S, N) scores of the arm and of the reference with the same seeds; S, N ≥ 2
    every        (M, N) the reference with all its seeds, M > S
    beta         0 to 1, see ``slope``: 1 is the paired difference, 0 takes all seeds of the reference as if
                 there were no pairs

    Seeds: variances of A − β·B over S and of (1 − β)·B over M, and twice their covariance where it widens; t
    with the harmonic mean of their degrees of freedom, weighed by variance: Satterthwaite's are too many
    for three seeds (docs/method.md).

    Source: Cochran 1977, section 12.2 (double sampling with regression).
    """
    S, M = len(arm), len(every)
    rest, known = two_way(arm - beta * paired), two_way((1 - beta) * every)
    rows, of_pairs = (arm - beta * paired).mean(axis=1), paired.mean(axis=1)
    together = float(np.cov(rows, of_pairs)[0, 1])
    seeds = rest.seed_variance + max(0.0, -2 * (1 - beta) * together / M)
    total = seeds + known.seed_variance
    shares = seeds / (S - 1) + known.seed_variance / (M - 1)
    columns = (arm - beta * paired).mean(axis=0) - (1 - beta) * every.mean(axis=0)
    items = float(columns.var(ddof=1)) / len(columns)
    interaction = rest.interaction + known.interaction
    freedom = total / shares if shares > 0 else S - 1.0
    return Interval(rest.mean - known.mean, total, items, interaction, S, len(columns), seed_freedom=freedom)


def slope(pairs: Sequence[tuple[Doubles, Doubles]]) -> float:
    """How far arms' seeds follow the reference's: one regression over all arms of a study, within [0, 1].

    pairs  of each arm the reference's scores and its own (S,), of the same seeds; S ≥ 2
    """
    moments = [np.cov(reference, arm) * (len(arm) - 1) for reference, arm in pairs]
    own = sum(float(one[0, 0]) for one in moments)
    return min(1.0, max(0.0, sum(float(one[0, 1]) for one in moments) / own)) if own > 0 else 0.0
