"""The columns in which one cell of a printed table stands in a CSV file: docs/results-format.md."""

from collections.abc import Sequence

import numpy as np

from .comparisons import Comparison
from .family import Verdict
from .formulas import LEVEL
from .records import Row


def mean(name: str, values: Sequence[float]) -> Row:
    """A mean over seeds in its three columns."""
    if not len(values):
        return {name: None, f"{name}_sd": None, f"{name}_seeds": 0}
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {name: float(np.mean(values)), f"{name}_sd": sd, f"{name}_seeds": len(values)}


def effect(name: str, one: Comparison | None, level: float = LEVEL, stem: str | None = None) -> Row:
    """A difference in its three columns; without ends where too few errors tell the arms apart."""
    stem = f"{name}_" if stem is None else stem
    keys = (name, f"{stem}low", f"{stem}high")
    if one is None or one.effect is None:
        return dict.fromkeys(keys)
    ends: tuple[float | None, float | None] = (None, None) if one.few else one.effect.ends(level)
    values = (one.effect.mean, *ends)
    if one.unit == "ratio":
        values = tuple(None if value is None else float(np.exp(value)) for value in values)
    return dict(zip(keys, values, strict=True))


def verdict(found: Verdict | None) -> Row:
    names = ("verdict", "dagger", "if_converges", "detail")
    if found is None:
        return dict.fromkeys(names)
    said = ("yes" if one else "no" for one in (found.dagger, found.if_converges))
    return dict(zip(names, (found.word, *said, found.detail or None), strict=True))
