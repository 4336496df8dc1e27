"""Answers on a corrupted set, family by family, as counts: small enough to keep for every trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.store import Predictions

Doubles = NDArray[np.float64]
Counts = NDArray[np.uint16]


@dataclass(frozen=True)
class Copies:
    """How many copies of each of M base images there are, and how many a trial got right, by family."""

    families: tuple[str, ...]
    """F names, sorted."""
    right: Counts
    """(F, M)"""
    made: Counts
    """(F, M)"""

    def accuracy(self, families: Sequence[str]) -> Doubles:
        """Share (M,) of right copies of each base image, over ``families`` (each must be here)."""
        rows = [self.families.index(family) for family in families]
        shares: Doubles = self.right[rows].sum(axis=0) / self.made[rows].sum(axis=0)
        return shares


def count(said: Predictions, place: NDArray[np.intp], items: int) -> Copies | None:
    """Answers counted by family; None where conditions were not stored.

    place  (N,) column of each copy's base image, 0 to ``items`` − 1
    """
    if said.conditions is None:
        return None
    of = [name.partition("/")[0] for name in said.condition_names]
    families = tuple(sorted(set(of)))
    row = np.array([families.index(family) for family in of], dtype=np.int64)[said.conditions]
    cell, size = row * items + place, len(families) * items
    right = said.probabilities.argmax(axis=1) == said.labels
    hits = np.bincount(cell[right], minlength=size)
    made = np.bincount(cell, minlength=size)
    shape = (len(families), items)
    return Copies(families, hits.reshape(shape).astype(np.uint16), made.reshape(shape).astype(np.uint16))
