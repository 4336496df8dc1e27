"""What a table of predictions comes to once nothing in it is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.elsewhere.files import Sheet
from bench.errors import MOST_LINE, cut, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Chosen = NDArray[np.bool_]

LOCAL = "local"
SHOWN = 10
"""Rows, or cells, that each kind of mistake names."""


@dataclass(frozen=True)
class Problem:
    """One kind of mistake, and where it was made.

    where   the first places, a line each
    count   of places
    """

    what: str
    where: tuple[str, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        shown = [f"    {cut(printable(line), MOST_LINE)}" for line in self.where[:SHOWN]]
        more = [f"    … and {self.count - SHOWN:,} more"] if self.count > SHOWN else []
        head = f"  {cut(printable(self.what), MOST_LINE)}" + (f" ({self.count:,})" if self.count else "")
        return "\n".join([head, *shown, *more])


@dataclass(frozen=True)
class Trial:
    """What one training run said: arm × seed, and with cross-validation × fold."""

    arm: str
    seed: int
    fold: int | None
    rows: Codes = field(compare=False)
    """Of the sheet, in the order of sets, images and conditions; empty where it diverged."""
    diverged: bool = False


@dataclass(frozen=True)
class Answers:
    """A sheet in which nothing is wrong. Codes (N,) number what its rows name."""

    sheet: Sheet
    sets: tuple[str, ...]
    """``local`` first where there is one, then as they come."""
    classes: tuple[str, ...]
    trials: tuple[Trial, ...]
    """Arm by arm, as they come, by seed and fold."""
    labels: Codes
    """(N,) number of each row's class."""
    answers: Codes | None
    """(N,) number of the class that was answered; None where there are probabilities."""
    set_of: Codes
    """(N,) which of ``sets``."""
    by_fold: frozenset[str] = frozenset()
    """Sets of which each fold has images of its own."""
