"""TrivialAugment: one random operation per image at a random magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.augment.base import CURVES, MOVES, TONE, Augmentation, Fill, Per, PerImage, Space, Step
from bench.augment.randaugment import pick
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class TrivialAugment:
    """Prepared by ``trivialaugment``."""

    per: Per
    fill: Fill

    def prepare(self, space: Space) -> Step:
        """Fill the table once; a call then draws, looks up and runs one round."""
        from bench.augment import optable
        from bench.augment.kernels.rounds import Draw, run

        table = optable.trivial_table(space.size_px)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            shape = (1, count)
            op = pick(rng, len(table.names), shape, self.per, replace=True)
            level = pick(rng, table.levels, shape, self.per, replace=True)
            return Draw(op, level, rng.integers(0, 2, shape), rng.random(shape)).rows(count)

        def apply(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            return run(images, table, Draw.of_rows(drawn), self.fill)

        return PerImage(draw, apply)


@augmentations.register("trivialaugment", does=(*MOVES, *CURVES, *TONE))
def trivialaugment(per: Per = "image", fill: Fill = "black") -> Augmentation:
    """Apply one operation drawn at random to each image, at a random one of 31 magnitudes of a wide range.

    per:  "image" draws operation and magnitude for every image; "batch" once for all (signs are per image)
    fill: what stands where an image was moved away: black, edge or reflect

    The 14 operations of RandAugment with the "wide" ranges. Translations reach 32 pixels whatever the
    size, as in the paper, so that images of 32 pixels and fewer can leave the frame. Bilinear, as
    ``randaugment`` is.

    images   (B, C, H, W) float32 in [0, 1] → same; with one channel "color" changes nothing
    targets  (B, K) float32 class probabilities → unchanged
    random   an operation, a magnitude and a sign per image

    Source: Müller and Hutter 2021, arXiv:2103.10158; torchvision.transforms.v2.TrivialAugmentWide.
    """
    return TrivialAugment(per, fill)
