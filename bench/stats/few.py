"""Where almost every item is right: an interval from variances would be too narrow, or of no width."""

from __future__ import annotations

from scipy import special


def at_least(mean: float, items: int) -> float:
    """One-sided 95 % lower bound of an accuracy of which only a few items were ever wrong.

    mean   over seeds and items, in [0, 1]
    items  N images (copies averaged), or groups of them

    The bound of N binary items of which N·(1 − mean) are wrong, which need not be whole: a mean over seeds or
    copies varies less than one answer, so that it is on the safe side.

    Source: Clopper & Pearson 1934.
    """
    wrong = items * (1 - mean)
    return 0.0 if wrong >= items else 1 - float(special.betaincinv(wrong + 1, items - wrong, 0.95))
