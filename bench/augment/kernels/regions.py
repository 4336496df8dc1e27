"""Masks of image regions, by comparing pixel positions: no indexing that depends on data."""

from __future__ import annotations

import torch


def boxes(edges: torch.Tensor, size_px: int) -> torch.Tensor:
    """(B, 4) top, bottom, left, right (bottom and right excluded) → (B, 1, H, W) bool, true inside."""
    at = torch.arange(size_px, device=edges.device)
    top, bottom, left, right = edges[:, :, None].unbind(1)
    down = (at >= top) & (at < bottom)
    across = (at >= left) & (at < right)
    return (down[:, :, None] & across[:, None, :])[:, None]


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
