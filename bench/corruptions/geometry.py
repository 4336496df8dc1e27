"""Another view of the cell: turned, larger or smaller, moved, cut. What was outside is mirrored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, sign
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch


@corruptions.register("rotation", group="geometry", kin=("rotate",), library="kornia")
def rotation() -> Corruption:
    """Turn about the centre, one way or the other.

    strengths  10, 20, 30, 45, 60 degrees
    images     (B, C, H, W) float32 in [0, 1] → same, bilinear, mirrored at the border
    random     the direction

    Source: strengths are this project's; Kornia's ``warp_affine``.
    """
    return Corruption("rotation", (10, 20, 30, 45, 60), _rotation)


@corruptions.register("zoom", group="geometry", kin=("zoom",), library="kornia")
def zoom() -> Corruption:
    """Enlarge or shrink about the centre.

    strengths  factor 1.1, 1.2, 1.3, 1.4, 1.5, or its inverse
    images     (B, C, H, W) float32 in [0, 1] → same, bilinear, mirrored at the border
    random     which of the two

    Source: strengths are this project's; Kornia's ``warp_affine``.
    """
    return Corruption("zoom", (1.1, 1.2, 1.3, 1.4, 1.5), _zoom)


@corruptions.register("shift", group="geometry", kin=("shift",), library="kornia")
def shift() -> Corruption:
    """Move in a random direction.

    strengths  .05, .10, .15, .20, .25 of the side
    images     (B, C, H, W) float32 in [0, 1] → same, bilinear, mirrored at the border
    random     the direction, all round

    Source: strengths are this project's; Kornia's ``warp_affine``.
    """
    return Corruption("shift", (0.05, 0.10, 0.15, 0.20, 0.25), _shift)


@corruptions.register("crop", group="geometry", kin=("zoom", "shift"), library="kornia")
def crop() -> Corruption:
    """Cut a square from a random place and enlarge it to the whole image.

    strengths  side of the square .92, .85, .78, .70, .62 of the image's
    images     (B, C, H, W) float32 in [0, 1] → same, bilinear
    random     the place, uniform

    Source: strengths are this project's; Kornia's ``warp_affine``.
    """
    return Corruption("crop", (0.92, 0.85, 0.78, 0.70, 0.62), _crop)


def _rotation(image: torch.Tensor, degrees: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws the sense."""
    return view(image, degrees=sign(rng) * degrees)


def _zoom(image: torch.Tensor, factor: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws whether larger or smaller."""
    return view(image, factor=factor ** sign(rng))


def _shift(image: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws the direction."""
    distance, angle = share * image.shape[-1], rng.uniform(0, 2 * math.pi)
    return view(image, right=distance * math.cos(angle), down=distance * math.sin(angle))


def _crop(image: torch.Tensor, side: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws the place."""
    # How far the centre of the square may lie from that of the image.
    free = (1 - side) * image.shape[-1] / 2
    x, y = rng.uniform(-free, free, 2)
    return view(image, factor=1 / side, right=x / side, down=y / side)


def view(
    image: torch.Tensor, degrees: float = 0.0, factor: float = 1.0, right: float = 0.0, down: float = 0.0
) -> torch.Tensor:
    """Turn and scale (1, C, H, W) about its centre, then move it by pixels; bilinear, mirrored."""
    import torch
    from kornia.geometry.transform import warp_affine

    size = image.shape[-1]
    middle, angle = (size - 1) / 2, math.radians(degrees)
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    # Rows count downwards, so this sense of the sines turns anti-clockwise to the eye, as Kornia's.
    matrix = [
        [cos, sin, middle - cos * middle - sin * middle + right],
        [-sin, cos, middle + sin * middle - cos * middle + down],
    ]
    there = torch.tensor([matrix], dtype=torch.float32, device=image.device)
    return warp_affine(image, there, (size, size), padding_mode="reflection")
