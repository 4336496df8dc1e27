"""Probabilities to scores, each from its definition in words."""

import numpy as np

from .records import Answers

BINS = 15
SMALLEST = 2.0**-24  # of float16


def right(answers: Answers) -> np.ndarray:
    """Whether each image (N,) is answered rightly: by the largest probability, the first of equal ones."""
    said: np.ndarray = answers.probabilities.argmax(axis=1)
    return np.where(said == answers.labels, 1.0, 0.0)


def recalls(answers: Answers) -> dict[int, float]:
    """Share of each class that is recognised, of the classes that are there."""
    hit = right(answers)
    return {int(k): float(hit[answers.labels == k].mean()) for k in np.unique(answers.labels)}


def macro_f1(answers: Answers) -> float:
    """Mean over the classes that are there of 2·TP / (2·TP + FP + FN)."""
    said = answers.probabilities.argmax(axis=1)
    values = []
    for k in np.unique(answers.labels):
        both = np.sum((said == k) & (answers.labels == k))
        values.append(2 * both / (np.sum(said == k) + np.sum(answers.labels == k)))
    return float(np.mean(values))


def auc(answers: Answers) -> float:
    """Mean over classes of P(an image of the class is ranked above one of the rest), ties one half."""
    values = []
    for k in np.unique(answers.labels):
        column, own = answers.probabilities[:, k], answers.labels == k
        if own.all():
            continue
        others = np.sort(column[~own])
        below = np.searchsorted(others, column[own], side="left")
        upto = np.searchsorted(others, column[own], side="right")
        values.append(float(np.mean((below + upto) / 2)) / len(others))
    return float(np.mean(values))


def ece(answers: Answers) -> float:
    """Expected calibration error: bins between quantiles of confidence, each gap weighed by its images.

    A confidence that equals a quantile counts to the bin above, so that equal confidences are never apart.
    """
    confidence, hit = answers.probabilities.max(axis=1), right(answers)
    ordered = np.sort(confidence)
    places = np.arange(1, BINS) / BINS * (len(ordered) - 1)
    under = places.astype(int)
    edges = ordered[under] + (places - under) * (ordered[under + 1] - ordered[under])
    total = 0.0
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        inside = (confidence >= low) & (confidence < high)
        total += abs(np.sum(hit[inside]) - np.sum(confidence[inside]))
    return float(total / len(confidence))


def losses(answers: Answers) -> np.ndarray:
    """Negative logarithm of the right class's probability, in nats, 0 being float16's smallest."""
    own = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    return np.asarray(-np.log(np.maximum(own, SMALLEST)))


def accuracy(answers: Answers) -> float:
    return float(right(answers).mean())


def balanced_accuracy(answers: Answers) -> float:
    return float(np.mean(list(recalls(answers).values())))


def nll(answers: Answers) -> float:
    return float(np.mean(losses(answers)))


MEANS = {"accuracy": right, "nll": losses}
"""Scores that are means over images, and what they are means of."""
SCORERS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auc": auc,
    "nll": nll,
}
"""Scores that have an interval."""


ALL_SCORES = (*SCORERS, "worst_recall", "ece")


def all_scores(answers: Answers) -> dict[str, float]:
    """Every score of the report's table."""
    found = {name: score(answers) for name, score in SCORERS.items()}
    return found | {"worst_recall": min(recalls(answers).values()), "ece": ece(answers)}
