"""Small made-up sources for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.cache import gray
from bench.data.images import Images, pixel_id
from bench.data.outliers import perceptual_hash


def noise(count: int, seed: int = 0, size: int = 16) -> np.ndarray:
    """(count, size, size, 3) uint8, no two alike."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def as_images(pixels: np.ndarray, labels: list[int] | np.ndarray, split: list[int] | None = None) -> Images:
    """What the cache would give for (N, S, S, C) pixels."""
    labels = np.asarray(labels, dtype=np.int64)
    return Images(
        pixels,
        labels,
        np.array([pixel_id(image) for image in pixels], dtype=np.uint64),
        classes=tuple(f"class {k}" for k in range(int(labels.max()) + 1)),
        split=None if split is None else np.array(split, dtype=np.int8),
        phash=perceptual_hash(np.stack([gray(image) for image in pixels])),
    )


def with_hashes(
    ids: list[int] | np.ndarray,
    labels: list[int] | np.ndarray,
    phash: list[int] | np.ndarray | None = None,
    split: list[int] | None = None,
    groups: list[int] | np.ndarray | None = None,
) -> Images:
    """Images whose identity is given outright. Without ``phash`` nothing is near another."""
    count = len(ids)
    labels = np.asarray(labels, dtype=np.int64)
    pixels = np.zeros((count, 2, 2, 1), dtype=np.uint8)
    if phash is None:  # 8 times the same byte: two hashes differ in 0 or at least 8 bits
        phash = np.array([int.from_bytes([int(i) % 256] * 8, "big") for i in ids], dtype=np.uint64)
    return Images(
        pixels,
        labels,
        np.array(ids, dtype=np.uint64),
        classes=tuple(f"class {k}" for k in range(int(labels.max()) + 1)),
        split=None if split is None else np.array(split, dtype=np.int8),
        phash=np.array(phash, dtype=np.uint64),
        groups=None if groups is None else np.array(groups, dtype=np.int32),
    )


def reordered(images: Images, order: np.ndarray) -> Images:
    """The same images, listed in another order."""
    return Images(
        images.images[order],
        images.labels[order],
        images.ids[order],
        classes=images.classes,
        split=None if images.split is None else images.split[order],
        phash=images.phash[order],
        groups=None if images.groups is None else images.groups[order],
    )


def write_folder(folder: Path, pixels: np.ndarray, labels: list[int], names: list[str]) -> Path:
    """Class folders of PNG files."""
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / names[label] / f"{number:04}.png")
    return folder
