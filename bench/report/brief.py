"""A Document's findings in a line each, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.judge.findings import Document, Finding
from bench.judge.gates import GateRow
from bench.report.cells import effect, span
from bench.report.naming import plain

if TYPE_CHECKING:
    from bench.judge.pooling import Together

MOST = 12


def verdicts(document: Document) -> tuple[str, ...]:
    """``flips: inconclusive, +6.4 [−3.0, 15.9] points on second-lab.accuracy``, a line for each finding."""
    return tuple(_first([_verdict(finding, document) for finding in document.findings]))


def means(document: Together) -> tuple[str, ...]:
    """The same of means over data sets, with what a new one would show."""
    lines = []
    for row in document.first:
        new = f"; on a new data set {span(row.new_set)}" if row.new_set else ""
        lines.append(f"{_verdict(row.finding, document)}{new}")
    return tuple(_first(lines))


def _first(lines: list[str]) -> list[str]:
    if len(lines) <= MOST:
        return lines
    return [*lines[: MOST - 1], f"… and {len(lines) - MOST + 1} more in the report"]


def gates(rows: Iterable[GateRow], document: Document) -> tuple[str, ...]:
    """A line for each gate that does not hold, and why."""
    lost = [row for row in rows if not row.passed]
    return tuple(f"{plain(row.text)} — {_verdict(row.finding, document)}" for row in lost)


def _verdict(finding: Finding, document: Document | Together) -> str:
    name, reference = (plain(document.called(label).name) for label in (finding.arm, finding.reference))
    words = f"{name}: {finding.verdict}{'†' if finding.dagger else ''}"
    if finding.effect:
        words += f", {'if it converges ' if finding.if_converges else ''}{effect(finding.effect)}"
        words += f" {finding.effect.unit}" if finding.effect.unit != "ratio" else ""
    words += f" on {plain(finding.metric)}" + (
        f" against {reference}" if finding.reference != document.baseline else ""
    )
    return words if finding.effect or not finding.detail else f"{words} ({plain(finding.detail)})"
