"""Colour jitter: brightness, contrast, saturation and hue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from bench.augment.base import TONE, Augmentation, PerImage, Probability, Space, Step, chosen, needs_colour
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

Amount = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class ColourJitter:
    """Prepared by ``colour-jitter``."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    p: float

    def prepare(self, space: Space) -> Step:
        """A step that changes up to four properties in an order drawn for the batch."""
        if self.saturation or self.hue:
            needs_colour("colour-jitter", space, "set saturation = 0.0 and hue = 0.0")
        import numpy as np

        from bench.augment.kernels import tone
        from bench.augment.kernels.rows import on_chosen
        from bench.augment.transfer import column

        def brightness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            return images.mul_(factor).clamp_(0, 1)

        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        kernels = (brightness, tone.contrast, tone.colour, tone.hue)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            mask = chosen(rng, self.p, count)
            order = np.tile(rng.permutation(4), (count, 1))
            return [mask, order, rng.uniform(-1, 1, (count, 4)) * ranges + (1, 1, 1, 0)]

        def jitter(order: Sequence[int]) -> Callable[..., torch.Tensor]:
            def kernel(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
                for index in order:
                    if ranges[index]:
                        images = kernels[index](images, column(factors[:, index]))
                return images

            return kernel

        def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            mask, orders, factors = drawn
            for order in np.unique(orders, axis=0):
                images = on_chosen(images, mask & (orders == order).all(1), [factors], jitter(order.tolist()))
            return images

        return PerImage(draw, run)


def _does(given: Mapping[str, Any]) -> list[str]:
    return [key for key in (*TONE, "hue") if given[key]]


@augmentations.register("colour-jitter", does=_does)
def colour_jitter(
    brightness: Amount = 0.2,
    contrast: Amount = 0.2,
    saturation: Amount = 0.2,
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.05,
    p: Probability = 1.0,
) -> Augmentation:
    """Change brightness, contrast, saturation and hue by random amounts.

    brightness, contrast, saturation: factors are uniform in 1 ± this, 0 to 1
    hue: shift is uniform in ± this share of the colour circle, 0 to 0.5
    p:   probability for each image, 0 to 1

    The order of the four is drawn for the batch, the amounts for each image.

    images   (B, C, H, W) float32 in [0, 1] → same; saturation and hue need 3 channels
    targets  (B, K) float32 class probabilities → unchanged
    random   one permutation, five draws per image

    Source: torchvision.transforms.v2.ColorJitter, whose arithmetic this has.
    """
    return ColourJitter(brightness, contrast, saturation, hue, p)
