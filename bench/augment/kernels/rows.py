"""Work on some images of a batch without asking the device which."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.augment.transfer import to_device


def on_chosen(
    images: torch.Tensor, mask: np.ndarray, draws: list[np.ndarray], kernel: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Run ``kernel(images, *draws)`` on the images of ``mask``, after one copy; the others are not touched.

    images   (B, C, H, W); may be written into
    mask     (B,) bool on the host
    draws    each (B, …) on the host; the kernel gets the chosen rows of each as tensors
    returns  (B, C, H, W)
    """
    if not mask.any():
        return images
    rows = np.flatnonzero(mask)
    if len(rows) == len(images):
        return kernel(images, *to_device(draws, images.device))
    there, *chosen = to_device([rows, *(draw[rows] for draw in draws)], images.device)
    return images.index_copy_(0, there, kernel(images.index_select(0, there), *chosen))


def pick_rows(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) at ``rows`` (R,) int64 on the device → (R, C, H, W) in the same memory format.

    Whole images are copied as they lie; ``index_select`` would convert channels-last ones on the way.
    """
    if images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last):
        return images.index_select(0, rows)
    return images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
