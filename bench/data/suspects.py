"""Suspects: images unlike all others. Reported for a person to look at, never dropped (docs/method.md).

Copies must be gone before: identical images are each other's neighbours at distance zero, and would rank as
the most ordinary of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.data.images import Images, Index, Pixels, let_go
from bench.files import Count

VERSION = 2
"""Raised when other images would be suspected."""
NEIGHBOURS = 10
AMONG = 20_000
"""Of more images than this, neighbours are looked for among so many only: all with all is quadratic."""
LIMIT = 6.0
"""Robust z above which an image is a suspect."""
GRID = 8
BINS = 16
COMPONENTS = 64
BLOCK = 512
AT_ONCE = BLOCK * 32 * 32 * 3
"""Bytes of images that are looked at together; what is counted of them takes a dozen times that."""
NORMAL = 1.4826
"""Median absolute deviation of a normal distribution, times this, is its standard deviation."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Suspect:
    """An image far from all others.

    position  among the source's images, its first copy
    distance  to its ``NEIGHBOURS``-th neighbour, in units of the embedding
    z         robust z of that distance, above ``LIMIT``
    """

    position: int
    distance: float
    z: float


def find(images: Images, progress: Count | None = None) -> tuple[Suspect, ...]:
    """Suspects among the distinct images, the farthest first; none among too few or all-alike images.

    progress  called with (images done, images in all)
    """
    first: Index = np.unique(images.ids, return_index=True)[1]  # sorted by id: the same in any listing order
    if len(first) <= 2 * NEIGHBOURS:
        return ()
    distance = neighbour_distance(embedding(images.images, first, progress))
    z = robust_z(distance)
    found = [Suspect(int(first[i]), float(distance[i]), float(z[i])) for i in np.flatnonzero(z > LIMIT)]
    return tuple(sorted(found, key=lambda suspect: (-suspect.z, suspect.position)))


def robust_z(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(values − median) / (1.4826 · median absolute deviation), (N,) → (N,).

    Zeros where that deviation is 0: when half of the values are alike, nothing tells how far is far.
    """
    away = np.asarray(values, np.float64) - np.median(values)
    spread = NORMAL * np.median(np.abs(away))
    return away / spread if spread > 0 else np.zeros_like(away)


def neighbour_distance(points: Floats) -> Floats:
    """Euclidean distance (N,) of each of the points (N, D) to its ``NEIGHBOURS``-th nearest other point.

    Of more than ``AMONG`` points, in the order of their images' ids, that is nearest among the first of them:
    ids are hashes, so these are as good as drawn.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(points[:AMONG])
    distance: Floats = search.kneighbors()[0][:, -1]  # without points: a point is not its own neighbour
    if len(points) <= AMONG:
        return distance
    return np.concatenate([distance, search.kneighbors(points[AMONG:])[0][:, -1]])


def embedding(pixels: Pixels, positions: Index, progress: Count | None = None) -> Floats:
    """Where the images (N, S, S, C) uint8 at ``positions`` (M,) lie: (M, D) float32, D at most 64.

    Coarse pixels (8 × 8) and a histogram of 16 levels for each channel, each block scaled to total variance
    1, so that neither drowns the other; then principal components.
    """
    coarse = GRID * GRID * pixels.shape[3]
    features = np.empty((len(positions), coarse + BINS * pixels.shape[3]), np.float32)
    step = min(BLOCK, max(1, AT_ONCE // math.prod(pixels.shape[1:])))
    for start in range(0, len(positions), step):
        block = np.asarray(pixels[positions[start : start + step]])
        features[start : start + step, :coarse] = coarse_pixels(block)
        features[start : start + step, coarse:] = histograms(block)
        let_go(pixels)
        if progress:
            progress(start + len(block), len(positions))
    for part in (features[:, :coarse], features[:, coarse:]):
        _scale(part)
    return _components(features)


def _scale(features: Floats) -> None:
    """Centre (M, F) and scale it to total variance 1, in place: a large source's take a third of a GB."""
    features -= features.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt(sum(np.square(column, dtype=np.float64).mean() for column in features.T)))
    if spread > 0:
        features /= np.float32(spread)


def _components(features: Floats) -> Floats:
    """The centred (M, F) along its principal components: (M, D), D at most 64."""
    scatter = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK].astype(np.float64)
        scatter += block.T @ block
    axes = np.linalg.eigh(scatter)[1][:, ::-1]
    kept = min(COMPONENTS, *features.shape)
    points: Floats = features @ axes[:, :kept].astype(np.float32)
    return points


def coarse_pixels(images: Pixels) -> Floats:
    """Means over an 8 × 8 grid: (B, S, S, C) uint8, S at least 8 → (B, 64·C) float32, 0 to 1."""
    size = images.shape[1]
    edges = np.arange(GRID) * size // GRID
    rows = np.add.reduceat(images, edges, axis=1, dtype=np.int64)
    cells = np.add.reduceat(rows, edges, axis=2)
    lengths = np.diff([*edges, size])
    means = cells / (255.0 * lengths[:, None] * lengths)[None, :, :, None]
    return means.reshape(len(images), -1).astype(np.float32)


def histograms(images: Pixels) -> Floats:
    """Share of pixels in each of 16 levels, channel by channel: (B, S, S, C) uint8 → (B, 16·C) float32."""
    count, channels = len(images), images.shape[3]
    level = (images >> 4).reshape(count, -1, channels)
    row = np.arange(count * channels, dtype=np.int32).reshape(count, 1, channels) * BINS
    counted = np.bincount((level + row).ravel(), minlength=count * channels * BINS)
    return (counted.reshape(count, -1) / level.shape[1]).astype(np.float32)
