"""One number per item of a set, how much a trial's score hangs on it: by leaving the item out."""

from collections.abc import Callable

import numpy as np

from .records import Answers
from .scores import MEANS, SCORERS, right

BY_ANSWER = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores that an image enters with its class and the class that was said, so that few leave-outs differ."""


def by_image(answers: Answers) -> np.ndarray:
    """Share (M,) of an image's copies that are right, by the images' ids."""
    return _means(right(answers), answers.ids)


def _means(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    _, place = np.unique(of, return_inverse=True)
    return np.asarray(np.bincount(place, values) / np.bincount(place))


def per_item(answers: Answers, score: str) -> np.ndarray | None:
    """φ (M,), by the items' numbers; None where leaving one out would leave a class without images.

    Of a mean over images the images' own values, of whatever else, and of groups, M·θ − (M−1)·θ[−i],
    shifted to the mean θ.
    """
    if score in MEANS and answers.groups is None:
        return _means(MEANS[score](answers), answers.ids)
    if score not in SCORERS:
        raise NotImplementedError(f"an interval of {score}")
    items, place = np.unique(answers.items, return_inverse=True)
    M = len(items)
    theta = SCORERS[score](answers)
    if M == 1 and score in MEANS:  # a single group has no other to be left out from
        return np.array([theta])
    if score not in MEANS:
        held = [len(np.unique(place[answers.labels == k])) for k in np.unique(answers.labels)]
        if min(held) < 2 or len(held) < 2:
            return None
    without = _without(answers, place, SCORERS[score], score in BY_ANSWER)
    values = M * theta - (M - 1) * without
    return np.asarray(values - values.mean() + theta)


def _without(
    answers: Answers, place: np.ndarray, score: Callable[[Answers], float], by_answer: bool
) -> np.ndarray:
    """The score (M,) without each item."""
    said = answers.probabilities.argmax(axis=1)
    known: dict[tuple[tuple[int, int], ...], float] = {}
    found = []
    order = np.argsort(place, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(place))[:-1]):
        alike = tuple(sorted((int(answers.labels[i]), int(said[i])) for i in rows))
        if not by_answer or alike not in known:
            rest = np.ones(len(place), bool)
            rest[rows] = False
            known[alike] = score(answers.of(rest))
        found.append(known[alike])
    return np.array(found)
