"""Any augmentation of Kornia by the name of its class, as any timm model is by its."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.augment.base import Augmentation, Probability, Space, Step
from bench.registry import Component, Written, augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

NOTHING: frozenset[str] = frozenset()
TONES = frozenset({"brightness", "contrast", "saturation"})
MOVES = frozenset({"rotate", "shear", "shift"})
DOES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("RandomHorizontalFlip", "RandomVerticalFlip"), NOTHING),
    **dict.fromkeys(("RandomElasticTransform", "RandomThinPlateSpline"), NOTHING),
    **dict.fromkeys(("RandomSharpness", "RandomPosterize", "RandomSolarize", "RandomInvert"), NOTHING),
    **dict.fromkeys(("RandomRotation", "RandomRotation90"), frozenset({"rotate"})),
    **dict.fromkeys(("RandomCrop", "RandomTranslate"), frozenset({"shift"})),
    **dict.fromkeys(("RandomResizedCrop", "RandomPerspective"), frozenset({"zoom", "shift"})),
    "RandomShear": frozenset({"shear"}),
    "RandomAffine": MOVES | {"zoom"},
    **dict.fromkeys(
        ("RandAugment", "AutoAugment", "TrivialAugment"), MOVES | TONES | {"autocontrast", "equalize"}
    ),
    **dict.fromkeys(("ColorJiggle", "ColorJitter"), TONES | {"hue"}),
    **dict.fromkeys(("RandomRGBShift", "RandomPlanckianJitter"), frozenset({"hue", "saturation"})),
    **dict.fromkeys(("RandomSaturation", "RandomGrayscale"), frozenset({"saturation"})),
    "RandomHue": frozenset({"hue"}),
    "RandomBrightness": frozenset({"brightness"}),
    **dict.fromkeys(("RandomContrast", "RandomPlasmaContrast"), frozenset({"contrast"})),
    "RandomGamma": frozenset({"brightness", "equalize"}),
    "RandomAutoContrast": frozenset({"autocontrast"}),
    **dict.fromkeys(("RandomEqualize", "RandomClahe"), frozenset({"equalize"})),
    **dict.fromkeys(("RandomBoxBlur", "RandomGaussianBlur"), frozenset({"blur"})),
    **dict.fromkeys(("RandomMedianBlur", "RandomMotionBlur"), frozenset({"blur"})),
    **dict.fromkeys(("RandomGaussianNoise", "RandomSaltAndPepperNoise"), frozenset({"noise"})),
    "RandomErasing": frozenset({"hide"}),
    "RandomJPEG": frozenset({"jpeg"}),
    **dict.fromkeys(("RandomLinearIllumination", "RandomLinearCornerIllumination"), frozenset({"vignette"})),
    **dict.fromkeys(("RandomGaussianIllumination", "RandomPlasmaShadow"), frozenset({"vignette"})),
    "RandomPlasmaBrightness": frozenset({"brightness", "vignette"}),
}
"""Class → what it does, in the words of the corruptions' kin; of a class not listed nobody here knows."""


@dataclass(frozen=True)
class KorniaClass:
    """Prepared by ``kornia:ClassName``."""

    name: str
    """``RandomRotation``."""
    given: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, space: Space) -> Step:
        """A step that lets Kornia draw, from a generator seeded by ours, and compute.

        UserError for a class or parameter that Kornia does not have, and where it does not suit the images.
        """
        from bench.augment.kornia_modules import built, seeded, tried

        module = built(self.name, self.given, space)
        tried(self.name, self.given, space)

        def step(
            images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            with seeded(int(rng.integers(0, 2**63)), images.device):
                changed: torch.Tensor = module(images)
            return changed.clamp(0, 1), targets

        return step


@augmentations.family("kornia")
def kornia(name: str) -> Component:
    """Any 2-d augmentation of Kornia by its class's name, with the parameters and defaults of that class.

    p: probability, 0 to 1, for each image (for some classes each batch); default: Kornia's own

    Before the first trial the class is looked up, its parameters are checked against its signature, and it
    is tried on images of the study's size and channels. Refused are classes that mix images or change labels
    (use cutmix or mixup), change the size or leave [0, 1] by purpose, and what needs a network. ``size``,
    where a class takes one, is the images' own. RandAugment, AutoAugment and TrivialAugment of
    ``kornia.augmentation.auto`` have names too. Kornia's version is part of the trial's id.

    images   (B, C, H, W) float32 in [0, 1] → same, cut to [0, 1]
    targets  (B, K) float32 class probabilities → unchanged
    random   one draw per batch, the seed of torch's generators, which are put back afterwards

    Source: Riba et al. 2020, arXiv:1910.02190, and what the class itself names.
    """

    def factory(p: Probability | None = None, **parameters: Written) -> Augmentation:
        return KorniaClass(name, parameters if p is None else {"p": p, **parameters})

    factory.__doc__ = f"Kornia's {name}."
    version = metadata.version("kornia")
    return Component("augmentation", f"kornia:{name}", version, factory, {"does": DOES.get(name)})
