"""Whether what was found is what a gate asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.judge.findings import Finding
from bench.study.gates import WORDS, Gate

ALIKE = {"no gain": ("no gain", "equivalent")}
"""Verdict → those that say it: what is equivalent brings no gain either."""


@dataclass(frozen=True)
class GateRow:
    """A gate, and what was found."""

    text: str
    passed: bool
    finding: Finding


def look(gate: Gate, findings: Iterable[Finding]) -> GateRow | None:
    """Whether a gate holds; None where nothing was found of what it is about."""
    found = next((f for f in findings if (f.arm, f.reference, f.metric) == gate.key), None)
    return None if found is None else judged(gate, found)


def judged(gate: Gate, finding: Finding) -> GateRow:
    """Whether a gate holds, by what was found of its comparison."""
    return GateRow(gate.text, holds(gate, finding.verdict), finding)


def holds(gate: Gate, verdict: str) -> bool:
    """Whether a verdict is what a gate asks for.

    Without a verdict none does, and what is unstable only where the gate says so: ``not harmful`` is no word
    on what was not judged.
    """
    named = [word for gate_word in gate.words for word in ALIKE.get(gate_word, (gate_word,))]
    is_one = verdict.startswith(tuple(named))
    if not gate.negated:
        return is_one
    return not is_one and not verdict.startswith("unstable") and _judged(verdict)


def _judged(verdict: str) -> bool:
    return verdict.startswith(WORDS)
