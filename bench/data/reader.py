"""What every kind of source is turned into: labels at hand, pixels on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.data.images import Labels, Pixels


class BrokenImageError(Exception):
    """An image that cannot be read; the text names it and says why."""


@dataclass(frozen=True)
class Reader:
    """A source opened: labels at hand, pixels on demand.

    labels   (N,) int64
    split    (N,) int8 (0 train, 1 validation, 2 test) or None
    native   index → (H, W, C) uint8 as the source stores it; raises BrokenImageError; thread-safe
    drawn    (N, S, S, C) uint8 already at the size wanted, when the source can draw any size; else None
    """

    classes: tuple[str, ...]
    labels: Labels
    channels: int
    native: Callable[[int], Pixels]
    split: npt.NDArray[np.int8] | None = None
    drawn: Pixels | None = None
