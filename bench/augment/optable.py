"""Operations of RandAugment and its relatives as numbers: a family, and a strength per level and sign.

A policy draws (operation, level, sign) per image; the table turns the draw into what the kernels need, on
the host.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.augment import matrices as mat

SIGNED = frozenset(
    {"rotate", "shear-x", "shear-y", "translate-x", "translate-y"}
    | {"brightness", "color", "contrast", "sharpness"}
)
"""Operations whose strength is turned round for half of the images."""
GEOMETRIC = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
STANDARD = (
    *("identity", "autocontrast", "equalize", "rotate", "solarize", "color", "posterize"),
    *("contrast", "brightness", "sharpness", "shear-x", "shear-y", "translate-x", "translate-y"),
)
"""The 14 of the RandAugment paper (section 3) and of torchvision."""
AUGMIX = ("autocontrast", "equalize", "posterize", "solarize", *GEOMETRIC)
"""The nine of the AugMix paper."""
CORNER = -0.5
"""The corner of the first pixel: shears leave it in place, as AutoAugment's (1, level, 0, 0, 1, 0) does."""


class Family(enum.IntEnum):
    """Kernels that share their arithmetic; the order in which one round runs them."""

    IDENTITY = 0
    AFFINE = enum.auto()
    CONTRAST = enum.auto()
    COLOUR = enum.auto()
    SATURATION = enum.auto()
    AUTO_CONTRAST = enum.auto()
    SOLARIZE = enum.auto()
    POSTERIZE = enum.auto()
    EQUALIZE = enum.auto()
    SHARPNESS = enum.auto()
    WARP = enum.auto()


@dataclass(frozen=True)
class OpTable:
    """N operations at L levels and two signs (0: as given, 1: turned round)."""

    names: tuple[str, ...]
    family: np.ndarray
    """(N,) int64, a Family each."""
    values: np.ndarray
    """(N, L, 2, 2) float32: the kernel's two strengths."""
    moves: np.ndarray
    """(N, L, 2, 3, 3) float64: input → output pixels; identity unless the family is WARP."""
    free_threshold: np.ndarray
    """(N,) bool: the first strength is drawn for every image, uniform in [0, 1] (solarize_add)."""

    @property
    def levels(self) -> int:
        """How many strengths each operation has."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Strengths:
    """Distance from the identity at each of L levels, all arrays (L,)."""

    shear: np.ndarray
    """Pixels sideways per pixel down."""
    translate_px: np.ndarray
    rotate_degrees: np.ndarray
    tone: np.ndarray
    """Brightness, colour, contrast and sharpness: the factor's distance from 1."""
    bits: np.ndarray
    """Bits that posterize keeps."""
    solarize: np.ndarray
    """8-bit value from which solarize inverts; 256 inverts nothing."""


def randaugment_strengths(size_px: int, bins: int = 31) -> Strengths:
    """torchvision's space: 31 levels from 0; translation up to 150/331 of the size, in whole pixels."""
    ramp = np.linspace(0, 1, bins)
    return Strengths(
        shear=0.3 * ramp,
        # A hair more, so that a whole number that came out just below itself is not cut to the one before.
        translate_px=np.trunc(np.float32(150 / 331 * size_px) * ramp + 1e-5),
        rotate_degrees=30 * ramp,
        tone=0.9 * ramp,
        bits=np.round(8 - 4 * ramp),
        solarize=255 * (1 - ramp),
    )


def trivial_strengths(bins: int = 31) -> Strengths:
    """TrivialAugmentWide's space (torchvision): translation up to 32 pixels whatever the size."""
    ramp = np.linspace(0, 1, bins)
    return Strengths(
        shear=0.99 * ramp,
        translate_px=np.trunc(32 * ramp + 1e-5),
        rotate_degrees=135 * ramp,
        tone=0.99 * ramp,
        bits=np.round(8 - 6 * ramp),
        solarize=255 * (1 - ramp),
    )


def augmix_strengths(severity: int, size_px: int, steps: int = 30) -> Strengths:
    """The published code's: a level from 0.1 to the severity, in tenths of the largest strength.

    Whole numbers are cut off where that code cuts them off; the level is the middle of one of ``steps``
    steps.
    """
    level = (0.1 + (severity - 0.1) * (np.arange(steps) + 0.5) / steps) / 10
    return Strengths(
        shear=0.3 * level,
        translate_px=np.trunc(size_px / 3 * level),
        rotate_degrees=np.trunc(30 * level),
        tone=np.zeros(steps),
        bits=4 - np.trunc(4 * level),
        solarize=256 - np.trunc(256 * level),
    )


def table(names: Sequence[str], strengths: Strengths, size_px: int) -> OpTable:
    """The table of the named operations at these strengths."""
    levels = len(strengths.tone)
    values = np.zeros((len(names), levels, 2, 2), np.float32)
    moves = np.tile(np.eye(3), (len(names), levels, 2, 1, 1))
    for index, name in enumerate(names):
        for sign in (0, 1):
            turned = -1.0 if sign and name in SIGNED else 1.0
            if name in GEOMETRIC:
                moves[index, :, sign] = _moves(name, strengths, turned, size_px)
            else:
                values[index, :, sign] = _values(name, strengths, turned)
    family = np.array([_FAMILIES[name] for name in names], np.int64)
    return OpTable(tuple(names), family, values, moves, np.zeros(len(names), bool))


_FAMILIES: dict[str, Family] = {
    "identity": Family.IDENTITY,
    "autocontrast": Family.AUTO_CONTRAST,
    "equalize": Family.EQUALIZE,
    "solarize": Family.SOLARIZE,
    "color": Family.COLOUR,
    "posterize": Family.POSTERIZE,
    "contrast": Family.CONTRAST,
    "brightness": Family.AFFINE,
    "sharpness": Family.SHARPNESS,
} | dict.fromkeys(GEOMETRIC, Family.WARP)


@functools.cache
def randaugment_table(names: tuple[str, ...], size_px: int) -> OpTable:
    """RandAugment's 31 levels of the named operations."""
    return table(names, randaugment_strengths(size_px), size_px)


@functools.cache
def trivial_table(size_px: int) -> OpTable:
    """TrivialAugment's 31 levels of the standard operations."""
    return table(STANDARD, trivial_strengths(), size_px)


@functools.cache
def augmix_table(severity: int, size_px: int) -> OpTable:
    """AugMix's levels of its nine operations."""
    return table(AUGMIX, augmix_strengths(severity, size_px), size_px)


def _moves(name: str, strengths: Strengths, sign: float, size_px: int) -> np.ndarray:
    """(L, 3, 3) of one geometric operation."""
    shear, distance = sign * strengths.shear, sign * strengths.translate_px
    if name == "rotate":
        return mat.rotation(sign * strengths.rotate_degrees, size_px)
    none = np.zeros_like(shear)
    if name == "shear-x":
        return mat.shearing(shear, none, CORNER)
    if name == "shear-y":
        return mat.shearing(none, shear, CORNER)
    return mat.translation(distance, none) if name == "translate-x" else mat.translation(none, distance)


def _values(name: str, strengths: Strengths, sign: float) -> np.ndarray:
    """(L, 2) kernel strengths of one operation on values."""
    none = np.zeros_like(strengths.tone)
    if name in SIGNED:
        return np.stack([1 + sign * strengths.tone, none], -1)
    if name == "solarize":
        return np.stack([threshold(strengths.solarize), none], -1)
    if name == "posterize":
        step = np.where(strengths.bits >= 8, 0, 2 ** (8 - strengths.bits))
        return np.stack([step, none + 0.5], -1)
    return np.stack([none + 0.5 * (name == "equalize"), none], -1)


def threshold(eight_bit: np.ndarray) -> np.ndarray:
    """8-bit thresholds → the same for [0, 1], any shape, half a level lower: 8-bit values compare exactly."""
    return (np.ceil(eight_bit - 1e-4) - 0.5) / 255
