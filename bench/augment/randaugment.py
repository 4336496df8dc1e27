"""RandAugment: n random operations per image, all at one magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval

from bench.augment.base import (
    CURVES,
    MOVES,
    TONE,
    Augmentation,
    Fill,
    Per,
    PerImage,
    Space,
    Step,
    needs_colour,
)
from bench.augment.geometry import fuse
from bench.augment.kornia_classes import KorniaClass
from bench.errors import UserError
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.augment.optable import OpTable

Ops = Literal["standard", "kornia", "geometric"]
Engine = Literal["bench", "kornia"]


@dataclass(frozen=True)
class RandAugment:
    """Prepared by ``randaugment`` with the standard or Kornia's operations."""

    n: int
    m: int
    per: Per
    ops: Ops
    fill: Fill

    def prepare(self, space: Space) -> Step:
        """Fill the table once; a call then draws, looks up and runs n rounds."""
        from bench.augment.kernels.rounds import Draw, run

        table = self._table(space)

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            shape = (self.n, count)
            op = pick(rng, len(table.names), shape, self.per, replace=self.ops != "kornia")
            level = op * 0 + (self.m if table.levels > 1 else 0)
            return Draw(op, level, rng.integers(0, 2, shape), rng.random(shape)).rows(count)

        def apply(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            return run(images, table, Draw.of_rows(drawn), self.fill)

        return PerImage(draw, apply)

    def _table(self, space: Space) -> OpTable:
        from bench.augment import optable

        if self.ops == "kornia":
            from bench.augment.kornia_ops import kornia_table

            needs_colour('randaugment with ops = "kornia"', space, 'use ops = "standard"')
            return kornia_table(self.m, space.size_px)
        return optable.randaugment_table(optable.STANDARD, space.size_px)


@dataclass(frozen=True)
class GeometricRandAugment:
    """Prepared by ``randaugment`` with geometric operations only: its n rounds are one matrix."""

    n: int
    m: int
    per: Per
    fill: Fill

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """Products of n drawn moves (B, 3, 3)."""
        from bench.augment import matrices, optable

        names = ("identity", *optable.GEOMETRIC)
        table = optable.randaugment_table(names, size_px)
        op = pick(rng, len(names), (self.n, count), self.per, replace=True)
        sign = rng.integers(0, 2, op.shape)
        total = matrices.identity(count)
        for row in range(self.n):
            total = table.moves[op[row], self.m, sign[row]] @ total
        return total

    def prepare(self, space: Space) -> Step:
        """A step that only moves."""
        return fuse([self], space)


def pick(
    rng: np.random.Generator, known: int, shape: tuple[int, int], per: Per, *, replace: bool
) -> np.ndarray:
    """(n, B) operation indices, uniform over ``known``; without replacement no image gets one twice."""
    import numpy as np

    n, count = shape
    columns = count if per == "image" else 1
    if replace:
        op = rng.integers(0, known, (n, columns))
    else:
        op = rng.random((columns, known)).argsort(axis=1)[:, :n].T
    return np.broadcast_to(op, shape)


def _does(given: Mapping[str, Any]) -> tuple[str, ...]:
    return MOVES if given["ops"] == "geometric" else (*MOVES, *CURVES, *TONE)


@augmentations.register("randaugment", does=_does)
def randaugment(
    n: Annotated[int, Interval(ge=1, le=14)] = 2,
    m: Annotated[int, Interval(ge=0, le=30)] = 9,
    per: Per = "image",
    ops: Ops = "standard",
    fill: Fill = "black",
    engine: Engine = "bench",
) -> Augmentation:
    """Apply n operations drawn at random to each image, all at magnitude m.

    n:    operations per image, 1 to 14
    m:    magnitude, 0 (identity) to 30; strictly between for ops = "kornia", where 15 is the identity of four
    per:  "image" draws operations for every image; "batch" once for all (signs are per image in both)
    ops:  "standard": the paper's 14 in torchvision's space, with replacement; "kornia": Kornia's 15 with
          Kornia's magnitudes, without replacement, 3 channels only; "geometric": identity and the standard
          five that move pixels, fused into one matrix
    fill: what stands where an image was moved away: black, edge or reflect
    engine: "bench" computes here; "kornia" runs Kornia's own class as it is, which draws operations once per
          batch and is slower: a reference, with ops = "kornia", per = "batch" and fill = "black" only

    Against torchvision: sampling is bilinear instead of nearest, and values stay float32 between operations
    instead of being cut to 8 bits.

    images   (B, C, H, W) float32 in [0, 1] → same; with one channel "color" changes nothing
    targets  (B, K) float32 class probabilities → unchanged
    random   n operations, n signs (and with the first two ops n thresholds) per image; engine = "kornia": one
             draw, the seed of a torch generator that is put back afterwards

    Source: Cubuk et al. 2020, arXiv:1909.13719; torchvision.transforms.v2.RandAugment; Kornia's RandAugment.
    """
    if engine == "kornia" and (ops, per, fill) != ("kornia", "batch", "black"):
        raise UserError(
            f'randaugment: engine = "kornia" with ops = "{ops}", per = "{per}", fill = "{fill}"; '
            'Kornia\'s own class only knows ops = "kornia", per = "batch", fill = "black"'
        )
    if ops == "geometric":
        return GeometricRandAugment(n, m, per, fill)
    if ops == "kornia" and not 0 < m < 30:
        raise UserError(f'randaugment: m = {m} with ops = "kornia"; Kornia allows 1 to 29')
    if engine == "kornia":
        return KorniaClass("RandAugment", {"n": n, "m": m})
    return RandAugment(n, m, per, ops, fill)
