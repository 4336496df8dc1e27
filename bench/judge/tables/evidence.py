"""What verdicts rest on: the luck of seeds that each comparison saw itself, and the one that decides it."""

from __future__ import annotations

from bench.judge.findings import Document, Finding
from bench.judge.tables.table import PERCENT, Column, Table, arm_column, filed

NOTE = (
    "Of each declared comparison: the standard deviation over seeds of its difference, in points (of a "
    "cost, of its logarithm, in per cent), as its own seeds show it and as it decides. Comparisons on one "
    "metric share what they know of the luck of seeds and lend each other degrees of freedom "
    "(docs/method.md); one that is noisier than the others keeps its own. The shared one decides the "
    "verdict; the printed interval is the wider of the two, so that a verdict may be told although its "
    "interval reaches over the cut. Correlation: of the two arms over their common seeds; where there is "
    "none, pairing takes nothing away."
)


def table(d: Document, cost: bool) -> Table | None:
    """A row for each declared comparison that could be tested."""
    columns = (
        arm_column(d),
        Column("reference", "against", "arm", lambda f: d.called(f.reference)),
        Column("metric", "metric", "text", lambda f: f.metric),
        Column("sd", "sd over " + d.over, "number", lambda f: f.rests.own, PERCENT, 2),
        Column("deciding_sd", "the sd that decides", "number", lambda f: f.rests.deciding, PERCENT, 2),
        Column("freedom", "degrees of freedom", "number", lambda f: f.rests.freedom),
        Column("correlation", "correlation of pairs", "number", lambda f: f.rests.correlation, digits=2),
        filed("p", lambda f: f.rests.p),
        filed("shrunk", lambda f: f.shrunk.mean if f.shrunk else None),
        Column("seeds", "common " + d.over, "count", lambda f: f.seeds),
    )
    rows: list[Finding] = [f for f in d.comparisons if f.rests and (cost or f.metric != "cost.seconds")]
    return Table("What verdicts rest on", columns, rows, NOTE) if rows else None
