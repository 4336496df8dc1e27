"""The types that carry images. Letters: N images, H W pixels, C channels (1 gray, 3 RGB)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]
Conditions = npt.NDArray[np.int16]
Index = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Images with labels; all that a model trains on or is scored on.

    images           (N, H, W, C) uint8, 0 to 255
    labels           (N,) int64, 0 to K − 1
    ids              (N,) uint64, see ``pixel_id``; corrupted copies have their base image's
    conditions       (N,) int16 or None: what was done to each image, an index of ``condition_names``
    condition_names  for example ``defocus/3``
    groups           (N,) int32 or None: number of the group (patient) that each image belongs to, where known
    """

    images: Pixels
    labels: Labels
    ids: Ids
    conditions: Conditions | None = field(default=None, kw_only=True)
    condition_names: tuple[str, ...] = field(default=(), kw_only=True)
    groups: Groups | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        shapes = {len(self.images), len(self.labels), len(self.ids)}
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or len(shapes) != 1:
            raise ValueError(f"images {self.images.shape} {self.images.dtype}, labels {self.labels.shape}")
        if self.conditions is not None and self.conditions.shape != self.labels.shape:
            raise ValueError(f"conditions {self.conditions.shape}, labels {self.labels.shape}")
        if self.groups is not None and self.groups.shape != self.labels.shape:
            raise ValueError(f"groups {self.groups.shape}, labels {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Index) -> Samples:
        """A copy of the images at ``index`` (M,), in the order of their ids.

        A copy, because a view of a memory-mapped file leads back to all of its images; in the order of the
        ids, because then a split depends on its images only and not on how the source listed them.
        """
        index = index[np.lexsort((self.labels[index], self.ids[index]))]
        return Samples(
            np.asarray(self.images)[index],
            self.labels[index],
            self.ids[index],
            conditions=None if self.conditions is None else self.conditions[index],
            condition_names=self.condition_names,
            groups=None if self.groups is None else self.groups[index],
        )


@dataclass(frozen=True)
class Images(Samples):
    """A whole source, decoded.

    split  (N,) int8 or None: 0 train, 1 validation, 2 test, where the source comes with its own split
    phash  (N,) uint64: 64-bit perceptual hash, see ``outliers.perceptual_hash``
    """

    classes: tuple[str, ...]
    split: npt.NDArray[np.int8] | None
    phash: Ids


class Labelled(Protocol):
    """A source's labels, be its images decoded (``Images``) or not (``Reader``). N images of K classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """K names, in label order."""

    @property
    def labels(self) -> Labels:
        """(N,) int64, 0 to K − 1."""


@dataclass(frozen=True)
class Development:
    """All that training code ever sees: no test and no hidden image is reachable from here."""

    train: Samples
    val: Samples
    classes: tuple[str, ...]


def pixel_id(native: Pixels) -> int:
    """First 8 bytes, big-endian, of SHA-256 over shape and pixels of one image as its source stores it.

    native  (H, W, C) uint8. Identical pixels have identical ids, whatever size they are trained at.
    """
    digest = hashlib.sha256("x".join(map(str, native.shape)).encode())
    digest.update(np.ascontiguousarray(native).data)
    return int.from_bytes(digest.digest()[:8], "big")
