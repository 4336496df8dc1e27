"""Tables as CSV: the numbers unrounded, taken apart, for other programs."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable, Iterator, Sequence

from bench.judge.findings import Document
from bench.judge.results import Results, Row
from bench.judge.tables import tables as of
from bench.judge.tables.table import Table
from bench.report.cells import names, parts


def tables(document: Document, *, cost: bool = True) -> dict[str, str]:
    """CSV text by table name. ``cost=False`` leaves out what may differ between equal results."""
    return {key: spell(lines(table.filed)) for key, table in of(document, cost=cost).items()}


def lines(table: Table) -> Iterator[Sequence[object]]:
    """Head and rows of a table."""
    head: list[str] = []
    for name in (name for column in table.columns for name in names(column)):
        head.append(f"{name} ({head.count(name) + 1})" if name in head else name)
    yield head
    for row in table.rows:
        yield [part for column in table.columns for part in parts(column, column.of(row))]


def spell(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return out.getvalue()


def results(found: Results, *, cost: bool = True) -> str:
    """``results.csv``, as ``spell`` has it; of 600,000 rows, what those of a trial share is spelled once."""

    def line(*cells: object) -> str:
        return spell([cells])[:-1]

    def kept(tail: Sequence[object]) -> Sequence[object]:
        return tail if cost else (tail[0], tail[2])  # without its seconds

    out = io.StringIO()
    out.write(line(*Row._fields[:8], *kept(Row._fields[8:])) + "\n")
    between = functools.cache(line)
    for head, every, tail in found.trials:
        before, after = line(*head), line(*kept(tail))
        for name, scores in every.items():
            values = ((metric, scores.get(metric)) for metric in found.metrics)
            told = ((metric, "" if value is None else f"{value:.10g}") for metric, value in values)
            out.writelines(f"{before},{between(name, metric)},{text},{after}\n" for metric, text in told)
    return out.getvalue()


def _cell(value: object) -> str:
    """A value as text; what a spreadsheet would run as a formula gets a quote in front."""
    if isinstance(value, float):  # first: most are
        return f"{value:.10g}"
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    text = str(value)
    return f"'{text}" if not isinstance(value, int) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
