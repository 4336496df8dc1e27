"""Levels in an order: weights of a line and of a bend, and which levels cannot be told from the best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.stats.intervals import Doubles
from bench.stats.verdicts import Testable, level


def line(levels: int) -> Doubles:
    """Weights (L,) of what the straight line through L level means rises by, from the first to the last.

    Least squares; levels are one step apart.
    """
    at = np.arange(levels) - (levels - 1) / 2
    weights: Doubles = at * (levels - 1) / np.square(at).sum()
    return weights


def bend(levels: int) -> Doubles:
    """Weights (L,) of how far the parabola through L ≥ 3 means lies higher in the middle than at its ends.

    Least squares, clear of the line; 0 where the means lie on a line, above 0 where the best lies inside.
    """
    at = np.arange(levels) - (levels - 1) / 2
    curve = np.square(at) - np.square(at).mean()
    weights: Doubles = -((levels - 1) ** 2) / 4 * curve / np.square(curve).sum()
    return weights


def among_best(levels: int, compared: Callable[[int, int], Testable | None]) -> tuple[int, ...]:
    """Levels (numbered from 0) that no other one is seen to be better than: the best is one of them.

    compared   (i, j) → level i minus level j, above 0 is better; None: it cannot be told

    A level goes where some other is better with p · (L − 1) below the level of a comparison, which bounds
    how often the level that is truly the best goes (Hsu 1996, with Bonferroni's inequality for Dunnett's
    distribution; two-sided p, so at half that).
    """
    kept = []
    for j in range(levels):
        tests = [compared(i, j) for i in range(levels) if i != j]
        better = [test for test in tests if test is not None and test.mean > 0]
        if not any(test.p(0.0) * (levels - 1) < level(test.seeds) for test in better):
            kept.append(j)
    return tuple(kept)
