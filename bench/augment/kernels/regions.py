"""Masks of image regions, by comparing pixel positions: no indexing that depends on data."""

from __future__ import annotations

import numpy as np
import torch


def boxes(edges: torch.Tensor, size_px: int) -> torch.Tensor:
    """(B, 4) top, bottom, left, right (bottom and right excluded) → (B, 1, H, W) bool, true inside."""
    at = torch.arange(size_px, device=edges.device)
    top, bottom, left, right = edges[:, :, None].unbind(1)
    down, across = (at >= top) & (at < bottom), (at >= left) & (at < right)
    return (down[:, :, None] & across[:, None, :])[:, None]


def sides(edges: np.ndarray, size_px: int, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``paste`` needs of boxes (B, 4), made on the host: a few numbers per image.

    repeat   times each column follows itself: the channels of a channels-last image, else 1
    returns  weights of lines (B, H) and of columns (B, W · repeat), float32, 1 inside
    """
    at = np.arange(size_px)
    inside = (at >= edges[:, 0::2, None]) & (at < edges[:, 1::2, None])  # (B, 2, H)
    weights = inside.astype(np.float32)
    return weights[:, 0], weights[:, 1].repeat(repeat, 1)


def columns_repeat(images: torch.Tensor) -> int:
    """``repeat`` of ``sides`` for the memory format of these images (B, C, H, W)."""
    return 1 if images.is_contiguous() else images.shape[1]


def paste(
    images: torch.Tensor, others: torch.Tensor, down: torch.Tensor, across: torch.Tensor
) -> torch.Tensor:
    """``others`` inside the boxes, ``images`` outside, in their common memory format, bit for bit.

    Weights of 0 and 1, because on a CPU ``where`` and logical operations cost four times as much.

    images, others   (B, C, H, W)
    down, across     of ``sides``
    returns          (B, C, H, W), a new tensor
    """
    B, C, H, W = images.shape
    weight = down[:, :, None] * across[:, None, :]
    if images.is_contiguous():
        return torch.lerp(images, others, weight[:, None])
    # Channels last, a line is W · C numbers without a gap; a weight per pixel would make loops of C numbers.
    lines, other_lines = (x.permute(0, 2, 3, 1).reshape(B, H, W * C) for x in (images, others))
    return torch.lerp(lines, other_lines, weight).view(B, H, W, C).permute(0, 3, 1, 2)


def grid(period: torch.Tensor, side: torch.Tensor, start: torch.Tensor, size_px: int) -> torch.Tensor:
    """Squares of ``side`` repeated every ``period`` pixels from ``start`` (down, across).

    period, side (B,); start (B, 2)
    returns  (B, 1, H, W) bool, true inside a square
    """
    at = torch.arange(size_px, device=period.device)
    inside = torch.remainder(at - start[:, :, None], period[:, None, None]) < side[:, None, None]  # (B, 2, H)
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def paint(images: torch.Tensor, mask: torch.Tensor, fill: str) -> torch.Tensor:
    """Put black, or the mean colour of each image, where ``mask`` (B, 1, H, W) is true."""
    if fill == "black":
        return images.masked_fill(mask, 0.0)
    return torch.where(mask, images.mean((2, 3), keepdim=True), images)
