"""Some images of a set: what trials said of them alone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.store import Predictions, Store


class Part(Store):
    """A store in which trials have answered for some images only."""

    def __init__(
        self, root: Path, whole: Mapping[str, Mapping[str, Predictions]], ids: NDArray[np.uint64]
    ) -> None:
        """whole: trial → key of a set → what was said of all of it; ids (M,): the images that are left."""
        super().__init__(root)
        self._whole, self._ids = whole, ids

    def predictions(self, id: str, wanted: Container[str] | None = None) -> dict[str, Predictions]:
        """Of a set none of whose images are left, nothing."""
        told = {key: said for key, said in self._whole.get(id, {}).items() if wanted is None or key in wanted}
        parts = {key: _only(said, self._ids) for key, said in told.items()}
        return {key: part for key, part in parts.items() if len(part.ids)}


def _only(said: Predictions, ids: NDArray[np.uint64]) -> Predictions:
    chosen = np.isin(said.ids, ids)
    return Predictions(
        said.probabilities[chosen],
        said.labels[chosen],
        said.ids[chosen],
        None if said.conditions is None else said.conditions[chosen],
        said.condition_names,
        groups=None if said.groups is None else said.groups[chosen],
    )
