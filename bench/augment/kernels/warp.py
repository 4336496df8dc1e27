"""Moving pixels: one affine map and one bilinear sampling per image, or exact mirroring."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from bench.augment import matrices as mat
from bench.augment.base import Fill
from bench.augment.kernels.rows import on_chosen
from bench.augment.transfer import column, to_device

PADDING: dict[Fill, str] = {"black": "zeros", "edge": "border", "reflect": "reflection"}


def sample(images: torch.Tensor, theta: torch.Tensor, fill: Fill) -> torch.Tensor:
    """Bilinear sampling through one affine map per image.

    The grid is built from two broadcasts instead of ``affine_grid``'s matrix product.

    images   (B, C, H, W) float32
    theta    (B, 2, 3) float32, output → input in coordinates from −1 to 1 (``align_corners=False``)
    returns  (B, C, H, W), a new tensor
    """
    height, width = images.shape[-2:]
    x, y = _centres(width, images.device), _centres(height, images.device)
    rows = theta[:, :, 1, None] * y + theta[:, :, 2, None]  # (B, 2, H)
    columns = theta[:, :, 0, None] * x  # (B, 2, W)
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    torch.add(rows[:, 0, :, None], columns[:, 0, None, :], out=grid[..., 0])
    torch.add(rows[:, 1, :, None], columns[:, 1, None, :], out=grid[..., 1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=PADDING[fill], align_corners=False)


def _centres(count: int, device: torch.device) -> torch.Tensor:
    """Pixel centres from −1 + 1/count to 1 − 1/count, float32 of shape (count,)."""
    return torch.arange(1 - count, count, 2, device=device, dtype=torch.float32) / count


def mirror(images: torch.Tensor, flags: torch.Tensor, axis: int) -> torch.Tensor:
    """Mirror the flagged images, bit for bit. images (B, C, H, W), flags (B,) bool, axis 2 or 3."""
    return torch.where(column(flags), images.flip(axis), images)


def move(images: torch.Tensor, matrices: np.ndarray, fill: Fill) -> torch.Tensor:
    """Move every image by its matrix; images that stay are not touched, mirrored ones are exact.

    images   (B, C, H, W) float32; may be written into
    matrices (B, 3, 3) float64 on the host, input → output pixels
    returns  (B, C, H, W)
    """
    if mat.is_mirror(matrices):
        return _mirror_all(images, matrices)
    moved = (matrices != np.eye(3)).any((1, 2))
    theta = mat.sampling(matrices, images.shape[-1])
    return on_chosen(images, moved, [theta], lambda part, there: sample(part, there, fill))


def _mirror_all(images: torch.Tensor, matrices: np.ndarray) -> torch.Tensor:
    """(B, C, H, W) and (B, 3, 3) → (B, C, H, W), turned around where a scale is negative."""
    flags = matrices[:, [0, 1], [0, 1]].T < 0  # (2, B): left-right, top-bottom
    if not flags.any():
        return images
    (there,) = to_device([flags], images.device)
    for axis, row in ((3, 0), (2, 1)):
        if flags[row].any():
            images = mirror(images, there[row], axis)
    return images
