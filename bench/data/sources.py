"""From a source as a study names it to its reader."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.data import bloodmnist
from bench.data.folder import folder_reader
from bench.data.npz import npz_reader
from bench.data.reader import Reader
from bench.plan import Source
from bench.recipe import Data

SYNTHETIC_SEED = 0
SYNTHETIC_ID_PX = 32
"""Drawings have no native size; this one gives their identity, the same at every ``size_px``."""


def open_source(data: Data, source: Source) -> Reader:
    """The reader of a source; downloads BloodMNIST when it is absent. Raises UserError for what is wrong."""
    if source.kind == "synthetic":
        return synthetic_reader(data.n_images, data.size_px, SYNTHETIC_SEED, classes=data.classes)
    if source.path is None:
        raise ValueError(f"a source of kind {source.kind} has a path")
    if source.kind == "folder":
        return folder_reader(source.path, data.classes)
    if source.kind == "bloodmnist":
        return npz_reader(bloodmnist.fetch(source.path), data.classes or bloodmnist.CLASSES)
    return npz_reader(source.path, data.classes)


def synthetic_reader(
    n_images: int,
    size_px: int,
    seed: int,
    *,
    classes: Sequence[str] | None = None,
    shift: dict[str, float] | None = None,
) -> Reader:
    """Drawn cells. ``shift`` holds the generator's own knobs (stain, illumination, scale, focus).

    Other ``classes`` than the generator's rename its eight; with another number of names the drawings are
    dealt out to the classes in turn: smoke runs need some image of every class, not a sensible one.
    """
    from bench.data.synthetic import draw as synthetic

    drawn, labels = synthetic.draw(n_images, size_px, seed, **(shift or {}))
    small = drawn
    if size_px != SYNTHETIC_ID_PX:
        small, _ = synthetic.draw(n_images, SYNTHETIC_ID_PX, seed, **(shift or {}))
    names = tuple(classes or synthetic.CLASSES)
    if len(names) != len(synthetic.CLASSES):
        labels = np.arange(n_images, dtype=np.int64) % len(names)
    return Reader(names, labels, 3, lambda index: small[index], drawn=drawn)
