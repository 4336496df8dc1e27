"""Moves of the whole image: mirror, turn, zoom, shift, shear.

Each gives one matrix per image; the pipeline multiplies neighbours and samples once, so three in a row
blur as little, and cost as little, as one. Against applying them one after another, what the first would
have pushed out of the frame can still come back. Sampling is bilinear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from bench.augment.base import (
    Augmentation,
    Fill,
    Geometric,
    PerImage,
    Probability,
    Space,
    Step,
    chosen,
    ordered,
)
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch


def fuse(group: Sequence[Geometric], space: Space) -> Step:
    """One step for neighbouring geometric augmentations: matrices multiplied on the host, one sampling.

    All that can uncover pixels must share a fill; the pipeline sees to that.
    """
    from bench.augment import matrices as mat
    from bench.augment.kernels.warp import move

    fill: Fill = next((part.fill for part in group if part.fill), "black")

    def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
        total = mat.identity(count)
        for part in group:
            total = part.matrices(rng, count, space.size_px) @ total
        return [total]

    def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
        return move(images, drawn[0], fill)

    return PerImage(draw, run)


@dataclass(frozen=True)
class FlipMove:
    """Prepared by ``flip``."""

    p: float
    vertical_p: float
    fill: None = None

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Mirror matrices (B, 3, 3)."""
        from bench.augment.matrices import mirror

        return mirror(chosen(rng, self.p, count), chosen(rng, self.vertical_p, count), size_px)

    def prepare(self, space: Space) -> Step:
        """A step that only flips."""
        return fuse([self], space)


@dataclass(frozen=True)
class Turn:
    """Prepared by ``rotate``."""

    degrees: float
    p: float
    fill: Fill

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Rotations (B, 3, 3)."""
        from bench.augment.matrices import only_where, rotation

        mask = chosen(rng, self.p, count)
        return only_where(mask, rotation(rng.uniform(-self.degrees, self.degrees, count), size_px))

    def prepare(self, space: Space) -> Step:
        """A step that only rotates."""
        return fuse([self], space)


@dataclass(frozen=True)
class Zoom:
    """Prepared by ``zoom``."""

    low: float
    high: float
    p: float
    fill: Fill

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Scalings (B, 3, 3)."""
        from bench.augment.matrices import only_where, scaling

        mask = chosen(rng, self.p, count)
        return only_where(mask, scaling(rng.uniform(self.low, self.high, count), size_px))

    def prepare(self, space: Space) -> Step:
        """A step that only zooms."""
        return fuse([self], space)


@dataclass(frozen=True)
class ShiftMove:
    """Prepared by ``shift``."""

    fraction: float
    p: float
    fill: Fill

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Translations (B, 3, 3)."""
        from bench.augment.matrices import only_where, translation

        mask = chosen(rng, self.p, count)
        x, y = rng.uniform(-self.fraction, self.fraction, (2, count)) * size_px
        return only_where(mask, translation(x, y))

    def prepare(self, space: Space) -> Step:
        """A step that only shifts."""
        return fuse([self], space)


@dataclass(frozen=True)
class Shear:
    """Prepared by ``shear``."""

    degrees: float
    p: float
    fill: Fill

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Shears (B, 3, 3)."""
        import numpy as np

        from bench.augment.matrices import middle, only_where, shearing

        mask = chosen(rng, self.p, count)
        x, y = np.tan(np.deg2rad(rng.uniform(-self.degrees, self.degrees, (2, count))))
        return only_where(mask, shearing(x, y, middle(size_px)))

    def prepare(self, space: Space) -> Step:
        """A step that only shears."""
        return fuse([self], space)


@augmentations.register("flip", geometric=True)
def flip(p: Probability = 0.5, vertical_p: Probability = 0.0) -> Augmentation:
    """Mirror images left to right, and if asked top to bottom.

    p:          probability of left-right for each image, 0 to 1
    vertical_p: probability of top-bottom for each image, 0 to 1

    images   (B, C, H, W) float32 in [0, 1] → same, bit for bit mirrored
    targets  (B, K) float32 class probabilities → unchanged
    random   two draws per image

    Source: Krizhevsky et al. 2012, section 4.1.
    """
    return FlipMove(p, vertical_p)


@augmentations.register("rotate", geometric=True)
def rotate(
    degrees: Annotated[float, Interval(ge=0, le=180)] = 30.0, p: Probability = 1.0, fill: Fill = "black"
) -> Augmentation:
    """Turn images about their centre by an angle uniform in ±degrees.

    degrees: largest angle, 0 to 180
    p:       probability for each image, 0 to 1
    fill:    what stands in uncovered corners: black, edge or reflect

    images   (B, C, H, W) float32 in [0, 1] → same, bilinear
    targets  (B, K) float32 class probabilities → unchanged
    random   two draws per image

    Source: Kornia's RandomRotation (``align_corners=True``), which this equals.
    """
    return Turn(degrees, p, fill)


@augmentations.register("zoom", geometric=True)
def zoom(
    low: Annotated[float, Gt(0), Interval(le=10)] = 0.8,
    high: Annotated[float, Gt(0), Interval(le=10)] = 1.2,
    p: Probability = 1.0,
    fill: Fill = "black",
) -> Augmentation:
    """Scale images about their centre by a factor uniform in [low, high]; above 1 enlarges.

    low, high: ends of the factor's range, above 0, at most 10
    p:         probability for each image, 0 to 1
    fill:      what stands around a shrunken image: black, edge or reflect

    images   (B, C, H, W) float32 in [0, 1] → same, bilinear
    targets  (B, K) float32 class probabilities → unchanged
    random   two draws per image

    Source: the scale of Kornia's RandomAffine, which this equals.
    """
    ordered("zoom", low, high)
    return Zoom(low, high, p, fill)


@augmentations.register("shift", geometric=True)
def shift(
    fraction: Annotated[float, Interval(ge=0, le=1)] = 0.1, p: Probability = 1.0, fill: Fill = "black"
) -> Augmentation:
    """Move images right or left and up or down by distances uniform in ±fraction of their size.

    fraction: largest distance as a share of the image's size, 0 to 1
    p:        probability for each image, 0 to 1
    fill:     what stands where the image was: black, edge or reflect

    images   (B, C, H, W) float32 in [0, 1] → same, bilinear (distances are not rounded to pixels)
    targets  (B, K) float32 class probabilities → unchanged
    random   three draws per image

    Source: the translation of Kornia's RandomAffine, which this equals.
    """
    return ShiftMove(fraction, p, fill)


@augmentations.register("shear", geometric=True)
def shear(
    degrees: Annotated[float, Interval(ge=0, le=60)] = 15.0, p: Probability = 1.0, fill: Fill = "black"
) -> Augmentation:
    """Slant images along both axes by angles uniform in ±degrees, about their centre.

    degrees: largest angle, 0 to 60
    p:       probability for each image, 0 to 1
    fill:    what stands in uncovered corners: black, edge or reflect

    images   (B, C, H, W) float32 in [0, 1] → same, bilinear
    targets  (B, K) float32 class probabilities → unchanged
    random   three draws per image

    Source: the shear of Kornia's RandomAffine, which this equals.
    """
    return Shear(degrees, p, fill)
