"""Training, validation, test: what people call the sides of a split that comes with their images."""

from __future__ import annotations

TRAIN, VAL, TEST = 0, 1, 2
"""Values of ``Images.split``."""
SPELLINGS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
"""In lower case."""


def side_of(word: str) -> int | None:
    """The side that a folder or a table calls ``word``, in any case; None: it is none."""
    return SPELLINGS.get(word.strip().lower())
