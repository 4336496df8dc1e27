"""Affine matrices on the host: pure NumPy, float64, one per image.

Pixels are counted from 0 and whole numbers are their centres; x runs right, y runs down; a matrix takes an
input pixel to its place in the output. This is Kornia's convention, and the tests compare with Kornia's
own classes.
"""

from __future__ import annotations

import numpy as np


def identity(count: int) -> np.ndarray:
    """(B, 3, 3): nothing moves."""
    return np.tile(np.eye(3), (count, 1, 1))


def about(linear: np.ndarray, centre_px: float) -> np.ndarray:
    """Apply ``linear`` around the point (centre, centre).

    linear   (B, 2, 2)
    returns  (B, 3, 3)
    """
    centre = np.full(2, centre_px)
    out = identity(len(linear))
    out[:, :2, :2] = linear
    out[:, :2, 2] = centre - linear @ centre
    return out


def middle(size_px: int) -> float:
    """The centre of an image, between its first pixel's centre (0) and its last one's (size − 1)."""
    return (size_px - 1) / 2


def mirror(across: np.ndarray, down: np.ndarray, size_px: int) -> np.ndarray:
    """(B,) bool left-right and (B,) bool top-bottom → (B, 3, 3)."""
    out = identity(len(across))
    out[:, 0, 0], out[:, 0, 2] = np.where(across, -1.0, 1.0), np.where(across, size_px - 1.0, 0.0)
    out[:, 1, 1], out[:, 1, 2] = np.where(down, -1.0, 1.0), np.where(down, size_px - 1.0, 0.0)
    return out


def rotation(degrees: np.ndarray, size_px: int) -> np.ndarray:
    """(B,) degrees, positive turns against the clock → (B, 3, 3) about the centre."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    return about(linear, middle(size_px))


def scaling(factor: np.ndarray, size_px: int) -> np.ndarray:
    """(B,) factor, above 1 enlarges → (B, 3, 3) about the centre."""
    return about(factor[:, None, None] * np.eye(2), middle(size_px))


def shearing(x: np.ndarray, y: np.ndarray, centre_px: float) -> np.ndarray:
    """(B,) and (B,) tangents of the angles along x and y → (B, 3, 3), in Kornia's order and sign."""
    linear = np.stack([np.stack([np.ones_like(x), -x], -1), np.stack([-y, 1 + x * y], -1)], -2)
    return about(linear, centre_px)


def translation(x_px: np.ndarray, y_px: np.ndarray) -> np.ndarray:
    """(B,) right and (B,) down, in pixels → (B, 3, 3)."""
    out = identity(len(x_px))
    out[:, 0, 2], out[:, 1, 2] = x_px, y_px
    return out


def only_where(mask: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(B,) bool, (B, 3, 3) → (B, 3, 3): identity where the mask is false."""
    return np.where(mask[:, None, None], matrices, np.eye(3))


def sampling(matrices: np.ndarray, size_px: int) -> np.ndarray:
    """What ``grid_sample(align_corners=False)`` needs: output → input, in coordinates from −1 to 1.

    matrices (B, 3, 3) input → output pixels
    returns  (B, 2, 3) float32
    """
    scale = 2 / size_px
    # Without aligned corners −1 and 1 are the outer edges, half a pixel beyond the first and last centre.
    to_unit = np.array([[scale, 0, scale / 2 - 1], [0, scale, scale / 2 - 1], [0, 0, 1]])
    return (to_unit @ np.linalg.inv(matrices) @ np.linalg.inv(to_unit))[:, :2].astype(np.float32)


def is_mirror(matrices: np.ndarray) -> bool:
    """Whether every matrix only mirrors or does nothing, so that no pixel needs interpolation. (B, 3, 3)."""
    return bool((np.abs(matrices[:, :2, :2]) == np.eye(2)).all() and _keeps_frame(matrices))


def _keeps_frame(matrices: np.ndarray) -> bool:
    """Whether offsets of (B, 3, 3) are those of mirror images: 0 where not mirrored, else one size."""
    diagonal = matrices[:, [0, 1], [0, 1]]
    offset = matrices[:, :2, 2]
    mirrored = offset[diagonal < 0]
    return bool((offset[diagonal > 0] == 0).all() and (mirrored == mirrored.max(initial=0)).all())
