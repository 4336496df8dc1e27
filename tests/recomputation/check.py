"""Compares a report's tables with what its records say, cell by cell."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIGITS = 10  # significant ones of a number in tables/*.csv
FEWER = {"luck": 7, "p": 7}  # of what is integrated numerically


@dataclass
class Tally:
    """Of one table: cells that agree, cells that do not, cells about which nothing is known here."""

    name: str
    covered: int = 0
    mismatched: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)

    def compare(self, place: str, agrees: bool, printed: str, expected: Any) -> None:
        self.covered += 1
        if not agrees:
            self.mismatched.append(f"{place}: {printed!r}, from the records {expected!r}")

    def __str__(self) -> str:
        counts = (
            (self.covered, "covered"),
            (len(self.mismatched), "mismatched"),
            (len(self.uncovered), "uncovered"),
        )
        return f"{self.name:<32}" + "  ".join(f"{count:>6} {what}" for count, what in counts)


def same(printed: str, expected: Any, digits: int = DIGITS) -> bool:
    """Whether a cell of a CSV file is this value, to the digits it is written with."""
    if expected is None:
        return printed == ""
    if isinstance(expected, bool | str):
        return printed.removeprefix("'") == str(expected)
    try:
        value = float(printed)
    except ValueError:
        return False
    return math.isclose(value, expected, rel_tol=5.001 * 10.0**-digits, abs_tol=1e-13)


def check_csv(path: Path, expected: Callable[[], list[dict[str, Any]]] | None) -> Tally:
    """One file of tables/ against the rows that the records give."""
    tally = Tally(f"tables/{path.name}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        columns = next(reader)
        rows = list(reader)
    if expected is None:
        tally.uncovered += [f"row {i + 1}, {column}" for i in range(len(rows)) for column in columns]
        return tally
    wanted = expected()
    if len(rows) != len(wanted):
        tally.mismatched.append(f"{len(rows)} rows, from the records {len(wanted)}")
    for i, (row, want) in enumerate(zip(rows, wanted, strict=False)):
        for column, printed in zip(columns, row, strict=True):
            place = f"row {i + 1}, {column}"
            if column in want:
                tally.compare(
                    place, same(printed, want[column], FEWER.get(column, DIGITS)), printed, want[column]
                )
            else:
                tally.uncovered.append(place)
    return tally
