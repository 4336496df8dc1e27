"""Loss of focus and movement. An image is convolved with the picture of a point.

Kornia's ``filter2d`` gives the same (a test compares), but its convolution picks an algorithm by shape; and
few of a streak's taps are not 0. So the taps are added up here one by one.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, scaled
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch

FINENESS = 8
"""Points per pixel and axis from which a point's picture is built."""


@corruptions.register("defocus", group="blur", kin=("blur",))
def defocus() -> Corruption:
    """Blur as a lens out of focus does: a point becomes an even disc.

    strengths  radius 2, 3, 4, 5, 6 pixels at 224, and the source's widths of anti-aliasing, .01 .1 .1 .1 .1
    images     (B, C, H, W) float32 in [0, 1] → same, mirrored at the border
    random     nothing

    Source: MedMNIST-C (Di Salvo et al. 2024) for BloodMNIST, after ImageNet-C. There the disc is made of
    whole pixels and smoothed by a 3×3 Gaussian, which at a width of .1 pixels does nothing. Here it is
    interpolated, so that a radius of .9 pixels (at 96) lies between 0 and 1.
    """
    return Corruption("defocus", ((2, 0.01), (3, 0.1), (4, 0.1), (5, 0.1), (6, 0.1)), _defocus)


@corruptions.register("motion", group="blur", kin=("blur",))
def motion() -> Corruption:
    """Blur as a movement during the exposure does: a point becomes a streak that fades.

    strengths  (radius, sigma) (3, 3) (5, 5) (10, 5) (10, 7) (10, 9) pixels at 224: the streak is half a
               Gaussian of width sigma, cut at twice the radius
    images     (B, C, H, W) float32 in [0, 1] → same, mirrored at the border
    random     the direction, uniform in ±45° about the horizontal

    Source: MedMNIST-C for BloodMNIST, which calls ImageMagick; that takes the nearest pixel where this
    interpolates. Kornia's ``motion_blur`` is an even line without a sigma.
    """
    return Corruption("motion", ((3, 3), (5, 5), (10, 5), (10, 7), (10, 9)), _motion)


def _defocus(image: torch.Tensor, strength: tuple[float, float], rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same shape; draws nothing."""
    return convolve(image, disc(scaled(strength[0], image)))


def _motion(image: torch.Tensor, strength: tuple[float, float], rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same shape; draws the direction."""
    length, sigma = scaled(2 * strength[0], image), scaled(strength[1], image)
    return convolve(image, streak(length, sigma, rng.uniform(-math.pi / 4, math.pi / 4)))


@functools.lru_cache(maxsize=64)
def disc(radius: float) -> np.ndarray:
    """Weights (k, k) float64, k odd, adding up to 1, of an even disc of ``radius`` pixels."""
    import numpy as np

    half = max(1, math.ceil(radius * FINENESS))
    at = (np.arange(-half, half + 1)) * radius / half
    x, y = np.meshgrid(at, at)
    inside = x**2 + y**2 <= radius**2
    return picture_of_a_point(x[inside], y[inside], np.ones(inside.sum()))


def streak(length: float, sigma: float, angle: float) -> np.ndarray:
    """Weights (k, k) float64, adding up to 1, of a streak from the centre; lengths in pixels, radians."""
    import numpy as np

    count = max(8, math.ceil(length * FINENESS))
    along = (np.arange(count) + 0.5) * length / count
    return picture_of_a_point(
        along * math.cos(angle), along * math.sin(angle), np.exp(-0.5 * (along / sigma) ** 2)
    )


def picture_of_a_point(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spread weighted points over the pixels around them, bilinearly.

    x, y     (P,) pixels right of and below the centre
    weight   (P,)
    returns  (k, k) float64, k odd, adding up to 1
    """
    import numpy as np

    reach = math.ceil(max(np.abs(x).max(), np.abs(y).max()))
    out = np.zeros((2 * reach + 2, 2 * reach + 2))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    # Each point is shared out among the four pixels around it.
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            np.add.at(out, (top + reach + down, left + reach + right), weight * share)
    picture: np.ndarray = out[:-1, :-1] / weight.sum()
    return picture


def convolve(image: torch.Tensor, taps: np.ndarray) -> torch.Tensor:
    """Correlate (1, C, H, W) with taps (k, k), k odd, mirrored at the border; sums in a fixed order."""
    import torch
    import torch.nn.functional as F

    reach, (height, width) = len(taps) // 2, image.shape[-2:]
    padded = F.pad(image, (reach,) * 4, mode="reflect")
    out = torch.zeros_like(image)
    for y, x in zip(*taps.nonzero(), strict=True):
        out.add_(padded[..., y : y + height, x : x + width], alpha=float(taps[y, x]))
    return out
