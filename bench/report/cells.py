"""How each kind of cell is spelled: in words where it is printed, in parts where a program reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.judge.findings import Called, Effect, Finding, Mean
from bench.judge.tables.table import TEXT, Column, Table

MINUS, DASH = "−", "–"
PARTS: dict[str, tuple[str, ...]] = {
    "verdict": ("verdict", "dagger", "if_converges"),
    "average": ("mean", "sd", "seeds"),
    "mean": ("mean", "sd", "seeds"),
    "within": ("mean", "sd", "seeds", "low", "high"),
    "effect": ("mean", "low", "high"),
}
"""What a value is taken apart into for programs: attributes of it, or of its interval."""


@dataclass(frozen=True)
class Cell:
    """One cell as it is printed."""

    column: Column
    value: Any
    words: str
    after: str

    @property
    def text(self) -> str:
        """All of it, unescaped."""
        return " ".join(filter(None, (self.words, self.after)))

    @property
    def is_text(self) -> bool:
        """Words, not a number."""
        return self.column.kind in TEXT

    @property
    def sorts(self) -> float | None:
        """The number that it is sorted by."""
        found = parts(self.column, self.value)[0]
        return None if found is None else float(found)

    @property
    def is_base(self) -> bool:
        """Names the baseline."""
        return isinstance(self.value, Called) and self.value.is_baseline


def rows(table: Table) -> Iterator[list[Cell]]:
    """Every row of a table that is shown."""
    for row in table.rows:
        values = ((column, column.of(row)) for column in table.columns)
        yield [Cell(column, value, words(column, value), column.after(row)) for column, value in values]


def words(column: Column, value: Any) -> str:
    """A value as it is printed everywhere."""
    if value is None:
        return column.missing
    if isinstance(value, Called):
        return value.name
    if isinstance(value, Finding):
        return value.verdict + "†" * value.dagger
    if isinstance(value, Effect):
        return effect(value)
    if isinstance(value, Mean):
        return mean(value, column)
    if column.kind == "chance":
        return chance(value)
    return number(column.times * value, column.digits) if column.kind == "number" else str(value)


def mean(value: Mean, column: Column) -> str:
    """``97.0 ± 0.4``, half an interval, or ``97.0 sd 0.3``; of less than all seeds ``97.0 ± 0.4 (3/5)``.

    ``95.2 [84.3, 100.0]`` where half an interval would lead off the scale.
    """
    if column.kind == "within" and value.interval:
        return _within(value.interval, column.times) + fewer(value)
    text = number(column.times * value.mean, column.digits)
    if column.kind == "mean" and value.sd is not None:
        text += f" sd {column.times * value.sd:.{column.digits}f}"
    return text + fewer(value)


def _within(found: Effect, times: float) -> str:
    """A mean with its interval, bound or ends."""
    digits = precision(found)
    middle, low = number(times * found.mean, digits), number(times * found.low, digits)
    if found.one_sided:
        return f"{middle} (≥ {low})"
    if found.ends:
        return f"{middle} [{', '.join(number(times * end, digits) for end in found.ends)}]"
    return f"{middle} ± {times * (found.high - found.low) / 2:.{digits}f}"


def fewer(value: Mean) -> str:
    """`` (3/5)`` behind a mean over fewer seeds than its arm has."""
    return f" ({value.seeds}/{value.planned})" if value.seeds < value.planned else ""


def effect(value: Effect) -> str:
    """``+12.1 [9.2, 15.0]`` points, ``×1.18 [1.10, 1.27]``; in another unit ``+0.121 [0.092, 0.150]``.

    Without an interval ``+0.2 (too few errors)``; with † where it is told from 0 by itself alone.
    """
    if value.unit == "ratio":
        return f"×{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
    scale, digits = 100 if value.unit == "points" else 1, precision(value)
    middle, low, high = (number(scale * part, digits) for part in (value.mean, value.low, value.high))
    sign = "+" if middle[0] != MINUS and middle.strip("0.") else ""
    span = "(too few errors)" if value.few else f"[{low}, {high}]"
    return f"{sign}{middle} {span}" + "†" * value.dagger


def span(value: Effect) -> str:
    """``between −0.8 and +3.1 points``: the ends of an interval alone."""
    if value.unit == "ratio":
        return f"between ×{value.low:.2f} and ×{value.high:.2f}"
    scale, digits = 100 if value.unit == "points" else 1, precision(value)
    ends = [number(scale * end, digits) for end in (value.low, value.high)]
    low, high = (end if end[0] == MINUS or not end.strip("0.") else f"+{end}" for end in ends)
    return f"between {low} and {high} {value.unit}"


def chance(value: float) -> str:
    """A probability in per cent, without the sign, never as certain: ``93``, ``over 99``, ``under 1``."""
    if 0.005 <= value < 0.995:
        return f"{100 * value:.0f}"
    return "over 99" if value > 0.5 else "under 1"


def precision(value: Effect) -> int:
    """One decimal, two where the interval is narrower than two points; else two digits of its width."""
    width = value.high - value.low
    if value.unit != "points":
        return max(0, 1 - math.floor(math.log10(width))) if width > 0 else 3
    return 2 if 0 < width < 0.02 else 1


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def number(value: float, digits: int = 0) -> str:
    """``4,007,548``, ``−0.50``; what rounds to zero has no sign."""
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and text.strip("0.") else text


def names(column: Column) -> list[str]:
    """Of the columns that a column is in a file for programs."""
    stem = f"{column.key}_" if column.stem is None else column.stem
    return [column.key, *(f"{stem}{part}" for part in PARTS.get(column.kind, ())[1:])]


def parts(column: Column, value: Any) -> list[Any]:
    """A value in as many parts as ``names`` has; not rounded."""
    if value is None or column.kind not in PARTS:
        return [value] * len(names(column))
    if isinstance(value, Effect) and value.few:
        return [value.mean, None, None]
    return [
        getattr(value if hasattr(value, part) else value.interval, part, None) for part in PARTS[column.kind]
    ]
