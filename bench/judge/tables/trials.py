"""Trials without a plain result, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.judge.findings import LOCAL, Document
from bench.judge.outcomes import Outcome, Outcomes
from bench.judge.tables.table import Column, Table, arm_column
from bench.plan import TEST


@dataclass(frozen=True)
class TrialNote:
    """A planned trial without a usable result, or with one that is a failure or shows little learned."""

    arm: str
    seed: int
    fold: int | None
    state: str
    text: str
    id: str


def table(d: Document, cost: bool) -> Table:
    """A row for each; none where every planned trial finished."""
    fold = Column("fold", "fold", "count", lambda note: note.fold)
    columns = (
        arm_column(d),
        Column("seed", "seed", "count", lambda note: note.seed),
        fold if d.rules.folds else replace(fold, where="file"),
        Column("state", "state", "text", lambda note: note.state),
        Column("why", "why", "prose", lambda note: note.text or None),
        Column("trial", "trial", "code", lambda note: note.id),
    )
    return Table("Trials without a plain result", columns, d.notes)


def notes(outcomes: Outcomes, unreadable: Mapping[str, str]) -> tuple[TrialNote, ...]:
    """Trials that are not done, that learned little, that cannot be compared, that miss a set's scores.

    unreadable   trial → why its predictions cannot be used
    """

    def not_compared(o: Outcome) -> tuple[str, str] | None:
        why = unreadable.get(o.planned.id)
        return ("done, not compared", why) if why else None

    return tuple(
        TrialNote(arm, *o.replicate, *told, o.planned.id)
        for tell in (_not_done, _little_learned, not_compared, _not_scored)
        for arm, trials in outcomes.items()
        for o in trials
        if (told := tell(o))
    )


def _not_done(o: Outcome) -> tuple[str, str] | None:
    """State and why."""
    if o.state == "done":
        return None
    if o.record is None:
        return o.state, o.reason
    state = f"failed ({o.record.cause})" if o.state == "failed" else o.state
    return state, (o.record.message or o.record.cause).strip()


def _little_learned(o: Outcome) -> tuple[str, str] | None:
    return ("done, little learned", o.little_learned) if o.little_learned else None


def _not_scored(o: Outcome) -> tuple[str, str] | None:
    if o.state != "done" or o.record is None:
        return None
    names = [
        LOCAL if name == TEST else name for name, key in o.planned.sets.items() if key not in o.record.scores
    ]
    return ("done, not scored", "not scored on " + ", ".join(names)) if names else None
