"""Host draws to the device: any number of small arrays in one copy that does not wait."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch

ALIGN = 16
"""Bytes; every array starts at a multiple, so that it can be viewed as its own type."""


def to_device(arrays: Sequence[np.ndarray], device: torch.device) -> list[torch.Tensor]:
    """The arrays as tensors on ``device``, float64 as float32.

    On a CPU they share memory. For a GPU they are packed into one pinned buffer, sent with one
    non-blocking copy and viewed there as what they were: one copy per draw, no kernel, no wait.

    arrays   any shapes; float32, float64, int64 or bool
    returns  tensors of the same shapes, in the same order
    """
    arrays = [np.ascontiguousarray(a, dtype=np.float32 if a.dtype == np.float64 else a.dtype) for a in arrays]
    if device.type == "cpu":
        return [torch.from_numpy(a) for a in arrays]
    packed = pack(arrays, pinned=torch.cuda.is_available())
    return unpack(packed.to(device, non_blocking=True), arrays)


def pack(arrays: Sequence[np.ndarray], pinned: bool) -> torch.Tensor:
    """Arrays of any shape as bytes of one tensor, each from a multiple of ALIGN; page-locked if asked."""
    starts = _starts(arrays)
    packed = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=pinned)
    host = packed.numpy()
    for array, start in zip(arrays, starts, strict=False):
        host[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    return packed


def unpack(packed: torch.Tensor, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """Views of ``pack``'s bytes with the types and shapes of ``arrays``; copies nothing."""
    return [
        packed[start : start + a.nbytes].view(torch.from_numpy(a).dtype).view(a.shape)
        for a, start in zip(arrays, _starts(arrays), strict=False)
    ]


def _starts(arrays: Sequence[np.ndarray]) -> list[int]:
    """Where each array, of any shape, begins, then the length of all, in bytes."""
    sizes = [-(-a.nbytes // ALIGN) * ALIGN for a in arrays]
    return [0, *itertools.accumulate(sizes)]


def column(values: torch.Tensor) -> torch.Tensor:
    """(B,) → (B, 1, 1, 1): one number per image, ready to broadcast."""
    return values.view(-1, 1, 1, 1)
