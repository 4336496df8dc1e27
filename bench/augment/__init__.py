"""Augmentations, one family per file; ``pipeline`` puts them together. Importing this fills the registry."""

from bench.augment import (
    augmix,
    blur,
    colour,
    combine,
    erase,
    geometry,
    kornia_classes,
    mixing,
    noise,
    randaugment,
    trivialaugment,
)

__all__ = [
    "augmix",
    "blur",
    "colour",
    "combine",
    "erase",
    "geometry",
    "kornia_classes",
    "mixing",
    "noise",
    "randaugment",
    "trivialaugment",
]
