"""Corruptions of hidden sets, one kind per file; ``profiles`` says which image gets which.

Importing this fills the registry and imports neither NumPy nor torch.
"""

from bench.corruptions import blur, colour, digital, geometry, marks, noise, tone
from bench.corruptions.base import CORRUPTIONS_VERSION, Corruption

__all__ = [
    "CORRUPTIONS_VERSION",
    "Corruption",
    "blur",
    "colour",
    "digital",
    "geometry",
    "marks",
    "noise",
    "tone",
]
