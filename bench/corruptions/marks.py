"""Things on the slide that hide parts of the cell: dye, air, dirt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, on, scaled
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch

DYE = (0.20, 0.10, 0.32)
"""Red, green and blue of dried stain."""
LUMA = (0.299, 0.587, 0.114)
RIM_PX = 2.0
"""Width of a bubble's rim at 224."""
INSIDE, RIM = 100 / 255, 130 / 255
"""How far towards white a bubble and its rim are: the source's opacities."""
FEWEST_BUBBLES, SMALLEST_BUBBLE = 7, 3.0
GREY = 0.5


@corruptions.register("stain-deposit", group="marks", kin=())
def stain_deposit() -> Corruption:
    """Spots of dried dye.

    strengths  (most marks, largest radius) (1, 14) (2, 14) (3, 14) (3, 18) (3, 22), pixels at 224
    images     (B, C, H, W) float32 in [0, 1] → same; with one channel the dye's grey value
    random     number of marks, uniform from 1; of each the place, radius (60 to 100 %) and outline

    Source: MedMNIST-C for BloodMNIST, numbers of marks 1 2 3 3 3. There the marks are pictures of black ink,
    larger ones at severities 4 and 5; here their outlines are drawn, in the colour of dye.
    """
    return Corruption("stain-deposit", ((1, 14), (2, 14), (3, 14), (3, 18), (3, 22)), _stain_deposit)


@corruptions.register("bubbles", group="marks", kin=())
def bubbles() -> Corruption:
    """Air under the cover glass: pale discs with a paler rim.

    strengths  (largest radius, most bubbles) (5, 10) (7, 10) (10, 10) (12, 12) (15, 12), pixels at 224
    images     (B, C, H, W) float32 in [0, 1] → same
    random     number of bubbles, uniform from 7; of each the radius, uniform from 3 pixels, and the place

    Source: MedMNIST-C for BloodMNIST, drawn with soft edges; a later bubble covers an earlier one.
    """
    return Corruption("bubbles", ((5, 10), (7, 10), (10, 10), (12, 12), (15, 12)), _bubbles)


@corruptions.register("occlusion", group="marks", kin=("hide",))
def occlusion() -> Corruption:
    """Hide a grey square.

    strengths  side .15, .20, .25, .30, .35 of the image's
    images     (B, C, H, W) float32 in [0, 1] → same
    random     the place, uniform, wholly inside

    Source: Zeiler and Fergus 2014, section 4.2; strengths are this project's. Kornia's ``RandomErasing``
    draws area and place from a global generator.
    """
    return Corruption("occlusion", (0.15, 0.20, 0.25, 0.30, 0.35), _occlusion)


def _stain_deposit(
    image: torch.Tensor, strength: tuple[int, float], rng: np.random.Generator
) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws how many, where, their outlines and opacities."""
    import numpy as np

    most, largest = strength
    size = image.shape[-1]
    opacity = np.zeros((size, size))
    for _ in range(rng.integers(1, most + 1)):
        radius = scaled(largest, image) * rng.uniform(0.6, 1)
        x, y = _place(rng, radius, size)
        across, down = np.meshgrid(np.arange(size) + 0.5 - x, np.arange(size) + 0.5 - y)
        inside = _soft(outline(rng, np.arctan2(down, across)) * radius - np.hypot(across, down))
        opacity = np.maximum(opacity, rng.uniform(0.75, 0.95) * inside)
    dye = DYE if image.shape[1] == 3 else [sum(a * b for a, b in zip(DYE, LUMA, strict=True))]
    return image + on(image, opacity) * (on(image, np.array(dye))[:, None, None] - image)


def outline(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    """Radius of a blob in the directions ``angle`` (H, W), about 1: waves with 2 to 5 periods."""
    import numpy as np

    radius = np.ones_like(angle)
    for periods in range(2, 6):
        radius += rng.normal(0, 0.25 / periods) * np.cos(periods * angle + rng.uniform(0, 2 * math.pi))
    return radius


def _bubbles(image: torch.Tensor, strength: tuple[float, int], rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws how many, where and how large."""
    import numpy as np

    largest, most = strength
    size, rim = image.shape[-1], scaled(RIM_PX, image)
    opacity = np.zeros((size, size))
    for _ in range(rng.integers(FEWEST_BUBBLES, most + 1)):
        radius = scaled(rng.uniform(SMALLEST_BUBBLE, largest), image)
        x, y = _place(rng, radius, size)
        distance = np.hypot(np.arange(size)[None, :] + 0.5 - x, np.arange(size)[:, None] + 0.5 - y)
        for reach, value in ((radius + rim, RIM), (radius, INSIDE)):
            inside = _soft(reach - distance)
            opacity += inside * (value - opacity)
    return image + on(image, opacity) * (1 - image)


def _occlusion(image: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1], written into; draws the place."""
    size = image.shape[-1]
    side = round(share * size)
    top, left = rng.integers(0, size - side + 1, 2)
    image[..., top : top + side, left : left + side] = GREY
    return image


def _place(rng: np.random.Generator, radius: float, size: int) -> np.ndarray:
    """A centre in pixels, of shape (2,), so that a disc lies inside the image."""
    return rng.uniform(min(radius, size / 2), max(size - radius, size / 2), 2)


def _soft(inside: np.ndarray) -> np.ndarray:
    """Distances inside an edge, in pixels and of any shape → shares of the pixels that are covered."""
    import numpy as np

    return np.clip(inside + 0.5, 0, 1)
