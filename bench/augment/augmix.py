"""AugMix: several chains of random operations, averaged, and mixed with the image they started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from bench.augment.base import CURVES, MOVES, Augmentation, Fill, PerImage, Space, Step
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
    jsd: bool = False

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
        """Fill the table once; a run then sends all chains of all images through as one large batch."""
        import numpy as np
        import torch

        from bench.augment.kernels.rounds import Draw, run
        from bench.augment.optable import augmix_table
        from bench.augment.transfer import column, to_device

        table = augmix_table(self.severity, space.size_px)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            rows = self.chains(rng, table, count).rows(count)
            own = rng.beta(self.alpha, self.alpha, count)
            share = rng.dirichlet([self.alpha] * self.width, count) * (1 - own[:, None])
            return [own, share, *rows]

        def mix(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            own, share, *rows = drawn
            chains = run(images.repeat(self.width, 1, 1, 1), table, Draw.of_rows(rows), self.fill)
            weight, shares = to_device([own, share.T], images.device)
            images.mul_(column(weight))
            for chain, part in zip(chains.chunk(self.width), shares, strict=True):
                images.addcmul_(chain, column(part))
            return images.clamp_(0, 1)

        def draw_both(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            return [*draw(rng, count), *draw(rng, count)]

        def beside(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            half = len(drawn) // 2
            both = [np.concatenate(pair) for pair in zip(drawn[:half], drawn[half:], strict=True)]
            return torch.cat([images, mix(images.repeat(2, 1, 1, 1), both)])

        return PerImage(draw_both, beside, views=3) if self.jsd else PerImage(draw, mix)


@augmentations.register("augmix", views={"jsd": 3}, does=(*MOVES, *CURVES))
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
    alpha:    of the Dirichlet that weights the chains and the Beta that weights the image, 0 to 100, not 0
    fill:     what stands where an image was moved away: black, edge or reflect
    jsd:      train on three views, the image and two mixtures of it: the loss counts the image alone, and 12
              times the Jensen–Shannon divergence of the three predictions is added. A step costs about three
              times as much. Must come last, and not together with cutmix or mixup, which change labels

    The paper's nine operations, those that overlap with the corruptions of ImageNet-C left out. Strengths are
    uniform between 0.1 and the severity, here in 30 steps. Chains keep float32 instead of 8 bits.

    images   (B, C, H, W) float32 in [0, 1] → same; with jsd (3·B, C, H, W), the images themselves first
    targets  (B, K) float32 class probabilities → unchanged
    random   per mixture one weight, and per chain one weight, a depth, operations, strengths and signs

    Source: Hendrycks et al. 2020, arXiv:1912.02781, and its published code.
    """
    if depth == 0:
        raise UserError(f"augmix: depth = {depth}; give 1 to 10 operations per chain, or -1 to draw 1 to 3")
    return AugMix(severity, width, depth, alpha, fill, jsd)
