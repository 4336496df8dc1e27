"""Drawn cells as a source; ``bench.data.synthetic`` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from bench.data.content import Asked, Located
from bench.data.reader import Reader
from bench.data.synthetic import draw as generator
from bench.registry import sources

LOCAL_SEED = 0
ID_PX = 32
"""Drawings have no native size; this one gives their identity, the same at every ``size_px``."""


def locate(asked: Asked) -> Located:
    """Nowhere: known by the generator's version and their number."""
    return Located(None, "", images=asked.data.n_images)


@sources.register("synthetic", locate=locate, version=generator.VERSION, external=False)
def synthetic(n_images: int = 2000, size_px: int = 96, classes: tuple[str, ...] | None = None) -> Reader:
    """Drawings of stained blood cells, made on the spot; the default to try things with.

    n_images  how many, 80 or more
    size_px   they are drawn at this size
    classes   names for the eight classes; another number of names deals the drawings out in turn
    """
    return drawings(n_images, size_px, LOCAL_SEED, classes)


def drawings(
    n_images: int,
    size_px: int,
    seed: int,
    classes: tuple[str, ...] | None = None,
    shift: dict[str, float] | None = None,
) -> Reader:
    """Drawn cells. ``shift`` holds the generator's own knobs (stain, illumination, scale, focus).

    Other ``classes`` than the generator's rename its eight; with another number of names the drawings are
    dealt out to the classes in turn: smoke runs need some image of every class, not a sensible one.
    """
    import numpy as np

    drawn = generator.drawer(n_images, size_px, seed, **(shift or {}))
    small = drawn if size_px == ID_PX else generator.drawer(n_images, ID_PX, seed, **(shift or {}))
    labels, names = generator.label(n_images), tuple(classes or generator.CLASSES)
    if len(names) != len(generator.CLASSES):
        labels = np.arange(n_images, dtype=np.int64) % len(names)
    return Reader(names, labels, 3, small, drawn=drawn, names=_Numbered(n_images))


class _Numbered(Sequence[str]):
    """What drawings are called: millions of names take more memory than the rest of what is known of them."""

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [f"drawing {k}" for k in self._numbers[index]]
        return f"drawing {self._numbers[index]}"
