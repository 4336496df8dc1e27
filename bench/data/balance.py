"""What each choice of ``balance`` makes of unequal classes: the images of an epoch, or weights for the loss.

Letters: N images of the training split, K classes, M images of an epoch. Validation and whatever is scored
stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.data.images import Index, Labels
from bench.recipe import Balance
from bench.streams import stream

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Deck:
    """The images of an epoch before they are shuffled.

    index          (M,) int64: positions in the training split
    copy           (M,) int64: 0 for an image itself, 1, 2, … for its copies
    odds           (M,) float64 that add up to 1: an epoch draws M images with these probabilities, with
                   replacement; None: every image once
    class_weights  (K,) float64: factors on the loss; None: all 1
    """

    index: Index
    copy: Index
    odds: Doubles | None = None
    class_weights: Doubles | None = None

    def __len__(self) -> int:
        return len(self.index)

    def order(self, rng: np.random.Generator) -> Index:
        """Positions (M,) in the deck, in the order in which one epoch shows them."""
        if self.odds is None:
            return rng.permutation(len(self))
        return rng.choice(len(self), size=len(self), p=self.odds)


def deal(balance: Balance, labels: Labels, classes: int, seed: int) -> Deck:
    """The deck of a trial, the same for every stage and epoch.

    labels   (N,) int64
    classes  K; one without images stays without
    random   which images are repeated or left out: one stream (balance, class) each
    """
    return CHOICES[balance](labels, classes, seed)


def everything(labels: Labels, classes: int, seed: int) -> Deck:
    """``none``: every image once. labels (N,) → M = N."""
    return Deck(np.arange(len(labels)), np.zeros(len(labels), np.int64))


def upsample(labels: Labels, classes: int, seed: int) -> Deck:
    """``upsample``: every class repeated until it is as large as the largest.

    labels (N,) → M = K × images of the largest class. All images of a class are there equally often, or once
    more: which ones, chance decides.
    """
    members = _members(labels, classes)
    most = max(map(len, members.values()))
    index, copy = [], []
    for k, mine in members.items():
        again = stream(seed, "balance", k).permutation(mine)[: most % len(mine)]
        index += [np.tile(mine, most // len(mine)), again]
        copy.append(np.arange(most) // len(mine))
    return Deck(np.concatenate(index), np.concatenate(copy))


def downsample(labels: Labels, classes: int, seed: int) -> Deck:
    """``downsample``: every class cut to the size of the smallest, by chance.

    labels (N,) → M = K × images of the smallest class; the rest is never trained on.
    """
    members = _members(labels, classes)
    least = min(map(len, members.values()))
    kept = [stream(seed, "balance", k).permutation(mine)[:least] for k, mine in members.items()]
    return Deck(np.sort(np.concatenate(kept)), np.zeros(least * len(members), np.int64))


def class_weights(labels: Labels, classes: int, seed: int) -> Deck:
    """``class-weights``: every image once; a class weighs N / (K · its images) in the loss.

    labels (N,) → M = N. The mean weight of an image is 1, so that the learning rate keeps its meaning.

    Source: King & Zeng 2001; scikit-learn's ``class_weight="balanced"``.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(classes)
    np.divide(len(labels), np.count_nonzero(counts) * counts, out=weights, where=counts > 0)
    index = np.arange(len(labels))
    return Deck(index, np.zeros_like(index), class_weights=weights)


def sqrt_sampler(labels: Labels, classes: int, seed: int) -> Deck:
    """``sqrt-sampler``: an epoch draws N images; a class comes up in proportion to the root of its size.

    labels (N,) → M = N, drawn with replacement; an image of a class of n images has a probability ∝ 1/√n.

    Source: Kang et al. 2020, "Decoupling representation and classifier", section 3 (q = 1/2).
    """
    odds = np.bincount(labels, minlength=classes)[labels] ** -0.5
    index = np.arange(len(labels))
    return Deck(index, np.zeros_like(index), odds=odds / odds.sum())


CHOICES: dict[Balance, Callable[[Labels, int, int], Deck]] = {
    "none": everything,
    "upsample": upsample,
    "upsample-static": upsample,
    "downsample": downsample,
    "class-weights": class_weights,
    "sqrt-sampler": sqrt_sampler,
}


def _members(labels: Labels, classes: int) -> dict[int, Index]:
    """Positions of each class that has images, ascending. labels (N,)."""
    found = {k: np.flatnonzero(labels == k) for k in range(classes)}
    return {k: mine for k, mine in found.items() if len(mine)}
