"""A split that lives on the device: one copy, then every batch is an index away."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.data.images import Index, Samples, Stored, digest, read_into

BLOCK = 1024
"""Images that are counted, or go to the device, at a time."""


@dataclass(frozen=True)
class Rows:
    """Images of a split that are wanted together, said where each kind of split needs it."""

    places: Index
    """(B,) on the host."""
    index: Tensor
    """(B,) int64, the same on the device."""


Wanted = TypeVar("Wanted", bound=Rows)


def resident(samples: Samples, device: torch.device | str, room: float = math.inf) -> Resident | None:
    """``samples`` on the device, once for all that hold them at the same time; None where they do not fit.

    room   bytes of images that may be added there
    """
    key = id(samples.images), id(samples.labels), str(device)
    found = _shared.get(key)
    if found is None and samples.images.nbytes <= room:
        found = _shared[key] = Resident(samples, device)
    return found


_shared: weakref.WeakValueDictionary[tuple[int, int, str], Resident] = weakref.WeakValueDictionary()


class Resident:
    """Images of a split on a device as bytes, in channels-last order.

    The copy has ended when it is made, so it can be read on any stream.
    """

    def __init__(self, samples: Samples, device: torch.device | str) -> None:
        self._of = samples  # while this lives, no other array has the same id
        self._pixels = _moved(samples.images, device)
        """(N, H, W, C) uint8, contiguous: picking images then keeps channels last without a conversion."""
        self.labels = torch.from_numpy(np.ascontiguousarray(samples.labels)).to(device)
        """(N,) int64."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Of its images."""
        return self._pixels.nbytes

    @property
    def digest(self) -> bytes:
        """Hash of its images."""
        return digest(self._of.images)

    @property
    def resident_bytes(self) -> int:
        """Of its images, on the device: all of them."""
        return self.nbytes

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8, channels last: a view, not a copy."""
        return self._pixels.permute(0, 3, 1, 2)

    def batch(self, index: Tensor) -> Tensor:
        """Images at ``index`` (B,) int64 on the device: (B, C, H, W) float32 in [0, 1], channels last."""
        return as_floats(self._pixels.index_select(0, index))

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` with its images (B, C, H, W), as ``batch`` gives them; asked for one by one."""
        for rows in wanted:
            yield rows, self.batch(rows.index)


def as_floats(pixels: Tensor) -> Tensor:
    """(B, H, W, C) uint8, contiguous → (B, C, H, W) float32 in [0, 1], channels last."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)


def _moved(images: Stored, device: torch.device | str) -> Tensor:
    """Images (N, H, W, C) uint8 on the device; those in a file block by block."""
    if isinstance(images, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(images)).to(device)
    pixels = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(images), BLOCK):
        pixels[start : start + BLOCK] = torch.from_numpy(images[start : start + BLOCK])
    return pixels


def statistics(images: Stored) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (population) of each channel: float32, shape (C,), 0 to 1.

    images  (N, H, W, C) uint8

    Counted from histograms of bytes, so exact. A channel without contrast gets one grey level as its
    deviation: it divides pixels.
    """
    channels = images.shape[3]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    room = np.empty((min(BLOCK, len(images)), *images.shape[1:]), np.uint8)
    for start in range(0, len(images), BLOCK):
        places = np.arange(start, min(start + BLOCK, len(images)))
        block = room[: len(places)]
        read_into(images, places, block)
        # channel by channel, as bytes: one count for all of them takes numbers eight times as wide
        for channel in range(channels):
            counts[channel] += torch.bincount(torch.from_numpy(block)[..., channel].flatten(), minlength=256)
    share = counts.double()
    share /= share.sum(1, keepdim=True)
    level = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ level
    deviation = (share @ level.square() - mean.square()).clamp_min(0).sqrt()
    return mean.float(), deviation.clamp_min(1 / 255).float()
