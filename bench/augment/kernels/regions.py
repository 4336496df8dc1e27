"""Masks of image regions, by comparing pixel positions: no indexing that depends on data."""

from __future__ import annotations

import torch


def boxes(edges: torch.Tensor, size_px: int) -> torch.Tensor:
    """(B, 4) top, bottom, left, right (bottom and right excluded) → (B, 1, H, W) bool, true inside."""
    down, across = _sides(edges, size_px)
    return (down[:, :, None] & across[:, None, :])[:, None]


def _sides(edges: torch.Tensor, size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines (B, H) and columns (B, W) of boxes (B, 4), bool."""
    at = torch.arange(size_px, device=edges.device)
    top, bottom, left, right = edges[:, :, None].unbind(1)
    return (at >= top) & (at < bottom), (at >= left) & (at < right)


def paste(images: torch.Tensor, others: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """``others`` inside the boxes, ``images`` outside, in their common memory format, bit for bit.

    Weights of 0 and 1, because on a CPU ``where`` and logical operations cost four times as much.

    images, others   (B, C, H, W)
    edges            (B, 4), as for ``boxes``
    returns          (B, C, H, W), a new tensor
    """
    B, C, H, W = images.shape
    down, across = (side.to(images.dtype) for side in _sides(edges, W))
    if images.is_contiguous():
        return torch.lerp(images, others, (down[:, :, None] * across[:, None, :])[:, None])
    # Channels last, a line is W · C numbers without a gap; a weight per pixel would make loops of C numbers.
    lines, other_lines = (x.permute(0, 2, 3, 1).reshape(B, H, W * C) for x in (images, others))
    weight = down[:, :, None] * across.repeat_interleave(C, 1)[:, None, :]
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
