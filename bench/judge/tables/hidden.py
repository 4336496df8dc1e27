"""How often this study looked at each hidden set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.judge.findings import Document, Finding
from bench.judge.tables.table import Column, Table, filed

LOOKED = (
    "A trial is scored once on a set. Each further trial that is compared on it, and each further study, "
    "makes the best of them look better than it is; whoever chooses by a hidden set needs another one to "
    "say how good the choice was."
)
"""What looks cost."""


@dataclass(frozen=True)
class Looked:
    """A study's looks at one hidden set."""

    set: str
    key: str
    arms: int
    """Arms of which a trial was scored on it; the baseline again, and arms with shared values, are others."""
    trials: int


def table(d: Document, cost: bool) -> Table | None:
    """A row for each hidden set that was scored; with folds for each fold's."""
    columns = (
        Column("set", "hidden set", "name", lambda row: row.set),
        filed("key", lambda row: row.key),
        Column("content", "content", "text", lambda row: row.key[:12], where="print"),
        Column("arms", "arms", "count", lambda row: row.arms),
        Column("trials", "trials scored", "count", lambda row: row.trials),
        Column("comparisons", "declared comparisons", "count", lambda row: _declared(d.comparisons, row.set)),
    )
    note = (
        f"{LOOKED} Counted is this study, with arms that were trained again or with shared values; how often "
        "others of the results folder scored the same set stands in its index.md."
    )
    rows = sorted(d.looked, key=lambda row: d.sets.index(row.set))
    return Table("Looks at hidden sets", columns, rows, note) if rows else None


def _declared(comparisons: Iterable[Finding], name: str) -> int:
    """Comparisons on a score of the set, or on the gap to it."""
    return sum(f.metric == f"gap.{name}" or f.metric.partition(".")[0] == name for f in comparisons)
