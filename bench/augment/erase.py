"""Hiding parts of images: cutout, random erasing, grid-mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt, Interval

from bench.augment.base import Augmentation, PerImage, Probability, Space, Step, chosen, ordered
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

Paint = Literal["mean", "black"]
"""What hides a region: the image's own mean colour, or zeros."""
Share = Annotated[float, Gt(0), Interval(le=1)]


@dataclass(frozen=True)
class Cutout:
    """Prepared by ``cutout``."""

    fraction: float
    p: float
    fill: Paint

    def edges(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """(B, 4) int64: top, bottom, left, right of each square, cut at the border."""
        import numpy as np

        side = max(1, round(self.fraction * size_px))
        low = rng.integers(0, size_px, (2, count)) - side // 2
        high = low + side
        edges: np.ndarray = np.clip(np.stack([low[0], high[0], low[1], high[1]], -1), 0, size_px)
        return edges

    def prepare(self, space: Space) -> Step:
        """A step that hides boxes."""
        return _hide_boxes(self, space)


@dataclass(frozen=True)
class Erase:
    """Prepared by ``erase``."""

    low: float
    high: float
    ratio: float
    p: float
    fill: Paint

    def edges(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """(B, 4) int64: top, bottom, left, right of each box, all inside the image."""
        import numpy as np

        area = rng.uniform(self.low, self.high, count)
        # As many boxes twice as wide as high as the other way round.
        aspect = np.exp(rng.uniform(np.log(self.ratio), -np.log(self.ratio), count))
        sides = np.sqrt(area * np.stack([aspect, 1 / aspect])) * size_px
        sides = np.clip(np.round(sides), 1, size_px).astype(np.int64)
        low = np.floor(rng.random((2, count)) * (size_px - sides + 1)).astype(np.int64)
        return np.stack([low[0], low[0] + sides[0], low[1], low[1] + sides[1]], -1)

    def prepare(self, space: Space) -> Step:
        """A step that hides boxes."""
        return _hide_boxes(self, space)


def _hide_boxes(part: Cutout | Erase, space: Space) -> Step:
    """A step that paints one box per chosen image."""
    from bench.augment.kernels.regions import boxes, paint
    from bench.augment.kernels.rows import on_chosen

    def hide(images: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return paint(images, boxes(edges, space.size_px), part.fill)

    def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
        return [chosen(rng, part.p, count), part.edges(rng, count, space.size_px)]

    def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
        mask, edges = drawn
        return on_chosen(images, mask, [edges], hide)

    return PerImage(draw, run)


@dataclass(frozen=True)
class GridMask:
    """Prepared by ``grid-mask``."""

    low: float
    high: float
    hidden: float
    p: float
    fill: Paint

    def prepare(self, space: Space) -> Step:
        """A step that hides a grid of squares."""
        from bench.augment.kernels.regions import grid, paint
        from bench.augment.kernels.rows import on_chosen

        def hide(images: torch.Tensor, lengths: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
            squares = grid(lengths[:, 0], lengths[:, 1], start, space.size_px)
            return paint(images, squares, self.fill)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            return [chosen(rng, self.p, count), *self.draw(rng, count, space.size_px)]

        def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            mask, *grids = drawn
            return on_chosen(images, mask, grids, hide)

        return PerImage(draw, run)

    def draw(self, rng: np.random.Generator, count: int, size_px: int) -> list[np.ndarray]:
        """Period and side (B, 2), and how far down and across the squares begin (B, 2), whole pixels."""
        import numpy as np

        period = np.maximum(np.round(rng.uniform(self.low, self.high, count) * size_px), 2)
        side = np.clip(np.round(period * self.hidden), 1, period - 1)
        start = np.floor(rng.random((count, 2)) * period[:, None])
        return [np.stack([period, side], -1), start]


@augmentations.register("cutout", does=("hide",))
def cutout(fraction: Share = 0.25, p: Probability = 1.0, fill: Paint = "mean") -> Augmentation:
    """Hide a square at a random place, cut at the border.

    fraction: side of the square as a share of the image's, above 0, at most 1 (the paper at 32 px: 0.25, 0.5)
    p:        probability for each image, 0 to 1
    fill:     mean (each image's own mean colour) or black

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   three draws per image

    Source: DeVries and Taylor 2017, arXiv:1708.04552 (zeros after normalisation there, hence "mean").
    """
    return Cutout(fraction, p, fill)


@augmentations.register("erase", does=("hide",))
def erase(
    low: Share = 0.02, high: Share = 0.33, ratio: Share = 0.3, p: Probability = 0.5, fill: Paint = "mean"
) -> Augmentation:
    """Hide a box of random area and shape inside the image.

    low, high: ends of the area's range as a share of the image, above 0, at most 1
    ratio:     smallest height : width, its inverse being the largest, above 0, at most 1
    p:         probability for each image, 0 to 1
    fill:      mean (each image's own mean colour) or black

    A box longer than the image is shortened, where the paper draws again.

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   five draws per image

    Source: Zhong et al. 2020, arXiv:1708.04896.
    """
    ordered("erase", low, high)
    return Erase(low, high, ratio, p, fill)


@augmentations.register("grid-mask", does=("hide",))
def grid_mask(
    low: Share = 0.4,
    high: Share = 1.0,
    hidden: Annotated[float, Gt(0), Interval(lt=1)] = 0.4,
    p: Probability = 0.5,
    fill: Paint = "mean",
) -> Augmentation:
    """Hide a regular grid of squares.

    low, high: ends of the range of the grid's period as a share of the image, above 0, at most 1
    hidden:    side of a square as a share of the period, above 0, below 1 (the paper's 1 − r, r = 0.6)
    p:         probability for each image, 0 to 1; constant, where the paper raises it during training
    fill:      mean (each image's own mean colour) or black

    The grid is not turned.

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   four draws per image

    Source: Chen et al. 2020, arXiv:2001.04086.
    """
    ordered("grid-mask", low, high)
    return GridMask(low, high, hidden, p, fill)
