"""Two arms' answers on the same images: flips, confident errors, confusions, reliability. Arrays only.

Letters: S replicates that both arms finished, N images, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Ids, Index, Labels
from bench.metrics import ECE_BINS, confidence_bins
from bench.store import Predictions

Floats = NDArray[np.floating[Any]]
Which = Literal["reference", "arm"]
Kind = Literal["gained", "lost", "moved"]
"""The reference was wrong and the arm is right; the other way round; both wrong, with different answers."""


@dataclass(frozen=True)
class Flip:
    """An image on which the two arms answer differently."""

    position: int
    """Among the N images."""
    replicates: int
    """In how many of the S replicates it flips this way, the shown one included."""


@dataclass(frozen=True)
class Reliability:
    """Bins of equally many images, by confidence; those of the metric ``ece``."""

    confidence: Floats
    """(bins,) mean probability of the answer."""
    accuracy: Floats
    """(bins,) share of right answers."""
    counts: NDArray[np.int64]
    """(bins,) images; bins that ties leave empty are left out."""

    @property
    def ece(self) -> float:
        """Mean gap between the two, weighted by images."""
        gaps = np.abs(self.confidence - self.accuracy) * self.counts
        return float(gaps.sum() / self.counts.sum())


@dataclass(frozen=True)
class Comparison:
    """Both arms' probabilities on the same images, in the same order.

    probabilities   of each side (S, N, K)
    labels          (N,) 0 to K − 1
    ids             (N,) of the base images
    shown           the replicate whose flips and errors are shown, 0 to S − 1
    """

    probabilities: Mapping[Which, Floats]
    labels: Labels
    ids: Ids
    shown: int = 0

    def said(self, side: Which) -> Labels:
        """Answers (S, N)."""
        found: Labels = self.probabilities[side].argmax(2)
        return found

    def right(self, side: Which) -> NDArray[np.bool_]:
        """Whether each answer is right, (S, N)."""
        found: NDArray[np.bool_] = self.said(side) == self.labels
        return found

    def flipped(self, kind: Kind) -> NDArray[np.bool_]:
        """Which images flip in which replicate, (S, N)."""
        before, after = self.right("reference"), self.right("arm")
        if kind == "gained":
            return ~before & after
        if kind == "lost":
            return before & ~after
        moved: NDArray[np.bool_] = ~before & ~after & (self.said("reference") != self.said("arm"))
        return moved

    def flips(self, kind: Kind) -> list[Flip]:
        """The shown replicate's flips: the most repeatable first, then those that moved the most.

        Moved: by how much the probability of the true class changed; of ``moved`` flips, that of the answer.
        """
        mask = self.flipped(kind)
        repeats = mask.sum(0)
        reference, arm = (self.probabilities[side][self.shown] for side in ("reference", "arm"))
        target = self.said("arm")[self.shown] if kind == "moved" else self.labels
        rows = np.arange(len(self.labels))
        change = np.abs(arm[rows, target].astype(np.float64) - reference[rows, target])
        found = np.flatnonzero(mask[self.shown])
        order = np.lexsort((self.ids[found], -change[found], -repeats[found]))
        return [Flip(int(i), int(repeats[i])) for i in found[order]]

    def confident_errors(self, side: Which) -> list[int]:
        """Positions of the shown replicate's wrong answers, the surest first."""
        sure = self.probabilities[side][self.shown].max(1).astype(np.float64)
        wrong = np.flatnonzero(~self.right(side)[self.shown])
        return [int(i) for i in wrong[np.lexsort((self.ids[wrong], -sure[wrong]))]]

    def confusion(self, side: Which) -> NDArray[np.int64]:
        """True class → answer → images, (K, K), all replicates together."""
        classes = self.probabilities[side].shape[2]
        cells = self.labels * classes + self.said(side)
        return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)

    def recalls(self, side: Which) -> Floats:
        """Share of each class's images that are recognised, (S, K); nan for a class without images."""
        classes = self.probabilities[side].shape[2]
        counts = np.bincount(self.labels, minlength=classes)
        hits = np.stack([np.bincount(self.labels[row], minlength=classes) for row in self.right(side)])
        return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)

    def reliability(self, side: Which, replicate: int) -> Reliability:
        """Confidence against accuracy in the 15 bins of equal mass of ``metrics.ece``."""
        confidence = self.probabilities[side][replicate].max(1).astype(np.float64)
        right = self.right(side)[replicate]
        bins = confidence_bins(confidence)
        counts = np.bincount(bins, minlength=ECE_BINS)
        some = counts > 0
        sums = [np.bincount(bins, weights=w, minlength=ECE_BINS)[some] for w in (confidence, right)]
        return Reliability(sums[0] / counts[some], sums[1] / counts[some], counts[some])

    def churn(self) -> float | None:
        """Images on which two replicates of the reference disagree about being right, mean over pairs.

        What another seed alone flips; None with one replicate.
        """
        right = self.right("reference")
        pairs = [int((a != b).sum()) for a, b in combinations(right, 2)]
        return float(np.mean(pairs)) if pairs else None


def same_images(one: Predictions, other: Predictions) -> tuple[Index, Index]:
    """Positions (M,) in each of the images that both have, in the order of ``one``.

    An image is its base image, what was done to it, and its label. Copies that cannot be told apart are left
    out where the two sets are not the same, row for row.
    """
    keys = [_keys(each) for each in (one, other)]
    if keys[0] == keys[1]:
        index = np.arange(len(one.labels))
        return index, index
    places = [_places(each) for each in keys]
    common = [key for key in keys[0] if key in places[0] and key in places[1]]
    first, second = (np.array([place[key] for key in common], dtype=np.int64) for place in places)
    return first, second


def _places(keys: list[tuple[int, str, int]]) -> dict[tuple[int, str, int], int]:
    """Where each key that stands there once stands."""
    times = Counter(keys)
    return {key: place for place, key in enumerate(keys) if times[key] == 1}


def _keys(of: Predictions) -> list[tuple[int, str, int]]:
    names = of.condition_names
    done = [""] * len(of.labels) if of.conditions is None else [names[c] for c in of.conditions]
    return list(zip(of.ids.tolist(), done, of.labels.tolist(), strict=True))
