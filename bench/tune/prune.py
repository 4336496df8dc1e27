"""Cutting hopeless candidates short, in a way that can be repeated.

A pruner judges by candidates of earlier generations only, in their order, so what it says does not depend on
which of several trials happened to end first. What it cut is told from a trial's history alone: a candidate
that another study trained to its end counts here as cut at the same evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.candidates import Standing, usable
from bench.plan import Candidate
from bench.store import Record
from bench.study_file import Tune

History = Callable[[str], list[dict[str, Any]]]
Records = Mapping[str, Record | None]


@dataclass(frozen=True)
class Judged:
    """A candidate's standing under a pruner, and which of its trials are wanted next."""

    standing: Standing
    wanted: frozenset[str] = frozenset()


class Pruner(Protocol):
    """What a search asks about each candidate."""

    def judge(self, candidate: Candidate, records: Records, standing: Standing) -> Judged:
        """How the candidate stands, given how it would stand without a pruner."""


def pruner(tune: Tune, told: Sequence[Standing], history: History) -> Pruner:
    """The study's pruner, knowing what candidates of earlier generations did."""
    return Unpruned()


class Unpruned:
    """Every candidate is trained to its end."""

    def judge(self, candidate: Candidate, records: Records, standing: Standing) -> Judged:
        """As it stands; wanted is what has no usable record."""
        if standing.state != "missing":
            return Judged(standing)
        wanted = (trial.id for trial in candidate.trials if not usable(trial, records[trial.id]))
        return Judged(standing, frozenset(wanted))
