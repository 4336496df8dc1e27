"""Which corruptions which image gets. Pure: a function of seed, family, severity and the image's id.

Imports no torch; NumPy only to draw.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.corruptions.families import kinds_of
from bench.streams import stream

if TYPE_CHECKING:
    import numpy as np

FEWEST, MOST = 2, 4
"""Operations of a ``heavy-mix``."""
ORDER = ("colour", "marks", "geometry", "blur", "tone", "noise", "digital")
"""Kinds in the order in which a picture comes about: stain, slide, stage, lens, light, camera, file.

Any other kind comes after these.
"""


class Operation(NamedTuple):
    """One corruption at one severity."""

    family: str
    severity: int
    """1 to 5."""

    def __str__(self) -> str:
        return f"{self.family}/{self.severity}"


def micro_c(families: Sequence[str], severities: Sequence[int]) -> tuple[Operation, ...]:
    """Every family at every severity: the conditions of a ``micro-c``, family by family."""
    return tuple(itertools.starmap(Operation, itertools.product(families, severities)))


def heavy_mix(
    seed: int, image_id: int, families: Sequence[str], severities: Sequence[int]
) -> tuple[Operation, ...]:
    """Operations of one image of a ``heavy-mix``, in the order they are applied.

    Two to four kinds are drawn from all kinds that ``families`` has, of each one family, for each a severity,
    all uniformly. So an image meets no kind twice.
    """
    rng = stream(seed, "corruption/heavy-mix", image_id)
    kinds = kinds_of(families)
    count = int(rng.integers(FEWEST, min(MOST, len(kinds)) + 1))
    drawn = sorted(rng.permutation(list(kinds))[:count], key=_place)
    chosen = []
    for kind in drawn:
        family = kinds[kind][int(rng.integers(len(kinds[kind])))]
        chosen.append(Operation(family, severities[int(rng.integers(len(severities)))]))
    return tuple(chosen)


def _place(kind: str) -> tuple[int, str]:
    return (ORDER.index(kind) if kind in ORDER else len(ORDER)), kind


def draws(seed: int, operation: Operation, image_id: int) -> np.random.Generator:
    """The generator of one operation on one image."""
    return stream(seed, f"corruption/{operation.family}/{operation.severity}", image_id)
