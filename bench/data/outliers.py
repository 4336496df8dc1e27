"""Outliers and duplicates: which images are dropped, and which must stay on one side of every split.

Exact clusters come first: pixel-identical outliers have no distance to each other, so every distance method
ranks them as the most ordinary images there are (docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.data.images import Ids, Images, Index, Mask, Pixels
from bench.data.near import chains, close_to
from bench.data.sides import TEST
from bench.files import Count

GRAY_PX = 32
HASH_PX = 8
LARGE_GROUP = 20
"""A near-duplicate group of more distinct images than this is a flaw of the hash: reported, not used."""
CROWD = 3
"""So many identical copies are no accident: none of them is kept."""

Reason = Literal["labels disagree", "3 or more copies", "copy"]


@dataclass(frozen=True)
class Cluster:
    """Pixel-identical images.

    members  positions among the images, ascending
    labels   distinct labels, ascending
    dropped  members that count as outliers: all of them, or all but one
    """

    members: tuple[int, ...]
    labels: tuple[int, ...]
    dropped: tuple[int, ...]
    reason: Reason


@dataclass(frozen=True)
class Findings:
    """What is unusual about a source. N images, in its order.

    outlier       (N,) bool: dropped by ``outliers = "drop"``
    group         (N,) int64: images with one number, exact or near duplicates, stay on one side of a split
    clean_group   (N,) int64: the same among cleaned images only, −1 for an outlier; makes the test split
    exact         pixel-identical clusters, the largest first
    near          groups of two or more images (exact copies included) within a chain of near-duplicates
    large         groups of more than ``LARGE_GROUP`` distinct images, reported only
    """

    outlier: Mask
    group: Index
    clean_group: Index
    exact: tuple[Cluster, ...]
    near: tuple[tuple[int, ...], ...]
    large: tuple[tuple[int, ...], ...]


def find(images: Images, cache: Path | None = None, progress: Count | None = None) -> Findings:
    """Exact clusters and near-duplicate groups of a source; the same for any order of its images.

    cache      folder of what was found before: near-duplicates are searched for once (``near.chains``)
    progress   called with (lookups done, lookups in all) where they are searched for
    """
    exact = exact_clusters(images)
    outlier = np.zeros(len(images), dtype=bool)
    for cluster in exact:
        outlier[list(cluster.dropped)] = True
    _, first, image_of = np.unique(images.ids, return_index=True, return_inverse=True)
    kept = np.zeros(len(first), dtype=bool)
    kept[image_of[~outlier]] = True
    hashes, hash_of = np.unique(images.phash[first], return_inverse=True)
    present = np.zeros(len(hashes), dtype=bool)
    present[hash_of[kept]] = True
    chain, clean = (number[hash_of] for number in chains(hashes, present, cache, progress))
    large = np.bincount(chain) > LARGE_GROUP
    usable = kept & ~(np.bincount(clean[kept], minlength=clean.max() + 1) > LARGE_GROUP)[clean]
    clean = np.where(usable, clean, np.arange(len(first)) + len(first))
    # Outliers may join clean groups into one that is too large to use: then the clean groups still hold.
    group = np.where(large[chain], clean + len(first), chain)
    several = np.bincount(chain[image_of]) > 1
    return Findings(
        outlier=outlier,
        group=group[image_of],
        clean_group=np.where(outlier, -1, clean[image_of]),
        exact=exact,
        near=_members(chain[image_of], several & ~large),
        large=_members(chain[image_of], several & large),
    )


def _members(group: Index, wanted: Mask) -> tuple[tuple[int, ...], ...]:
    """Positions of each ``wanted`` (G,) group in ``group`` (N,), the largest first."""
    position = np.flatnonzero(wanted[group])
    position = position[np.argsort(group[position], kind="stable")]
    starts = np.flatnonzero(np.diff(group[position])) + 1
    found = [tuple(map(int, members)) for members in np.split(position, starts) if len(members)]
    return tuple(sorted(found, key=lambda members: (-len(members), members)))


def exact_clusters(images: Images) -> tuple[Cluster, ...]:
    """Pixel-identical images and what to do with them (docs/method.md, protocol step 1).

    Labels that disagree, or three and more copies: drop all. A pair with one label: keep one, a test image of
    the source's own split before another, else the first. Ties cannot matter: the two are the same.
    """
    _, image_of = np.unique(images.ids, return_inverse=True)
    several = _members(image_of, np.bincount(image_of) > 1)
    clusters = [_cluster(np.array(members), images) for members in several]
    return tuple(sorted(clusters, key=lambda cluster: (-len(cluster.members), cluster.members)))


def _cluster(members: Index, images: Images) -> Cluster:
    labels = tuple(int(label) for label in np.unique(images.labels[members]))
    every = tuple(map(int, members))
    if len(labels) > 1:
        return Cluster(every, labels, every, "labels disagree")
    if len(every) >= CROWD:
        return Cluster(every, labels, every, "3 or more copies")
    in_test = images.split is not None and images.split[members[1]] == TEST != images.split[members[0]]
    return Cluster(every, labels, every[:1] if in_test else every[1:], "copy")


def perceptual_hash(gray: Pixels) -> Ids:
    """64-bit hash that similar pictures share: (N, 32, 32) uint8 → (N,) uint64.

    Orthonormal two-dimensional DCT-II, its 8 × 8 lowest frequencies (the mean included), each above the
    median of the 64 or not. Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions".
    """
    k, n = np.arange(HASH_PX)[:, None], np.arange(GRAY_PX)[None]
    basis = np.cos(np.pi * k * (2 * n + 1) / (2 * GRAY_PX)) * np.sqrt(2 / GRAY_PX)
    # The constant row is longer by √2 than the others.
    basis[0] /= np.sqrt(2)
    low = basis @ gray.astype(np.float64) @ basis.T
    # Rounded: in a flat picture rounding errors, which differ between machines, would choose the bits.
    low = np.round(low.reshape(len(gray), -1), 6)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def seen_in(images: Images, others: Images) -> Index:
    """Positions (F,) of images that are also, or nearly, among others: the same pixels, or as near as a split
    keeps together. A hash that more than ``LARGE_GROUP`` others are near tells nothing, there as here.
    """
    same = np.isin(images.ids, others.ids)
    hashes, place = np.unique(images.phash, return_inverse=True)
    _, distinct = np.unique(others.ids, return_index=True)
    among, images_of = np.unique(others.phash[distinct], return_counts=True)
    found = np.zeros(len(hashes), np.int64)
    for mine, theirs in close_to(hashes, among):
        np.add.at(found, mine, images_of[theirs])
    return np.flatnonzero(same | ((found > 0) & (found <= LARGE_GROUP))[place])
