"""Augmentations, one family per file; ``pipeline`` puts them together. Importing this fills the registry."""

from bench.augment import geometry, randaugment

__all__ = ["geometry", "randaugment"]
