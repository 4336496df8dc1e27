"""Gaussian pixel noise, the same on every device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from bench.augment.base import Augmentation, PerImage, Probability, Space, Step, chosen, ordered
from bench.registry import augmentations
from bench.streams import stream

if TYPE_CHECKING:
    import numpy as np
    import torch

Deviation = Annotated[float, Interval(ge=0, le=1)]
PLACES = 2**20
"""How many different stretches of the table an image's noise can be."""


@dataclass(frozen=True)
class AddedNoise:
    """Prepared by ``noise``."""

    low: float
    high: float
    p: float

    def prepare(self, space: Space) -> Step:
        """A step that adds stretches of one table of normal numbers, drawn here once on the host."""
        import numpy as np

        from bench.augment.kernels.rows import on_chosen
        from bench.augment.transfer import column, to_device

        length = space.channels * space.size_px**2
        numbers = stream(0, "augment-noise-table").standard_normal(PLACES + length, dtype=np.float32)
        (table,) = to_device([numbers], space.device)
        stretches = table.unfold(0, length, 1)

        def add(images: torch.Tensor, start: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
            noise = stretches.index_select(0, start).view(images.shape)
            return noise.mul_(column(deviation)).add_(images).clamp_(0, 1)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            mask = chosen(rng, self.p, count)
            return [mask, rng.integers(0, PLACES, count), rng.uniform(self.low, self.high, count)]

        def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            mask, *numbers = drawn
            return on_chosen(images, mask, numbers, add)

        return PerImage(draw, run)


@augmentations.register("noise")
def noise(low: Deviation = 0.0, high: Deviation = 0.1, p: Probability = 0.5) -> Augmentation:
    """Add independent normal noise to every pixel and channel.

    low, high: ends of the range of the standard deviation, 0 to 1 (1: the whole range of values)
    p:         probability for each image, 0 to 1

    Drawing millions of normal numbers for every batch would cost more than a training step, and a device's
    own generator would not repeat a CPU's. So the noise of an image is a stretch, at a random place of a
    million, of a table drawn once: independent within an image; two images share numbers at best shifted
    against each other.

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   three draws per image

    Source: Kornia's RandomGaussianNoise; the table: Salimans et al. 2017, arXiv:1703.03864, section 2.1.
    """
    ordered("noise", low, high)
    return AddedNoise(low, high, p)
