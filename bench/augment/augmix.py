"""AugMix: several chains of random operations, averaged, and mixed with the image they started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from bench.augment.base import Augmentation, Fill, Space, Step, image_only, not_built
from bench.errors import UserError
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.augment.kernels.rounds import Draw
    from bench.augment.optable import OpTable

DEEPEST = 3
"""Operations in the longest chain when the depth is drawn."""


@dataclass(frozen=True)
class AugMix:
    """Prepared by ``augmix``."""

    severity: int
    width: int
    depth: int
    alpha: float
    fill: Fill

    def chains(self, rng: np.random.Generator, table: OpTable, count: int) -> Draw:
        """Operations of ``width`` chains per image, chain by chain: arrays (deepest, width · B)."""
        import numpy as np

        from bench.augment.kernels.rounds import Draw

        deepest = self.depth if self.depth > 0 else DEEPEST
        shape = (deepest, self.width * count)
        depth = rng.integers(1, DEEPEST + 1, shape[1]) if self.depth < 0 else np.full(shape[1], deepest)
        op = np.where(np.arange(deepest)[:, None] < depth, rng.integers(0, len(table.names), shape), -1)
        level = rng.integers(0, table.levels, shape)
        return Draw(op, level, rng.integers(0, 2, shape), np.zeros(shape))

    def prepare(self, space: Space) -> Step:
        """Fill the table once; a call then runs all chains of all images as one large batch."""
        from bench.augment.kernels.rounds import run
        from bench.augment.optable import augmix_table
        from bench.augment.transfer import column, to_device

        table = augmix_table(self.severity, space.size_px)

        def apply(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
            draw = self.chains(rng, table, len(images))
            own = rng.beta(self.alpha, self.alpha, len(images))
            share = rng.dirichlet([self.alpha] * self.width, len(images)) * (1 - own[:, None])
            chains = run(images.repeat(self.width, 1, 1, 1), table, draw, self.fill)
            weight, shares = to_device([own, share.T], images.device)
            images.mul_(column(weight))
            for chain, part in zip(chains.chunk(self.width), shares, strict=True):
                images.addcmul_(chain, column(part))
            return images.clamp_(0, 1)

        return image_only(apply)


@augmentations.register("augmix")
def augmix(
    severity: Annotated[int, Interval(ge=1, le=10)] = 3,
    width: Annotated[int, Interval(ge=1, le=10)] = 3,
    depth: Annotated[int, Interval(ge=-1, le=10)] = -1,
    alpha: Annotated[float, Gt(0), Interval(le=100)] = 1.0,
    fill: Fill = "black",
    jsd: bool = False,
) -> Augmentation:
    """Mix each image with the average of several chains of random operations.

    severity: largest strength of an operation, 1 to 10
    width:    chains per image, 1 to 10
    depth:    operations per chain, 1 to 10; -1 draws 1 to 3 for every chain
    alpha:    of the Dirichlet that weights the chains and the Beta that weights the image, above 0, at
    most 100 fill:     what stands where an image was moved away: black, edge or reflect
    jsd:      the Jensen–Shannon consistency loss over three views; not built yet

    The paper's nine operations, those that overlap with the corruptions of ImageNet-C left out. Strengths are
    uniform between 0.1 and the severity, here in 30 steps. Chains keep float32 instead of 8 bits.

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → unchanged
    random   per image one weight, and per chain one weight, a depth, operations, strengths and signs

    Source: Hendrycks et al. 2020, arXiv:1912.02781, and its published code.
    """
    if jsd:
        raise not_built("augmix", "jsd", jsd)
    if depth == 0:
        raise UserError("augmix: depth = 0; give 1 to 10 operations per chain, or -1 to draw 1 to 3")
    return AugMix(severity, width, depth, alpha, fill)
