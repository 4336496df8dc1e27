"""Whether a network learned anything: a mark beside its scores, which count as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics import SMALLEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_GAIN = 0.05
"""Part of a constant answer's loss that a network which learned anything saves (docs/decisions/021)."""

SOFTER = (1, 2, 4, 8)
"""Temperatures: being too sure is no lack of learning."""

FEW_STEPS = 10
"""Fewer (a smoke run takes two in a stage) cannot be expected to teach anything: no mark."""

FALLS = 0.01
"""Part that the training loss loses over the second half of its last stage where it is still falling."""


def little_learned(
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    history: Sequence[Mapping[str, Any]],
) -> str:
    """How little was learned, and what may help; empty where something was.

    Little: no loss on validation is clearly below that of the best constant answer, neither with images nor
    with classes counted alike (a network may have trained with other class shares), and softened neither. The
    loss before training is no measure: with unequal classes it falls to that of the constant answer, and
    nothing is learned. Nor is a ranking: that of an untrained network is a matter of luck.

    probabilities  (N, K) of the kept weights on validation, rows sum to about 1
    labels         (N,) whole numbers in [0, K)
    history        an entry per evaluation, with ``stage``, ``step`` and ``train_loss``
    """
    found = list(_losses(probabilities, labels))
    saved = max((1 - loss / constant for loss, constant in found), default=1.0)
    if saved >= LEAST_GAIN or history[-1]["step"] < FEW_STEPS:
        return ""
    last = [entry["train_loss"] for entry in history if entry["stage"] == history[-1]["stage"]]
    falls = len(last) < 2 or last[-1] < (1 - FALLS) * last[(len(last) - 1) // 2]
    advice = "train longer" if falls else "the training loss fell no more: try another learning rate"
    loss, constant = found[0]
    least = f"it saves {100 * max(saved, 0):.1f} % at best, to learn takes {100 * LEAST_GAIN:.0f} %"
    return (
        f"validation loss {loss:.3f}, a constant answer has {constant:.3f}; "
        f"softened or with classes counted alike {least}; {advice}"
    )


def _losses(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> Iterator[tuple[float, float]]:
    """Loss, and that of the best constant answer: as things are first; none where all labels are one.

    probabilities (N, K), labels (N,)
    """
    counts = np.bincount(labels)
    for weights in (np.ones(len(labels)), 1 / counts[labels]):
        shares = np.bincount(labels, weights)[counts > 0] / weights.sum()
        constant = float(-(shares * np.log(shares)).sum())
        for temperature in SOFTER if len(shares) > 1 else ():
            logits = np.log(np.maximum(probabilities.astype(float), SMALLEST)) / temperature
            log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            of_label = log_p[np.arange(len(labels)), labels]
            yield float(-np.average(of_label, weights=weights)), constant
