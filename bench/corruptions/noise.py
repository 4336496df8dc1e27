"""Noise of the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, on
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch


@corruptions.register("noise", group="noise", kin=("noise",))
def noise() -> Corruption:
    """Add independent normal noise to every pixel and channel.

    strengths  standard deviation .03, .05, .08, .11, .15 of the range; the same for every size, because it is
               the camera's pixel that is noisy
    images     (B, C, H, W) float32 in [0, 1] → same
    random     a normal number per pixel and channel, from NumPy: Kornia's draw from a global generator

    Source: ImageNet-C (Hendrycks and Dietterich 2019), at strengths that leave cells recognisable.
    """
    return Corruption("noise", (0.03, 0.05, 0.08, 0.11, 0.15), _noise)


def _noise(image: torch.Tensor, deviation: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same shape; draws one number for each value."""
    return image + on(image, deviation * rng.standard_normal(tuple(image.shape)))
