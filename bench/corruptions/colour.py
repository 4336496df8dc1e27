"""Colour: saturation, hue, and the two dyes of the stain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, sign
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch

DYES = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density in red, green and blue of haematoxylin, eosin and DAB (Ruifrok and Johnston 2001)."""
DARKEST = 1 / 255
"""Light that always comes through, so that a density is finite."""


@corruptions.register("saturation", group="colour", kin=("saturation",), colour=True, library="kornia")
def saturation() -> Corruption:
    """Add to the HSV saturation.

    strengths  +.05, .10, .15, .17, .20, cut at 1
    images     (B, 3, H, W) float32 in [0, 1] → same; pixels without any colour turn reddish, as in the source
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Kornia's ``rgb_to_hsv`` and ``hsv_to_rgb``.
    """
    return Corruption("saturation", (0.05, 0.10, 0.15, 0.17, 0.20), _saturation, colour_only=True)


@corruptions.register("hue", group="colour", kin=("hue",), colour=True, library="kornia")
def hue() -> Corruption:
    """Turn the hue one way or the other.

    strengths  .02, .04, .06, .08, .10 of the colour circle
    images     (B, 3, H, W) float32 in [0, 1] → same
    random     the direction

    Source: strengths are this project's; Kornia's ``adjust_hue``.
    """
    return Corruption("hue", (0.02, 0.04, 0.06, 0.08, 0.10), _hue, colour_only=True)


@corruptions.register("stain", group="colour", kin=("hue", "saturation"), colour=True)
def stain() -> Corruption:
    """Stain stronger or weaker: the density of each dye times a factor of its own.

    strengths  s = .15, .3, .45, .6, .75: the logarithms of the factors of haematoxylin and eosin lie between
               s/2 and s, each one way or the other; the third, a residual, stays
    images     (B, 3, H, W) float32 in [0, 1] → same
    random     two signs, two amounts

    Source: Tellez et al. 2018 (HED jitter), with densities of Ruifrok and Johnston 2001. There a factor and
    an offset are uniform around nothing; here no image stays as it is. Kornia has no such operation.
    """
    return Corruption("stain", (0.15, 0.3, 0.45, 0.6, 0.75), _stain, colour_only=True)


def _saturation(image: torch.Tensor, more: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] → same; draws nothing."""
    from kornia.color import hsv_to_rgb, rgb_to_hsv

    hsv = rgb_to_hsv(image)
    hsv[:, 1].add_(more).clamp_(0, 1)
    return hsv_to_rgb(hsv)


def _hue(image: torch.Tensor, turn: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] → same; draws the sense of the turn."""
    from kornia.enhance import adjust_hue

    return adjust_hue(image, sign(rng) * turn * 2 * math.pi)


def _stain(image: torch.Tensor, spread: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] → same shape; draws how much more or less of each dye.

    Through densities and back; the change of each dye is added, so that strength 0 changes nothing.
    """
    import numpy as np
    import torch

    factors = [math.exp(sign(rng) * spread * rng.uniform(0.5, 1)) for _ in range(2)]
    unmix = np.linalg.inv(np.array(DYES))
    density = -torch.log(image.clamp_min(DARKEST))
    change = torch.zeros_like(density)
    for dye, factor in enumerate(factors):
        amount = sum(float(unmix[c, dye]) * density[:, c] for c in range(3))
        for c in range(3):
            change[:, c] += (factor - 1) * DYES[dye][c] * amount
    return torch.exp(-(density + change))
