"""Outliers and duplicates: which images are dropped, and which must stay on one side of every split.

Exact clusters come first: pixel-identical outliers have no distance to each other, so every distance method
ranks them as the most ordinary images there are (docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.data.images import Ids, Images, Index, Mask, Pixels
from bench.data.sides import TEST

GRAY_PX = 32
HASH_PX = 8
NEAR_BITS = 6
"""Largest Hamming distance of two near-duplicates. Much more chains ordinary images together."""
LARGE_GROUP = 20
"""A near-duplicate group of more distinct images than this is a flaw of the hash: reported, not used."""
CROWD = 3
"""So many identical copies are no accident: none of them is kept."""
PAIRS_BLOCK = 256

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


def find(images: Images) -> Findings:
    """Exact clusters and near-duplicate groups of a source; the same for any order of its images."""
    exact = exact_clusters(images)
    outlier = np.zeros(len(images), dtype=bool)
    for cluster in exact:
        outlier[list(cluster.dropped)] = True
    _, first, image_of = np.unique(images.ids, return_index=True, return_inverse=True)
    kept = np.zeros(len(first), dtype=bool)
    kept[image_of[~outlier]] = True
    chains = _Chains(images.phash[first])
    chain = chains.among(np.ones(len(first), dtype=bool))
    large = np.bincount(chain) > LARGE_GROUP
    clean = chains.among(kept)
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
    clusters = []
    order = np.argsort(images.ids, kind="stable")
    starts = np.flatnonzero(np.diff(images.ids[order])) + 1
    for members in np.split(order, starts):
        if len(members) > 1:
            clusters.append(_cluster(np.sort(members), images))
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


def close_pairs(hashes: Ids, bits: int = NEAR_BITS) -> tuple[Index, Index]:
    """Positions (E,), (E,) of all pairs among ``hashes`` (M,) that differ in at most ``bits`` bits."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(hashes), PAIRS_BLOCK):
        block = hashes[start : start + PAIRS_BLOCK, None]
        row, column = np.nonzero(np.bitwise_count(block ^ hashes[None, start:]) <= bits)
        upper = column > row
        left.append(row[upper] + start)
        right.append(column[upper] + start)
    return np.concatenate(left), np.concatenate(right)


def seen_in(images: Images, others: Images) -> Index:
    """Positions (F,) of images that are also, or nearly, among others: the same pixels, or as near as a split
    keeps together. A hash that more than ``LARGE_GROUP`` others are near tells nothing, there as here.
    """
    same = np.isin(images.ids, others.ids)
    hashes, place = np.unique(images.phash, return_inverse=True)
    _, distinct = np.unique(others.ids, return_index=True)
    among, images_of = np.unique(others.phash[distinct], return_counts=True)
    blocks = (hashes[start : start + PAIRS_BLOCK, None] for start in range(0, len(hashes), PAIRS_BLOCK))
    found = np.concatenate([(np.bitwise_count(block ^ among) <= NEAR_BITS) @ images_of for block in blocks])
    return np.flatnonzero(same | ((found > 0) & (found <= LARGE_GROUP))[place])


class _Chains:
    """Chains of near-duplicates among U distinct images, given their hashes (U,) uint64."""

    def __init__(self, phash: Ids) -> None:
        self._hashes, self._hash_of = np.unique(phash, return_inverse=True)
        self._pairs = close_pairs(self._hashes)

    def among(self, images: Mask) -> Index:
        """Number of the chain (U,) that each image belongs to when only ``images`` (U,) may link others."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        present = np.zeros(len(self._hashes), dtype=bool)
        present[self._hash_of[images]] = True
        left, right = self._pairs
        used = present[left] & present[right]
        count = len(self._hashes)
        links = coo_array((np.ones(used.sum(), np.int8), (left[used], right[used])), shape=(count, count))
        chain: Index = connected_components(links, directed=False)[1].astype(np.int64)
        return chain[self._hash_of]
