"""Drawings of stained blood cells: data that comes with the package, so a first study needs no download.

These pictures are **synthetic**. They follow the look of a peripheral blood smear (May Grünwald-Giemsa stain,
one cell in the middle, red cells around it) closely enough to make an honest problem: eight unequal classes
that overlap where real ones do. They are drawings: no biology should be learnt from them, and a score on them
says nothing about a score on patients' cells.

``cells`` chooses what a picture shows, ``paint`` turns that into pixels. Class shares,
sizes and colours were read off the Barcelona set (Acevedo et al. 2020, DOI 10.17632/snkd93bnjr.1).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.streams import stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION: int = 2
"""Raised by hand when any picture changes; part of the data fingerprint."""

CLASSES: tuple[str, ...] = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)

MIN_SIZE_PX = 16
MAX_SHIFT = 3.0
_BATCH = 256
"""Pictures chosen at once; changes no picture."""
_KEPT = 4
"""Batches: threads that read along may be two apart."""


def draw(
    n_images: int, size_px: int, seed: int, **shifts: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw labelled blood cells; picture k depends on (seed, k, size, shifts) and on nothing else.

    n_images      how many, 1 or more; a longer set begins with the same pictures
    size_px       side of the picture, 16 or more; the same (seed, k) at two sizes is the same cell
    seed          starts all random streams; sets with different seeds share no cell

    The shifts go from 0 (the default, the laboratory of the training set) over 1 (clearly another one) to 3
    (extreme). Each moves all pictures one way and may widen the spread between them; cells and labels stay.

    stain         dyes: nuclei turn paler and redder, red cells and eosin stronger, plasma keeps its colour
    illumination  bluer and darker light, stray light that takes contrast, dark corners, a gradient
    scale         lower magnification: lengths times 0.85 at 1, 0.61 at 3
    focus         blur (standard deviation about 0.9 px of 96 at 1, 2.6 at 3) and more sensor noise

    returns  images (N, H, W, 3) uint8, 0 to 255, and labels (N,) int64 in [0, 8), indices into ``CLASSES``
    random   one draw per image from ``stream(seed, "synthetic", k)``, nothing else

    The same call is bit-identical with any number of threads (no BLAS is involved); a processor whose
    exponential rounds differently may give a pixel that differs by 1.
    """
    import numpy as np

    picture = drawer(n_images, size_px, seed, **shifts)
    images = np.empty((n_images, size_px, size_px, 3), np.uint8)
    for k in range(n_images):
        images[k] = picture(k)
    return images, label(n_images)


def drawer(n_images: int, size_px: int, seed: int, **shifts: float) -> Callable[[int], NDArray[np.uint8]]:
    """The same pictures one by one, k → (H, W, 3) uint8: of millions no memory holds all. Thread-safe.

    Each is drawn with its neighbours, of which the last few are kept: to be asked for in their order.
    """
    import numpy as np

    from bench.data.synthetic.cells import N_DRAWS, Draws, Knobs
    from bench.data.synthetic.paint import canvas_of, pictures

    shift = Knobs(**shifts)
    _check(n_images, size_px, vars(shift))
    labels, canvas, lock = label(n_images), canvas_of(size_px), threading.Lock()

    @functools.lru_cache(_KEPT)
    def block(number: int) -> NDArray[np.uint8]:
        part = range(number * _BATCH, min((number + 1) * _BATCH, n_images))
        numbers = [stream(seed, "synthetic", k).random(N_DRAWS) for k in part]
        return pictures(labels[part.start : part.stop], Draws(np.stack(numbers)), canvas, shift)

    def picture(k: int) -> NDArray[np.uint8]:
        with lock:
            drawn: NDArray[np.uint8] = block(k // _BATCH)[k % _BATCH]
        return drawn

    return picture


def label(n_images: int) -> NDArray[np.int64]:
    """Labels (N,) int64 of the first pictures of any set: the k-th depends on k alone.

    A golden-ratio sequence over the cumulative class shares: every prefix follows ``COUNTS`` closely.
    """
    import numpy as np

    from bench.data.synthetic.cells import COUNTS

    golden = (5**0.5 - 1) / 2
    edges = np.cumsum(COUNTS) / sum(COUNTS)
    place = (0.5 + golden * np.arange(n_images)) % 1.0
    return np.searchsorted(edges[:-1], place, side="right").astype(np.int64)


def _check(n_images: int, size_px: int, shifts: dict[str, float]) -> None:
    if n_images < 1:
        raise UserError(f"synthetic data: n_images = {n_images}; draw at least 1 image")
    if size_px < MIN_SIZE_PX:
        raise UserError(
            f"synthetic data: size_px = {size_px}; use {MIN_SIZE_PX} or more, below cells are blots"
        )
    for name, value in shifts.items():
        if not 0.0 <= value <= MAX_SHIFT:
            raise UserError(
                f"synthetic data: {name} = {value}; choose from 0 (no shift) over 1 (another laboratory) "
                f"to {MAX_SHIFT:g} (extreme)"
            )
