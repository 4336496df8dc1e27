"""Mixing images of a batch, targets with them: CutMix and MixUp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from bench.augment.base import Augmentation, Mixing, Per, Probability, Space, Step, chosen
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

Alpha = Annotated[float, Gt(0), Interval(le=100)]


@dataclass(frozen=True)
class CutMix:
    """Prepared by ``cutmix``."""

    alpha: float
    p: float
    per: Per

    def draw(
        self, rng: np.random.Generator, count: int, size_px: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Partner (B,) int64, edges of the box (B, 4) int64, an image's share of own pixels (B,) float64."""
        import numpy as np

        partner, mask, own = _pairs(rng, count, self)
        centre = rng.integers(0, size_px, (2, count))
        if self.per == "batch":
            centre[:] = centre[:, :1]
        # A square with the share 1 − own of the area, cut at the border: the share is then counted anew.
        half = np.where(mask, 0.5 * np.sqrt(1 - own) * size_px, 0).astype(np.int64)
        low, high = np.maximum(centre - half, 0), np.minimum(centre + half, size_px)
        edges = np.stack([low[0], high[0], low[1], high[1]], -1)
        height, width = high - low
        return partner, edges, 1 - height * width / size_px**2

    def prepare(self, space: Space) -> Step:
        """A step that pastes boxes."""
        import torch

        from bench.augment.kernels.regions import columns_repeat, paste, sides
        from bench.augment.kernels.rows import pick_rows
        from bench.augment.transfer import to_device

        def step(
            images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            partner, edges, own = self.draw(rng, len(images), space.size_px)
            if (own == 1).all():
                return images, targets
            boxes = sides(edges, space.size_px, columns_repeat(images))
            other, share, down, across = to_device([partner, own, *boxes], images.device)
            mixed = paste(images, pick_rows(images, other), down, across)
            return mixed, torch.lerp(targets.index_select(0, other), targets, share[:, None])

        return Mixing(step)


@dataclass(frozen=True)
class MixUp:
    """Prepared by ``mixup``."""

    alpha: float
    p: float
    per: Per

    def prepare(self, space: Space) -> Step:
        """A step that blends whole images."""
        import numpy as np
        import torch

        from bench.augment.kernels.rows import pick_rows
        from bench.augment.transfer import column, to_device

        def step(
            images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            partner, mask, own = _pairs(rng, len(images), self)
            if not mask.any():
                return images, targets
            other, share = to_device([partner, np.where(mask, own, 1.0)], images.device)
            mixed = torch.lerp(pick_rows(images, other), images, column(share))
            return mixed, torch.lerp(targets.index_select(0, other), targets, share[:, None])

        return Mixing(step)


def _pairs(
    rng: np.random.Generator, count: int, settings: CutMix | MixUp
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Partner by a permutation, who is mixed, own share from Beta(alpha, alpha): each of shape (B,)."""
    import numpy as np

    draws = count if settings.per == "image" else 1
    partner = rng.permutation(count)
    mask = chosen(rng, settings.p, draws)
    own = rng.beta(settings.alpha, settings.alpha, draws)
    return partner, np.broadcast_to(mask, count), np.broadcast_to(own, count)


@augmentations.register("cutmix", mixes_images=True, does=("hide",))
def cutmix(alpha: Alpha = 1.0, p: Probability = 1.0, per: Per = "image") -> Augmentation:
    """Paste a box from another image of the batch; targets mix by the share of pixels.

    alpha: of Beta(alpha, alpha), from which the own share is drawn, above 0, at most 100
    p:     probability, 0 to 1, for each image or each batch
    per:   "image" draws share, box and p for every image; "batch" once for all, as the paper's code does

    The box's centre is uniform over the image and the box is cut at the border; targets follow the pixels
    really pasted. Partners are a permutation of the batch in both cases.

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → own share · own + (1 − own share) · partner's
    random   one permutation, five draws per image

    Source: Yun et al. 2019, arXiv:1905.04899; torchvision.transforms.v2.CutMix.
    """
    return CutMix(alpha, p, per)


@augmentations.register("mixup", mixes_images=True)
def mixup(alpha: Alpha = 0.2, p: Probability = 1.0, per: Per = "image") -> Augmentation:
    """Blend every image with another of the batch; targets blend by the same weight.

    alpha: of Beta(alpha, alpha), from which the own weight is drawn, above 0, at most 100
    p:     probability, 0 to 1, for each image or each batch
    per:   "image" draws weight and p for every image; "batch" once for all, as the paper's code does

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → weight · own + (1 − weight) · partner's
    random   one permutation, two draws per image

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    return MixUp(alpha, p, per)
