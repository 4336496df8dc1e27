"""What each arm changed."""

from __future__ import annotations

from bench.judge.findings import Document
from bench.judge.tables.table import Column, Table, arm_column


def table(d: Document, cost: bool) -> Table:
    """A row for each setting in which an arm differs from the baseline."""
    columns = (
        arm_column(d),
        Column("setting", "setting", "text", lambda change: change.setting),
        Column("baseline", "baseline", "prose", lambda change: change.baseline),
        Column("here", "here", "prose", lambda change: change.value),
    )
    return Table("What each arm changed", columns, d.changes)
