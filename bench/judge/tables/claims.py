"""The claims of the study, a row for each pair of arms that one compares."""

from __future__ import annotations

from bench.judge.findings import ClaimRow, Document, Finding
from bench.judge.tables.table import Column, Table, finding_columns


def table(d: Document, cost: bool) -> Table:
    """Pages tell the same in sentences."""
    columns = (
        Column("claim", "claim", "prose", lambda row: row[0].says),
        Column("expect", "expects", "text", lambda row: row[0].expect),
        Column("metric", "metric", "text", lambda row: row[0].metric),
        Column("outcome", "outcome", "text", lambda row: row[0].outcome),
        *(_side(d, of) for of in ("arm", "reference")),
        *finding_columns("Δ", lambda row: row[1])[:2],
        Column("detail", "detail", "prose", lambda row: row[1].detail if row[1] else "; ".join(row[0].notes)),
    )
    told = [claim for claim in d.claims if cost or not claim.costs]
    rows: list[tuple[ClaimRow, Finding | None]] = [(c, pair) for c in told for pair in c.pairs or (None,)]
    return Table("Claims", columns, rows)


def _side(d: Document, of: str) -> Column:
    return Column(of, of, "arm", lambda row: row[1] and d.called(getattr(row[1], of)))
