"""Kornia's RandAugment: its operations as a table, filled by asking Kornia."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.augment.optable import Family, OpTable

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
FAMILIES: dict[str, Family] = {
    "auto_contrast": Family.AUTO_CONTRAST,
    "equalize": Family.EQUALIZE,
    "invert": Family.AFFINE,
    "posterize": Family.POSTERIZE,
    "solarize": Family.SOLARIZE,
    "solarize_add": Family.SOLARIZE,
    "color": Family.SATURATION,
    "contrast": Family.AFFINE,
    "brightness": Family.AFFINE,
    "sharpness": Family.SHARPNESS,
} | dict.fromkeys(GEOMETRIC, Family.WARP)
ALWAYS = 2.0
"""A threshold that no value reaches."""


def kornia_table(magnitude: int, size_px: int) -> OpTable:
    """The 15 operations of ``kornia.augmentation.auto.RandAugment`` at one magnitude (0 < m < 30), one level.

    Kornia draws signs from torch's global generator while it is asked; that generator is put back as it was.
    """
    from kornia.augmentation.auto.rand_augment import ops
    from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

    entries = [policy[0] for policy in default_policy]
    names = tuple(name for name, _, _ in entries)
    values = np.zeros((len(names), 1, 2, 2), np.float32)
    moves = np.tile(np.eye(3), (len(names), 1, 2, 1, 1))
    with torch.random.fork_rng(devices=[]):
        for index, (name, low, high) in enumerate(entries):
            operation = getattr(ops, name)(low, high)
            parameters = _parameters(operation, magnitude, size_px)
            if name in GEOMETRIC:
                moves[index, 0] = _moves(operation, parameters, size_px)
            else:
                values[index, 0] = _values(name, parameters)
    family = np.array([FAMILIES[name] for name in names], np.int64)
    return OpTable(names, family, values, moves, np.array([name == "solarize_add" for name in names]))


def _parameters(operation: Any, magnitude: int, size_px: int) -> dict[str, torch.Tensor]:
    """One image's parameters, of shape (1,) each, by the rule of Kornia's RandAugment.forward_parameters."""
    strength = None
    if operation.magnitude_range is not None:
        low, high = operation.magnitude_range
        share = magnitude / 30
        share = 1 - share if operation._factor_name == "bits_factor" else share
        strength = torch.tensor([share * float(high - low) + low])
        if operation._factor_name in ("translate_x", "translate_y"):
            strength = strength * size_px
    drawn: dict[str, torch.Tensor] = operation.forward_parameters(
        torch.Size((1, 3, size_px, size_px)), mag=strength
    )
    return drawn


def _moves(operation: Any, parameters: dict[str, torch.Tensor], size_px: int) -> np.ndarray:
    """(2, 3, 3): Kornia's matrix with the strength positive, then negative."""
    image = torch.zeros(1, 3, size_px, size_px)
    out = np.tile(np.eye(3), (2, 1, 1))
    for sign, factor in enumerate((1, -1)):
        given = {key: value.clone() for key, value in parameters.items()}
        given[operation._factor_name] = given[operation._factor_name].abs() * factor
        matrix = operation.op.generate_transformation_matrix(image, given, operation.op.flags)
        out[sign, :2] = matrix[0, :2].numpy()
    return out


def _values(name: str, parameters: dict[str, torch.Tensor]) -> tuple[float, float]:
    """The kernel's two strengths for one of Kornia's operations on values; parameters have shape (1,)."""
    if name == "posterize":
        bits = int(parameters["bits_factor"][0])
        return (0.0 if bits >= 8 else 2.0 ** (8 - bits), 0.0)
    if name == "brightness":  # Kornia's brightness adds
        return 1.0, float(parameters["brightness_factor"][0]) - 1
    if name == "solarize_add":  # its threshold is drawn for every image
        return ALWAYS, float(parameters["additions"][0])
    fixed = {"auto_contrast": (1e-6, 0.0), "equalize": (0.0, 0.0), "invert": (-1.0, 1.0)}
    keys = {"solarize": "thresholds", "color": "saturation_factor", "contrast": "contrast_factor"}
    if name in fixed:
        return fixed[name]
    return float(parameters[keys.get(name, name)][0]), 0.0
