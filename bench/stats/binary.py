"""One class (or several) against the rest: rates of a test as a clinic knows them, and their pseudo-values.

Everywhere: truth (N,) bool, what an image is · said (N,) bool, what it was called · score (N,) the higher,
the more it speaks for the class · items (N,) the item an image belongs to, as in ``jackknife``. Pseudo-values
(M,) are in ascending order of the items that have any, and their mean is the rate; None where there are fewer
than two, or the rate is undefined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.stats.jackknife import Doubles, by_group

Flags = NDArray[np.bool_]
WOODRUFF = 1.96
"""Half-width, in standard errors of the fixed rate, over which the slope of a curve is taken."""


def rate(of: Flags, right: Flags) -> float:
    """Share of the images ``of`` that are ``right``, 0 to 1; nan where there are none."""
    return float(right[of].mean()) if of.any() else float("nan")


def rate_by_item(of: Flags, right: Flags, items: NDArray[Any]) -> Doubles | None:
    """Pseudo-values of the same: over the items that have such an image, for the others say nothing of it.

    So their number is known, and t has the degrees of freedom of what was seen: 20 positives are 20, among
    however many negatives.
    """
    return by_group(right[of].astype(float), items[of]) if len(np.unique(items[of])) > 1 else None


def cut(score: NDArray[Any], truth: Flags, specificity: float) -> float:
    """The lowest score that an image must exceed so that a share ``specificity`` of the others does not.

    specificity   0 to 1; where the others' scores are equal, as many more are kept below as are equal
    """
    others = np.sort(score[~truth])[::-1]
    allowed = _allowed(len(others), 1 - specificity)
    return float(others[allowed]) if allowed < len(others) else -float("inf")


def _allowed(count: int, share: float) -> int:
    """Images in that share of ``count``; 0.1 of 50 are 5, whatever floating point makes of 1 − 0.9."""
    return int(np.floor(count * share + 1e-9))


def sensitivity_at(score: NDArray[Any], truth: Flags, specificity: float) -> float:
    """Share of the positives above the cut; nan where one of the two sides has no image.

    The cut is taken from the same images, as a point of their ROC curve is.
    """
    if truth.all() or not truth.any():
        return float("nan")
    return float((score[truth] > cut(score, truth, specificity)).mean())


def sensitivity_at_by_item(
    score: NDArray[Any], truth: Flags, specificity: float, items: NDArray[Any]
) -> Doubles | None:
    """Pseudo-values of the same, linearised.

    A positive counts by whether it is above the cut, another by how much it moves the cut, times the slope
    of the ROC curve there.

    Leaving out one image at a time would be wrong here: the jackknife is inconsistent for a quantile.

    Source: Linnet 1987 for the two parts; Woodruff 1952 for the slope, over ±1.96 standard errors.
    """
    positives, others = int(truth.sum()), int((~truth).sum())
    if positives < 2 or others < 2:
        return None
    above = score > cut(score, truth, specificity)
    theta, false = float(above[truth].mean()), float(above[~truth].mean())
    rate = 1 - specificity
    reach = max(WOODRUFF * np.sqrt(rate * (1 - rate) / others), 1 / others)
    low, high = max(0.0, rate - reach), min(1.0, rate + reach)
    ends = [sensitivity_at(score, truth, 1 - end) for end in (low, high)]
    slope = (ends[1] - ends[0]) / (high - low)
    apart = np.where(
        truth, (above - theta) * len(truth) / positives, -slope * (above - false) * len(truth) / others
    )
    return by_group(theta + apart, items) if len(np.unique(items)) > 1 else None


def predictive(truth: Flags, said: Flags, prevalence: float | None = None) -> float:
    """Share of the images called positive that are: the positive predictive value, 0 to 1.

    prevalence   share of positives among those who will be tested, 0 to 1; None: that of these images

    The negative one is that of what is not: ``predictive(~truth, ~said, 1 − prevalence)``. nan where none is
    called positive, and where prevalence is given and one of the two sides has no image.

    Source: Altman & Bland 1994.
    """
    sums = np.array([[(truth & said).sum(), truth.sum(), (~truth & said).sum(), (~truth).sum()]], float)
    return float(_predictive(sums, prevalence)[0])


def predictive_by_item(
    truth: Flags, said: Flags, prevalence: float | None, items: NDArray[Any]
) -> Doubles | None:
    """Pseudo-values of the same, by leaving each item out."""
    each = (truth & said, truth, ~truth & said, ~truth)
    return _without_each(lambda sums: _predictive(sums, prevalence), np.array(each, float), items)


def _predictive(sums: Doubles, prevalence: float | None) -> Doubles:
    """Of (…, 4) true positives, positives, false positives, negatives."""
    hits, positives, false, others = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if prevalence is not None:
            hits, false = prevalence * hits / positives, (1 - prevalence) * false / others
        return np.asarray(hits / (hits + false), float)


def quadratic_kappa(labels: NDArray[Any], answers: NDArray[Any]) -> float:
    """Agreement of answers (N,) and labels (N,) beyond chance, errors weighed by the square of the distance.

    returns   1 at best, 0 for chance, below it down to −1; nan where all labels and answers are one class

    Source: Cohen 1968.
    """
    return float(_kappa(_moments(labels, answers).sum(axis=1)[None])[0])


def quadratic_kappa_by_item(
    labels: NDArray[Any], answers: NDArray[Any], items: NDArray[Any]
) -> Doubles | None:
    """Pseudo-values of the same, by leaving each item out."""
    return _without_each(_kappa, _moments(labels, answers), items)


def _moments(labels: NDArray[Any], answers: NDArray[Any]) -> Doubles:
    """(6, N): what sums of squared distances are made of, seen ones and those by chance."""
    a, b = labels.astype(float), answers.astype(float)
    return np.array([(a - b) ** 2, a, b, a**2, b**2, np.ones_like(a)])


def _kappa(sums: Doubles) -> Doubles:
    seen, a, b, a2, b2, n = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - seen / (a2 + b2 - 2 * a * b / n), float)


def _without_each(of: Any, each: Doubles, items: NDArray[Any]) -> Doubles | None:
    """Pseudo-values φ[i] = M·θ − (M−1)·θ[−i], shifted to the mean θ, of a function of sums over images.

    of     sums (…, Q) → (…,)
    each   (Q, N): what each image adds
    """
    unique, inverse = np.unique(items, return_inverse=True)
    M = len(unique)
    if M < 2:
        return None
    parts = np.stack([np.bincount(inverse, weights=row, minlength=M) for row in each], axis=1)
    total = parts.sum(axis=0)
    theta, without = float(of(total[None])[0]), of(total - parts)
    phi = M * theta - (M - 1) * without
    shifted: Doubles = phi + (theta - phi.mean())
    return shifted if np.isfinite(shifted).all() else None


def roc(score: NDArray[Any], truth: Flags) -> tuple[Doubles, Doubles]:
    """False-positive and true-positive rates (T,), rising, of every threshold, from (0, 0) to (1, 1)."""
    hits, called = _called(score, truth)
    positives, others = max(1, int(truth.sum())), max(1, int((~truth).sum()))
    return (called - hits) / others, hits / positives


def precision_recall(score: NDArray[Any], truth: Flags) -> tuple[Doubles, Doubles]:
    """Recall, rising, and precision (T,) of every threshold that calls some image positive."""
    hits, called = _called(score, truth)
    return hits[1:] / max(1, int(truth.sum())), hits[1:] / called[1:]


def _called(score: NDArray[Any], truth: Flags) -> tuple[Doubles, Doubles]:
    """True positives, and all called positive (T,), at no threshold and at each distinct score downwards."""
    order = np.argsort(-score.astype(float), kind="stable")
    ordered = score[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(truth[order])[last].astype(float)
    return np.insert(hits, 0, 0.0), np.insert(np.flatnonzero(last) + 1.0, 0, 0.0)
