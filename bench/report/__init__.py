"""The report: a pure function of the study, its plan and its records. No device, no network, no images.

``build`` gathers numbers and verdicts into a Document; ``markdown`` and ``tables`` only spell it. Nothing
heavy is imported before a report is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.plan import PlanFile
    from bench.report.document import Document
    from bench.store import Store
    from bench.study import Study


def build(study: Study, plan: PlanFile, store: Store) -> Document:
    """Everything the report says, as numbers and plain text."""
    from bench.report import assemble

    return assemble.build(study, plan, store)


def markdown(document: Document, *, cost: bool = True) -> str:
    """The report as text. ``cost=False`` leaves out what may differ between equal results."""
    from bench.report import text

    return text.markdown(document, cost=cost)


def write_index(store: Store) -> Path:
    """Write ``index.md``: the studies of a folder, who looked at which hidden set. Returns its path."""
    from bench.report import index

    return index.write_index(store)


def render(study: Study, plan: PlanFile, store: Store, *, cost: bool = True) -> str:
    """The text of ``report.md``, without writing anything."""
    return markdown(build(study, plan, store), cost=cost)


def write_report(study: Study, plan: PlanFile, store: Store, *, cost: bool = True) -> Path:
    """Write ``report.md`` and ``tables/*.csv`` into the study's folder; returns the report's path."""
    from bench.report import tables

    document = build(study, plan, store)
    folder = store.study_dir(study.name)
    for name, text in tables.tables(document, cost=cost).items():
        store.write_text(folder / "tables" / f"{name}.csv", text)
    store.write_text(folder / "report.md", markdown(document, cost=cost))
    return folder / "report.md"
