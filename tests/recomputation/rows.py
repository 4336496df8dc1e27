"""The columns in which one cell of a printed table stands in a CSV file: docs/results-format.md."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .family import Verdict
from .formulas import Effect

Row = dict[str, Any]


def mean(name: str, values: Sequence[float]) -> Row:
    """A mean over seeds in its three columns."""
    if not len(values):
        return {name: None, f"{name}_sd": None, f"{name}_seeds": 0}
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {name: float(np.mean(values)), f"{name}_sd": sd, f"{name}_seeds": len(values)}


def effect(name: str, found: Effect | None) -> Row:
    """A difference in its three columns."""
    values = (found.mean, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def verdict(found: Verdict | None) -> Row:
    names = ("verdict", "dagger", "if_converges", "detail")
    if found is None:
        return dict.fromkeys(names)
    return dict(
        zip(names, (found.word, "yes" if found.dagger else "no", "no", found.detail or None), strict=True)
    )
