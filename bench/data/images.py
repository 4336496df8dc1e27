"""The types that carry images. Letters: N images, H W pixels, C channels (1 gray, 3 RGB)."""

from __future__ import annotations

import hashlib
import io
import mmap
import weakref
from collections.abc import Sequence
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
COPIED_BYTES = 1 << 28
"""Most bytes of a split that a process copies out of the memory map; of a larger one it keeps positions."""


DIGESTED = 256
"""Images that are read at a time to hash a split."""


class Mapped:
    """Some images of a memory-mapped file, read when they are asked for: (N, H, W, C) uint8.

    All processes that map a file share its pages in memory, and the system lets go of them when it must.
    Gives these N images and no other of the file: the map is held by a function, not by an attribute.
    """

    def __init__(self, images: Pixels, index: Index) -> None:
        """The images at ``index`` (N,), in its order."""
        whole = np.asarray(images)
        self.shape: tuple[int, ...] = (len(index), *whole.shape[1:])
        self.dtype, self.ndim = whole.dtype, whole.ndim
        self.nbytes = int(np.prod(self.shape))
        self._index = index

        def read(places: Index, out: Pixels) -> None:
            # "clip" writes into ``out`` itself, and lets other threads run meanwhile
            np.take(whole, places, axis=0, out=out, mode="clip")

        self._read = read

        def part(places: Index) -> Mapped:
            return Mapped(whole, places)

        self._part = part

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, position: int | slice | Index) -> Pixels:
        """A copy of the images there: (H, W, C) of one, else (M, H, W, C)."""
        places = np.asarray(self._index[position])
        out = np.empty((places.size, *self.shape[1:]), self.dtype)
        self._read(places.reshape(-1), out)
        return out if places.ndim else out[0]

    def read(self, position: Index, out: Pixels) -> None:
        """Copy the images at ``position`` (M,) into ``out`` (M, H, W, C)."""
        self._read(self._index[position], out)

    def part(self, position: Index) -> Mapped:
        """The images at ``position`` (M,), not read."""
        return self._part(self._index[position])


Stored = Pixels | Mapped
"""Images in memory, or in a file: both are indexed alike, by whole images."""


def read_into(images: Stored, position: Index, out: Pixels) -> None:
    """Copy the images at ``position`` (M,) into ``out`` (M, H, W, C), letting other threads run meanwhile."""
    if isinstance(images, Mapped):
        images.read(position, out)
    else:
        np.take(images, position, axis=0, out=out, mode="clip")


def digest(images: Stored) -> bytes:
    """SHA-256 of images (N, H, W, C) uint8: their shape and bytes, read once as long as they are there."""
    key = id(images)
    if key not in _digests:
        told = hashlib.sha256(str(images.shape).encode())
        for start in range(0, len(images), DIGESTED):
            told.update(np.ascontiguousarray(images[start : start + DIGESTED]).data)
        _digests[key] = told.digest()
        weakref.finalize(images, _digests.pop, key).atexit = False
    return _digests[key]


_digests: dict[int, bytes] = {}


@dataclass(frozen=True)
class Samples:
    """Images with labels; all that a model trains on or is scored on.

    images           (N, H, W, C) uint8, 0 to 255; of a large set not in memory, see ``Mapped``
    labels           (N,) int64, 0 to K − 1
    ids              (N,) uint64, see ``pixel_id``; corrupted copies have their base image's
    conditions       (N,) int16 or None: what was done to each image, an index of ``condition_names``
    condition_names  for example ``defocus/3``
    groups           (N,) int32 or None: number of the group (patient) that each image belongs to, where known
    """

    images: Stored
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

    def take(self, index: Index, most: int = COPIED_BYTES) -> Samples:
        """The images at ``index`` (M,), in the order of their ids: a copy, or if large ``Mapped``.

        most  bytes of images that are copied; more stay in their file, if they are in one

        No view, because a view of a memory-mapped file leads back to all of its images; in the order of the
        ids, because then a split depends on its images only and not on how the source listed them.
        """
        index = index[np.lexsort((self.labels[index], self.ids[index]))]
        return Samples(
            _chosen(self.images, index, most),
            self.labels[index],
            self.ids[index],
            conditions=None if self.conditions is None else self.conditions[index],
            condition_names=self.condition_names,
            groups=None if self.groups is None else self.groups[index],
        )


def _chosen(images: Stored, index: Index, most: int) -> Stored:
    """The images at ``index`` (M,): copied, or where they lie in a file and are many, left there."""
    in_file = isinstance(images, (Mapped, np.memmap))
    if in_file and len(index) * int(np.prod(images.shape[1:])) > most:
        return images.part(index) if isinstance(images, Mapped) else Mapped(images, index)
    return np.asarray(images)[index] if isinstance(images, np.ndarray) else images[index]


@dataclass(frozen=True)
class Images(Samples):
    """A whole source, decoded.

    split  (N,) int8 or None: 0 train, 1 validation, 2 test, where the source comes with its own split
    phash  (N,) uint64: 64-bit perceptual hash, see ``outliers.perceptual_hash``
    sizes  (N, 2) int32: native width and height; None for drawings, and where they were not kept
    """

    images: Pixels
    classes: tuple[str, ...]
    split: npt.NDArray[np.int8] | None
    phash: Ids
    sizes: npt.NDArray[np.int32] | None = field(default=None, kw_only=True)


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


def let_go(images: Pixels) -> None:
    """Take pages of a file that is mapped for reading off this process's memory; the system keeps them."""
    if isinstance(images.base, mmap.mmap) and not images.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        images.base.madvise(mmap.MADV_DONTNEED)


def npy_header(shape: Sequence[int]) -> bytes:
    """What a .npy file of uint8 values of this shape begins with."""
    header = io.BytesIO()
    kind = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(header, kind)
    return header.getvalue()


def pixel_id(native: Pixels) -> int:
    """First 8 bytes, big-endian, of SHA-256 over shape and pixels of one image as its source stores it.

    native  (H, W, C) uint8. Identical pixels have identical ids, whatever size they are trained at.
    """
    digest = hashlib.sha256("x".join(map(str, native.shape)).encode())
    digest.update(np.ascontiguousarray(native).data)
    return int.from_bytes(digest.digest()[:8], "big")
