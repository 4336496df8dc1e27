"""A split that lives on the device: one copy, then every batch is an index away."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.data.images import Samples

STATISTICS_BLOCK = 1024


class Resident:
    """Images of a split on a device as bytes, in channels-last order."""

    def __init__(self, samples: Samples, device: torch.device | str) -> None:
        self._pixels = torch.from_numpy(np.ascontiguousarray(samples.images)).to(device)
        """(N, H, W, C) uint8, contiguous: picking images then keeps channels last without a conversion."""
        self.labels = torch.from_numpy(np.ascontiguousarray(samples.labels)).to(device)
        """(N,) int64."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8, channels last: a view, not a copy."""
        return self._pixels.permute(0, 3, 1, 2)

    def batch(self, index: Tensor) -> Tensor:
        """Images at ``index`` (B,) int64 on the device: (B, C, H, W) float32 in [0, 1], channels last."""
        picked = self._pixels.index_select(0, index)
        return picked.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (population) of each channel: float32, shape (C,), on the host, 0 to 1.

        Counted from histograms of bytes, so exact and the same on every device. A channel without contrast
        gets one grey level as its deviation: it divides pixels.
        """
        channels = self._pixels.shape[3]
        counts = torch.zeros(channels, 256, dtype=torch.int64, device=self._pixels.device)
        for block in torch.split(self._pixels, STATISTICS_BLOCK):
            # channel by channel, as bytes: one count for all of them takes numbers eight times as wide
            for channel in range(channels):
                counts[channel] += torch.bincount(block[..., channel].flatten(), minlength=256)
        share = counts.cpu().double()
        share /= share.sum(1, keepdim=True)
        level = torch.arange(256, dtype=torch.float64) / 255
        mean = share @ level
        deviation = (share @ level.square() - mean.square()).clamp_min(0).sqrt()
        return mean.float(), deviation.clamp_min(1 / 255).float()
