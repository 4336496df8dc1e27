"""Would it help again? What one new run of each arm would differ by."""

from __future__ import annotations

from bench.judge.findings import Document, Finding
from bench.judge.tables.table import Column, Table, arm_column


def table(d: Document, cost: bool) -> Table | None:
    """A row for each declared comparison of two arms."""
    columns = (
        arm_column(d),
        Column("reference", "against", "arm", lambda f: d.called(f.reference)),
        Column("metric", "metric", "text", lambda f: f.metric),
        Column("new_runs", "Δ of one new run of each", "effect", lambda f: f.new_runs.effect),
        Column("better", "P(better), %", "chance", lambda f: f.new_runs.better),
        Column("seeds", "common " + d.over, "count", lambda f: f.seeds),
        Column("why_not", "why not", "prose", lambda f: f.new_runs.reason or None),
    )
    note = (
        "Of one new run of the arm and one of its reference, trained independently (other seeds, no pair), "
        "on images like these: mean difference and 95 % prediction interval, and the probability that the "
        "arm's run is the better one. Wider than the interval of an effect, which is about means over many "
        "runs: what helps on average may lose a single pair."
    )
    pairs = (f for f in d.comparisons if f.arms == 2)
    rows: list[Finding] = [f for f in pairs if cost or f.metric != "cost.seconds"]
    return Table("Would it help again?", columns, rows, note) if rows else None
