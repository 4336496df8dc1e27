"""Pseudo-values of a score of which nothing is known but how to compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from bench.stats.jackknife import Doubles, Ints, by_group

MOST_PARTS = 200
"""Of more items, so many parts are left out: t with 199 degrees of freedom is 0.6 % wider than a normal."""

Score = Callable[[NDArray[Any], Ints], float]
"""Probabilities (N, K), labels (N,) → score; nan where it is undefined."""


def without_each(
    score: Score, probabilities: NDArray[Any], labels: Ints, items: NDArray[Any]
) -> Doubles | None:
    """One pseudo-value per item, φ[i] = M·θ − (M−1)·θ[−i], shifted to the mean θ; of many items, per part.

    probabilities  (N, K)
    labels         (N,)
    items          (N,) the item that an image belongs to: copies share it, and where groups are known theirs
    returns        (M,) or (MOST_PARTS,); None where a score is undefined, or a class is in one item or part

    Source: Tukey 1958; without parts of items, Shao & Wu 1989 and Kott 2001.
    """
    part, theta = parts_of(items), score(probabilities, labels)
    count = int(part.max()) + 1
    present = np.unique(labels)
    if count < 2 or min(len(np.unique(part[labels == k])) for k in present) < 2:
        return None
    without = np.array([score(probabilities[part != g], labels[part != g]) for g in range(count)])
    phi = count * theta - (count - 1) * without
    shifted: Doubles = phi + (theta - phi.mean())
    return shifted if np.isfinite(shifted).all() else None


def of_images(score: Score, probabilities: NDArray[Any], labels: Ints, items: NDArray[Any]) -> Doubles | None:
    """The same of a score that is the mean of what it is of each image alone, which is computed once.

    Raises UserError where it is no such mean.
    """
    values = np.array([score(probabilities[i : i + 1], labels[i : i + 1]) for i in range(len(labels))])
    theta = score(probabilities, labels)
    if not np.isclose(values.mean(), theta, rtol=1e-4, atol=1e-6):
        raise UserError(
            f'a metric of interval = "images" is {theta:.6g}, its mean over images is {values.mean():.6g}; '
            'register it with interval = "leave-one-out"'
        )
    return by_group(values, items) if len(np.unique(items)) > 1 else None


def parts_of(items: NDArray[Any], most: int = MOST_PARTS) -> Ints:
    """(N,) numbers from 0: which item an image belongs to, or of more than ``most`` items which part.

    Items are dealt out by a hash of their id, so that trials and arms agree and no order of images matters.
    Parts are not balanced by class: that would hide how much the mix of classes varies.
    """
    unique, item = np.unique(items, return_inverse=True)
    if len(unique) <= most:
        return item.astype(np.int64)
    mixed = unique.astype(np.uint64)
    # The finaliser of splitmix64 (Steele et al. 2014), which wraps: numbers in a row come out anywhere.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    place = np.argsort(np.argsort(mixed, kind="stable"), kind="stable")
    part: Ints = (place % most)[item]
    return part
