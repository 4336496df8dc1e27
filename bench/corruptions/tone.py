"""Light: brightness, contrast, gamma, vignetting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, on, sign
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch

CURVES = ("contrast", "autocontrast", "equalize")
"""Augmentations that change contrast."""


@corruptions.register("brightness-up", group="tone", kin=("brightness",), library="kornia")
def brightness_up() -> Corruption:
    """Brighten: all values times a factor, cut at white.

    strengths  factor 1.1, 1.2, 1.3, 1.35, 1.4
    images     (B, C, H, W) float32 in [0, 1] → same
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Kornia's ``adjust_brightness_accumulative``, which is Pillow's.
    """
    return Corruption("brightness-up", (1.1, 1.2, 1.3, 1.35, 1.4), _brightness)


@corruptions.register("brightness-down", group="tone", kin=("brightness",), library="kornia")
def brightness_down() -> Corruption:
    """Darken: all values times a factor.

    strengths  factor .9, .8, .7, .6, .5
    images     (B, C, H, W) float32 in [0, 1] → same
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Kornia's ``adjust_brightness_accumulative``, which is Pillow's.
    """
    return Corruption("brightness-down", (0.9, 0.8, 0.7, 0.6, 0.5), _brightness)


@corruptions.register("contrast-up", group="tone", kin=CURVES, library="kornia")
def contrast_up() -> Corruption:
    """Raise contrast: distance from the image's mean grey value times a factor, cut at black and white.

    strengths  factor 1.1, 1.15, 1.2, 1.25, 1.3
    images     (B, C, H, W) float32 in [0, 1] → same
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Kornia's ``adjust_contrast_with_mean_subtraction``, which is Pillow's
    except that the mean is not rounded.
    """
    return Corruption("contrast-up", (1.1, 1.15, 1.2, 1.25, 1.3), _contrast)


@corruptions.register("contrast-down", group="tone", kin=CURVES, library="kornia")
def contrast_down() -> Corruption:
    """Lower contrast: distance from the image's mean grey value times a factor.

    strengths  factor .9, .8, .7, .6, .5
    images     (B, C, H, W) float32 in [0, 1] → same
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Kornia's ``adjust_contrast_with_mean_subtraction``, which is Pillow's
    except that the mean is not rounded.
    """
    return Corruption("contrast-down", (0.9, 0.8, 0.7, 0.6, 0.5), _contrast)


@corruptions.register("gamma", group="tone", kin=("brightness", "equalize"), library="kornia")
def gamma() -> Corruption:
    """Bend the tone curve: values to the power of gamma, or of its inverse.

    strengths  gamma 1.2, 1.4, 1.7, 2.0, 2.4
    images     (B, C, H, W) float32 in [0, 1] → same
    random     whether gamma (darker) or 1/gamma (brighter)

    Source: strengths are this project's; Kornia's ``adjust_gamma``.
    """
    return Corruption("gamma", (1.2, 1.4, 1.7, 2.0, 2.4), _gamma)


@corruptions.register("vignette", group="tone", kin=("vignette",))
def vignette() -> Corruption:
    """Darken towards the corners, as a condenser out of place does.

    strengths  share of light lost at the far corner .2, .35, .5, .65, .8, growing with the squared distance
    images     (B, C, H, W) float32 in [0, 1] → same
    random     the bright centre, uniform within 15 % of the side around the middle

    Source: strengths are this project's.
    """
    return Corruption("vignette", (0.2, 0.35, 0.5, 0.65, 0.8), _vignette)


def _brightness(image: torch.Tensor, factor: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws nothing."""
    from kornia.enhance import adjust_brightness_accumulative

    return adjust_brightness_accumulative(image, factor)


def _contrast(image: torch.Tensor, factor: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws nothing."""
    from kornia.enhance import adjust_contrast_with_mean_subtraction

    return adjust_contrast_with_mean_subtraction(image, factor)


def _gamma(image: torch.Tensor, gamma: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws whether lighter or darker."""
    from kornia.enhance import adjust_gamma

    return adjust_gamma(image, gamma ** sign(rng))


def _vignette(image: torch.Tensor, lost: float, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws the bright centre."""
    import numpy as np

    x0, y0 = rng.uniform(0.35, 0.65, 2)
    at = (np.arange(image.shape[-1]) + 0.5) / image.shape[-1]
    squared = (at[None, :] - x0) ** 2 + (at[:, None] - y0) ** 2
    farthest = max(x0, 1 - x0) ** 2 + max(y0, 1 - y0) ** 2
    return image * on(image, 1 - lost * squared / farthest)
