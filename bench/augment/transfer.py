"""Host draws to the device: any number of small arrays in one copy that does not wait."""

from __future__ import annotations

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
    starts = np.cumsum([0] + [-(-a.nbytes // ALIGN) * ALIGN for a in arrays])
    packed = torch.empty(int(starts[-1]), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
    host = packed.numpy()
    for array, start in zip(arrays, starts, strict=False):
        host[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    there = packed.to(device, non_blocking=True)
    return [
        there[start : start + a.nbytes].view(torch.from_numpy(a).dtype).view(a.shape)
        for a, start in zip(arrays, starts, strict=False)
    ]


def column(values: torch.Tensor) -> torch.Tensor:
    """(B,) → (B, 1, 1, 1): one number per image, ready to broadcast."""
    return values.view(-1, 1, 1, 1)
