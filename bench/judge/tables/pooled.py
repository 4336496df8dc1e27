"""The tables of a page on several data sets: their means, every data set's difference, what they are."""

from __future__ import annotations

from bench.judge.pooling import Cell, Part, PooledRow, Together
from bench.judge.tables.table import PERCENT, Column, Table, finding_columns


def tables(d: Together, *, cost: bool = True) -> dict[str, Table]:
    """By key, also of their files. ``cost=False``: without what may differ between equal results."""
    rows = [row for row in d.rows if cost or row.finding.metric != "cost.seconds"]
    return {"pooled": means(d, rows), "datasets": each(d, rows), "parts": parts(d)}


def means(d: Together, rows: list[PooledRow]) -> Table:
    """A row for each comparison."""
    columns = (
        Column("arm", "arm", "arm", lambda row: d.called(row.finding.arm)),
        Column("reference", "against", "arm", lambda row: d.called(row.finding.reference)),
        Column("metric", "metric", "text", lambda row: row.finding.metric),
        *finding_columns("mean Δ", lambda row: row.finding),
        Column("new_set", "Δ on a new data set", "effect", lambda row: row.new_set),
        Column("between", "τ", "number", _between, PERCENT),
        Column(
            "inconsistency", "I² %", "number", lambda row: row.mean and row.mean.inconsistency, PERCENT, 0
        ),
        Column("sets", "data sets", "text", lambda row: row.known),
    )
    note = (
        "Δ: arm minus reference, in points where the metric is a share. Mean: over data sets, weighed by "
        "what each of them tells (its noise, and how far data sets differ), with its 95 % interval, for "
        "data sets of which these are a sample. New data set: mean and 95 % prediction interval of the "
        "difference that many seeds would show on one more of the kind. τ: sd of the data sets' true "
        "differences, I²: share of what they differ by that noise within them does not explain; of a few "
        "data sets both are rough, and 0 is no proof that they are alike. A comparison that a data set "
        "does not tell has no mean. "
        f"Verdicts: Holm over {d.family} comparison{'s' * (d.family != 1)} of means; δ = {d.delta_local} "
        f"locally, {d.delta_hidden} on hidden sets. † its interval alone would say more."
    )
    return Table("Over all data sets", columns, rows, note)


def _between(row: PooledRow) -> float | None:
    return (
        row.mean.between if row.mean and row.finding.effect and row.finding.effect.unit == "points" else None
    )


def each(d: Together, rows: list[PooledRow]) -> Table:
    """A row for each comparison and data set."""

    def finding(pair: tuple[PooledRow, Cell]) -> object:
        return pair[1].finding

    columns = (
        Column("arm", "arm", "arm", lambda pair: d.called(pair[0].finding.arm)),
        Column("reference", "against", "arm", lambda pair: d.called(pair[0].finding.reference)),
        Column("metric", "metric", "text", lambda pair: pair[0].finding.metric),
        Column("dataset", "data set", "text", lambda pair: pair[1].part.name),
        *finding_columns("Δ there", lambda pair: pair[1].finding)[:2],
        Column("seeds", "seeds", "count", lambda pair: pair[1].finding and pair[1].finding.seeds),
        Column("weight", "weight %", "number", lambda pair: pair[1].weight, PERCENT, 0),
        Column("why_not", "why in no mean", "prose", lambda pair: pair[1].reason or None),
    )
    note = (
        "As each data set's own report tells it, with the verdict of that study. Weight: its share of the "
        "mean; none where there is no mean."
    )
    return Table("Every data set", columns, [(row, cell) for row in rows for cell in row.cells], note)


def parts(d: Together) -> Table:
    """A row for each data set."""
    columns = (
        Column(
            "dataset",
            "data set",
            "link",
            lambda part: (part.name, f"../{part.study}/report.md"),
            where="print",
        ),
        Column("name", "data set", "text", lambda part: part.name, where="file"),
        Column("study", "study", "text", lambda part: part.study),
        Column("source", "source", "text", lambda part: part.source or None),
        Column("trials", "trials ended", "text", lambda part: part.trials),
        Column("images", f"images of {d.primary.partition('.')[0]}", "text", lambda part: _images(part, d)),
    )
    return Table("Data sets", columns, list(d.parts), "Each is a study of its own, with its report.")


def _images(part: Part, d: Together) -> str | None:
    size = part.size(d.primary)
    return size.told if size else None
