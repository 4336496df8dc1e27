"""Gaussian blur: images out of focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from bench.augment.base import Augmentation, PerImage, Probability, Space, Step, chosen, ordered
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

Sigma = Annotated[float, Gt(0), Interval(le=20)]
REACH = 3.0
"""A kernel ends at so many standard deviations; beyond lies 0.3 % of a Gaussian."""


@dataclass(frozen=True)
class Blur:
    """Prepared by ``blur``."""

    low: float
    high: float
    p: float

    def prepare(self, space: Space) -> Step:
        """A step that blurs with one kernel length for all and one width for each image."""
        import numpy as np

        from bench.augment.kernels.blur import separable
        from bench.augment.kernels.rows import on_chosen

        # Mirroring at the border needs a kernel shorter than the image.
        reach = min(int(np.ceil(REACH * self.high)), space.size_px - 1)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            return [chosen(rng, self.p, count), rng.uniform(self.low, self.high, count)]

        def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            mask, sigma = drawn
            return on_chosen(images, mask, [taps(sigma, reach)], separable)

        return PerImage(draw, run)


def taps(sigma: np.ndarray, reach: int) -> np.ndarray:
    """(B,) standard deviations in pixels → Gaussian weights, shape (B, 2·reach + 1), rows adding up to 1."""
    import numpy as np

    at = np.arange(-reach, reach + 1)
    weights: np.ndarray = np.exp(-0.5 * (at / sigma[:, None]) ** 2)
    weights /= weights.sum(1, keepdims=True)
    return weights


@augmentations.register("blur")
def blur(low: Sigma = 0.1, high: Sigma = 2.0, p: Probability = 0.5) -> Augmentation:
    """Blur images with a Gaussian of random width, mirrored at the border.

    low, high: ends of the range of the standard deviation in pixels, above 0, at most 20
    p:         probability for each image, 0 to 1

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   two draws per image

    Source: Kornia's RandomGaussianBlur, which this equals at a kernel size of 2·⌈3·high⌉ + 1.
    """
    ordered("blur", low, high)
    return Blur(low, high, p)
