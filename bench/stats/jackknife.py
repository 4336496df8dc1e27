"""Scores turned into one pseudo-value per item by the jackknife: image by image, or group by group.

Leaving out an item has a closed form for each of them, so no score is computed twice. Pseudo-values are
linear: those of a difference are the difference of those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = tuple[NDArray[Any], NDArray[np.intp]]
"""The different ids, (M,), and which of them each image (N,) has."""
LeftOut = tuple[float, Doubles]
"""A score, and the scores (M,) without each item."""


def pseudo_values(
    metric: str,
    probabilities: NDArray[Any],
    labels: Ints,
    ids: NDArray[Any],
    places: Places | None = None,
) -> tuple[float, Doubles | None]:
    """A score and one pseudo-value per item: φ[i] = M·θ − (M−1)·θ[−i], shifted to the mean θ.

    metric         a key of JACKKNIFE
    probabilities  (N, K)
    labels         (N,) class of each image
    ids            (N,) which item an image belongs to: its base image's id, which copies share, or its group
    places         ``np.unique`` of the ids and its inverse, where somebody has them
    returns        the score, and (M,) in ascending order of id; None where a class present has fewer than 2
                   items, since leaving one out would leave no class

    Source: Tukey 1958; Efron & Tibshirani 1993, chapter 11.
    """
    unique, inverse = np.unique(ids, return_inverse=True) if places is None else places
    M = len(unique)
    theta, without = JACKKNIFE[metric](np.asarray(probabilities, dtype=float), labels, inverse, M)
    if metric == "accuracy":
        return theta, without
    of_class = (_table(inverse, labels, M, probabilities.shape[1]) > 0).sum(axis=0)  # (K,) items that have it
    if M < 2 or of_class[of_class > 0].min() < 2 or (of_class > 0).sum() < 2:
        return theta, None
    phi = M * theta - (M - 1) * without
    # The mean of φ is θ less the jackknife's guess of its bias; an interval is wanted around θ itself.
    shifted: Doubles = phi + (theta - phi.mean())
    return theta, shifted


def by_group(values: Doubles, group: NDArray[Any]) -> Doubles:
    """A mean over images, one pseudo-value per group of them: what leaving each group out says.

    values   (M,) one value per image, of accuracy or of a difference in it
    group    (M,) which images belong together, G groups of sizes n
    returns  (G,) in ascending order of the groups: D + (G−1)/(M−n)·(sum over the group − n·D), shifted to the
             mean D of all images. Groups of one image each give the values themselves. One group has no
             other to be left out from: its mean alone

    Of groups of equal size these are their means, and the variance over them is that of cluster sampling.
    Where sizes differ, the large ones weigh by how much the mean hangs on them, which linearising the ratio
    of the two sums would understate (docs/method.md).

    Source: Quenouille 1956; over clusters Bell & McCaffrey 2002.
    """
    _, inverse, n = np.unique(group, return_inverse=True, return_counts=True)
    mean, M, G = float(values.mean()), len(values), len(n)
    if G < 2:
        return np.full(G, mean)
    apart = (np.bincount(inverse, weights=values) - n * mean) * ((G - 1) / (M - n))
    return np.asarray(mean + apart - apart.mean(), dtype=float)


def _accuracy(probabilities: Doubles, labels: Ints, group: Ints, M: int) -> LeftOut:
    """Share of right images; the shares (M,) of items of one size are their own pseudo-values."""
    right = (probabilities.argmax(axis=1) == labels).astype(float)
    size = np.bincount(group, minlength=M)
    if size.min() < size.max():
        return float(right.mean()), by_group(right, group)
    share = np.bincount(group, weights=right, minlength=M) / size
    return float(share.mean()), share


def _table(group: Ints, column: Ints, M: int, K: int, weights: Doubles | None = None) -> Doubles:
    """Sums (M, K) over the images of each item and column."""
    flat = np.bincount(group * K + column, weights=weights, minlength=M * K)
    return np.asarray(flat.reshape(M, K), dtype=float)


def _ratio(top: Doubles, bottom: NDArray[Any]) -> Doubles:
    result = np.zeros(np.shape(top))
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _balanced_accuracy(probabilities: Doubles, labels: Ints, group: Ints, M: int) -> LeftOut:
    """Mean recall over the classes present; (M,) without each item."""
    K = probabilities.shape[1]
    hit = (probabilities.argmax(axis=1) == labels).astype(float)
    sizes, hits = _table(group, labels, M, K), _table(group, labels, M, K, hit)
    n, h = sizes.sum(axis=0), hits.sum(axis=0)
    present = n > 0
    without = _ratio(h - hits, n - sizes)[:, present].mean(axis=1)
    return float(_ratio(h, n)[present].mean()), without


def _macro_f1(probabilities: Doubles, labels: Ints, group: Ints, M: int) -> LeftOut:
    """Mean over the classes present of 2·TP / (images of the class + images called it); (M,) without each."""
    K = probabilities.shape[1]
    called = probabilities.argmax(axis=1)
    sizes, calls = _table(group, labels, M, K), _table(group, called, M, K)
    hits = _table(group, labels, M, K, (called == labels).astype(float))
    n, c, h = sizes.sum(axis=0), calls.sum(axis=0), hits.sum(axis=0)
    present = n > 0
    without = _ratio(2 * (h - hits), (n - sizes) + (c - calls))[:, present].mean(axis=1)
    return float(_ratio(2 * h, n + c)[present].mean()), without


def _auc(probabilities: Doubles, labels: Ints, group: Ints, M: int) -> LeftOut:
    """Mean over the classes present of one-vs-rest AUC; (M,) without each item.

    The number of rightly ordered pairs is a sum over positives, and over negatives: leaving an item out takes
    away those of its images, but pairs within an item of several classes only once.
    """
    K = probabilities.shape[1]
    values, without = [], []
    for k in range(K):
        positive = labels == k
        n = int(positive.sum())
        if n == 0 or n == len(labels):
            continue
        wins = _pairs_won(probabilities[:, k], positive)
        total = wins[positive].sum()
        gone_rest, gone = _table(group, positive.astype(np.int64), M, 2).T
        twice = _within(probabilities[:, k], positive, group, gone_rest)
        lost = np.bincount(group, weights=wins, minlength=M) - twice
        values.append(total / (n * (len(labels) - n)))
        without.append(_ratio(total - lost, (n - gone) * (len(labels) - n - gone_rest)))
    if not values:
        return float("nan"), np.full(M, np.nan)
    return float(np.mean(values)), np.mean(without, axis=0)


def _pairs_won(score: Doubles, positive: NDArray[np.bool_]) -> Doubles:
    """For each image (N,): rightly ordered pairs with the other side, ties half."""
    within = np.empty(len(score))
    within[positive] = _ranks(score[positive])
    within[~positive] = _ranks(score[~positive])
    below_or_half = _ranks(score) - within  # images of the other side below, ties half
    others = np.where(positive, (~positive).sum(), positive.sum())
    # A positive wins over the others below it, a negative over those above.
    won: Doubles = np.where(positive, below_or_half, others - below_or_half)
    return won


def _within(score: Doubles, positive: NDArray[np.bool_], group: Ints, negatives: Doubles) -> Doubles:
    """Rightly ordered pairs of two images of one item (M,); ``negatives`` (M,) are each item's."""
    _, level = np.unique(score, return_inverse=True)
    # Above all of the items before its own, an image wins against all of their negatives.
    won = _pairs_won((group * (level.max() + 1) + level).astype(float), positive)
    before = (np.cumsum(negatives) - negatives)[group]
    sums = np.bincount(group, weights=np.where(positive, won - before, 0.0), minlength=len(negatives))
    return np.asarray(sums, dtype=float)


def _ranks(values: Doubles) -> Doubles:
    """Ranks (N,) from 1, ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # The sum is the last rank of equal values; the mean of theirs lies (count − 1)/2 below.
    ranks: Doubles = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


JACKKNIFE: dict[str, Callable[[Doubles, Ints, Ints, int], LeftOut]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "auc": _auc,
}
"""Scores that have an interval, by the name they are stored under."""
