"""Rounds of operations, a different one for every image: each family runs once, on its own images only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.augment.base import Fill
from bench.augment.kernels import tone, warp
from bench.augment.matrices import sampling
from bench.augment.optable import Family, OpTable
from bench.augment.transfer import column, to_device

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

KERNELS: dict[Family, Kernel] = {
    Family.AFFINE: tone.affine,
    Family.CONTRAST: lambda images, first, _: tone.contrast(images, first),
    Family.COLOUR: lambda images, first, _: tone.colour(images, first),
    Family.SATURATION: lambda images, first, _: tone.saturation(images, first),
    Family.AUTO_CONTRAST: lambda images, first, _: tone.auto_contrast(images, first),
    Family.SOLARIZE: tone.solarize,
    Family.POSTERIZE: tone.posterize,
    Family.EQUALIZE: lambda images, first, _: tone.equalize(images, first),
    Family.SHARPNESS: lambda images, first, _: tone.sharpness(images, first),
}


@dataclass(frozen=True)
class Draw:
    """What was drawn for n rounds of B images, on the host; all arrays (n, B)."""

    op: np.ndarray
    """Index into the table's operations; −1: nothing."""
    level: np.ndarray
    sign: np.ndarray
    """0 or 1."""
    threshold: np.ndarray
    """Uniform in [0, 1], for operations with a free threshold."""

    def rows(self, count: int) -> list[np.ndarray]:
        """The four arrays as (count, n, chains), a row per image; B = chains · count, chain by chain."""
        arrays = self.op, self.level, self.sign, self.threshold
        return [array.reshape(len(array), -1, count).transpose(2, 0, 1) for array in arrays]

    @classmethod
    def of_rows(cls, rows: Sequence[np.ndarray]) -> Draw:
        """What ``rows`` made, of any number of batches: (count, n, chains) → (n, chains · count)."""
        return cls(*(array.transpose(1, 2, 0).reshape(array.shape[1], -1) for array in rows))


def run(images: torch.Tensor, table: OpTable, draw: Draw, fill: Fill) -> torch.Tensor:
    """Apply every round of a draw, in place, after one copy of all rounds' strengths.

    images   (B, C, H, W) float32 in [0, 1], contiguous; written into
    returns  the same tensor
    """
    rounds = [_Round.of(table, draw, index, images.shape[-1]) for index in range(len(draw.op))]
    there = to_device([a for r in rounds for a in (r.rows, r.values, r.theta)], images.device)
    for index, one in enumerate(rounds):
        rows, values, theta = there[3 * index : 3 * index + 3]
        for family, start, stop in one.spans:
            mine = rows[start:stop]
            part = images.index_select(0, mine)
            if family is Family.WARP:
                part = warp.sample(part, theta, fill)
            else:
                first, second = values[0, start:stop], values[1, start:stop]
                part = KERNELS[family](part, column(first), column(second))
            images.index_copy_(0, mine, part)
    return images


@dataclass(frozen=True)
class _Round:
    """One round, images sorted by family."""

    rows: np.ndarray
    """(R,) int64: images that change, by family."""
    values: np.ndarray
    """(2, R) float32."""
    theta: np.ndarray
    """(R', 2, 3) float32 of the images that move."""
    spans: list[tuple[Family, int, int]]
    """Family and its part of ``rows``."""

    @classmethod
    def of(cls, table: OpTable, draw: Draw, index: int, size_px: int) -> _Round:
        """Look up round ``index`` of a draw."""
        op, level, sign = draw.op[index], draw.level[index], draw.sign[index]
        family = np.where(op < 0, Family.IDENTITY, table.family[op])
        rows = np.argsort(family, kind="stable")
        rows = rows[family[rows] != Family.IDENTITY]
        op, level, sign, family = op[rows], level[rows], sign[rows], family[rows]
        values = table.values[op, level, sign].T.copy()
        free = table.free_threshold[op]
        values[0, free] = draw.threshold[index][rows][free]
        theta = sampling(table.moves[op, level, sign][family == Family.WARP], size_px)
        kinds, starts = np.unique(family, return_index=True)
        stops = np.append(starts, len(rows))[1:]
        spans = [(Family(k), int(a), int(b)) for k, a, b in zip(kinds, starts, stops, strict=True)]
        return cls(rows, values, theta, spans)
