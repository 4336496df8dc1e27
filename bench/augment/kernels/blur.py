"""Separable convolution with a kernel for every image."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def separable(images: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Convolve rows and columns with each image's own symmetric kernel, mirrored at the border.

    images   (B, C, H, W) float32
    taps     (B, k) weights, k odd, (k − 1)/2 below H and W
    returns  (B, C, H, W) in [0, 1], a new tensor
    """
    B, C, H, W = images.shape
    reach = taps.shape[1] // 2
    kernels = taps.repeat_interleave(C, 0)
    planes = F.pad(images, (reach, reach, reach, reach), mode="reflect").reshape(1, B * C, H + 2 * reach, -1)
    planes = F.conv2d(planes, kernels[:, None, None, :], groups=B * C)
    planes = F.conv2d(planes, kernels[:, None, :, None], groups=B * C)
    return planes.view(B, C, H, W).clamp_(0, 1)
