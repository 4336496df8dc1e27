"""A whole results folder: its studies, its best arms, and how often each hidden set was looked at."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import UserError
from bench.files import content_of
from bench.judge.findings import LOCAL, Mean
from bench.judge.tables.hidden import Looked
from bench.judge.tables.table import PERCENT, Column, Table
from bench.plan import TEST
from bench.planned import PlanFile, PlannedArm, PlannedTrial, read_plan_file
from bench.store import Brief, Store

MOST_PLACES = 20
"""Arms on one board."""


@dataclass(frozen=True)
class Entry:
    """One study of the folder."""

    plan: PlanFile
    question: str
    records: dict[str, Brief]
    """Id → record, of the study's trials that have one."""
    lost: frozenset[str] = frozenset()
    """Ids of those whose history or predictions are not as they were written, by their size."""

    def done(self, trial: PlannedTrial) -> Brief | None:
        """The record of a trial that finished and lost nothing since."""
        record = self.records.get(trial.id)
        whole = record is not None and record.status == "done" and trial.id not in self.lost
        return record if whole else None

    @property
    def planned(self) -> int:
        """Different trials of the study."""
        return len({trial.id for arm in self.arms for trial in arm.trials})

    @property
    def arms(self) -> list[PlannedArm]:
        """Arms that are scored on held-out sets: also those with shared values, and the baseline again."""
        return [*self.plan.arms, *self.plan.shared, *([self.plan.again] if self.plan.again else [])]


@dataclass(frozen=True)
class Look:
    """A study's looks at one hidden set."""

    key: str
    name: str
    study: str
    trials: frozenset[str]
    """Ids of the trials scored on it."""


def entries(store: Store) -> list[Entry]:
    """Every study that has a folder, by name."""
    return sound(store)[0]


def sound(store: Store) -> tuple[list[Entry], list[str]]:
    """Every study that has a folder, by name; and the folders of which the plan is damaged."""
    found, damaged = [], []
    for file in sorted(store.root.glob("*/plan.json")):
        try:
            plan = read_plan_file(file)
        except UserError:
            damaged.append(file.parent.name)
            continue
        found.append(_entry(plan, _question(file.parent / "study.toml"), store))
    return found, damaged


def _entry(plan: PlanFile, question: str, store: Store) -> Entry:
    entry = Entry(plan, question, {})
    ids = dict.fromkeys(trial.id for arm in entry.arms for trial in arm.trials)
    records = {id: record for id in ids if (record := store.brief(id))}
    lost = frozenset(id for id, record in records.items() if store.lost(record, whole=False))
    return replace(entry, records=records, lost=lost)


def looked(plan: PlanFile, store: Store) -> tuple[Looked, ...]:
    """How often one study looked at each of its hidden sets, from its own records alone."""
    entry = _entry(plan, "", store)
    return tuple(
        Looked(
            look.name,
            look.key,
            sum(any(trial.id in look.trials for trial in arm.trials) for arm in entry.arms),
            len(look.trials),
        )
        for look in looks([entry])
    )


def _question(file: Path) -> str:
    """A study file's question, without checking the rest of the file."""
    try:
        return str(tomllib.loads(content_of(file).decode()).get("question", ""))
    except (OSError, ValueError, RecursionError):  # of TOML and of UTF-8
        return "(its study.toml cannot be read)"


def looks(studies: Sequence[Entry]) -> list[Look]:
    """Who scored which hidden set how often, by key, then study. The local test set is nobody's secret."""
    found: dict[tuple[str, str, str], set[str]] = {}
    trials = ((entry, trial) for entry in studies for arm in entry.arms for trial in arm.trials)
    for entry, trial in trials:
        record = entry.records.get(trial.id)
        for name, key in trial.sets.items():
            if name != TEST and record is not None and key in record.scores:
                found.setdefault((key, entry.plan.study, name), set()).add(trial.id)
    return [Look(key, name, study, frozenset(ids)) for (key, study, name), ids in sorted(found.items())]


@dataclass(frozen=True)
class Place:
    """An arm on the board of one set."""

    data: str
    """Data fingerprint."""
    key: str
    name: str
    """The study's name for the set."""
    arm: str
    study: str
    accuracy: Mean
    local: Mean | None


def places(studies: Sequence[Entry]) -> list[Place]:
    """Every arm with a finished trial on every hidden set (the local one, where a study has no other).

    Arms of two studies that are the same trials have one place. Best first on each set.
    """
    found: dict[tuple[str, frozenset[str]], Place] = {}
    for entry in studies:
        for arm in entry.plan.arms:
            names = dict.fromkeys(name for trial in arm.trials for name in trial.sets)
            done = [trial for trial in arm.trials if entry.done(trial)]
            local = _mean(arm.trials, TEST, entry)
            for name in [name for name in names if name != TEST] or names:
                keys = {trial.sets[name] for trial in done if name in trial.sets}
                accuracy = _mean(arm.trials, name, entry)
                if accuracy is None or len(keys) > 1:  # folds are scored on other images each
                    continue
                key = keys.pop()
                place = Place(
                    entry.plan.data_fingerprint, key, name, arm.label, entry.plan.study, accuracy, local
                )
                found.setdefault((key, frozenset(trial.id for trial in done)), place)
    return sorted(found.values(), key=lambda p: (p.name, p.data, p.key, -p.accuracy.mean, p.study, p.arm))


def _mean(trials: Sequence[PlannedTrial], name: str, entry: Entry) -> Mean | None:
    def accuracy(trial: PlannedTrial) -> float | None:
        record = entry.done(trial)
        if record is None:
            return None
        return record.scores.get(trial.sets.get(name, ""), {}).get("accuracy")

    return Mean.over(map(accuracy, trials))


def studies_table(studies: Sequence[Entry]) -> Table:
    """A row for each study."""

    def ended(entry: Entry, *status: str) -> int:
        return sum(record.status in status for record in entry.records.values())

    columns = (
        Column("study", "study", "link", lambda e: (e.plan.study, f"{e.plan.study}/report.md")),
        Column("question", "question", "prose", lambda e: e.question),
        Column("trials", "trials", "text", lambda e: f"{ended(e, 'done', 'diverged')}/{e.planned}"),
        Column("failed", "failed", "count", lambda e: ended(e, "failed")),
        Column("diverged", "diverged", "count", lambda e: ended(e, "diverged")),
    )
    return Table("Studies", columns, studies)


def boards(found: Sequence[Place]) -> Iterator[Table]:
    """The best arms on each set, a table for each."""
    for (_, key), board in itertools.groupby(found, key=lambda place: (place.data, place.key)):
        rows = list(board)
        name = LOCAL if rows[0].name == TEST else rows[0].name
        columns = (
            Column("arm", "arm", "name", lambda place: place.arm),
            Column("study", "study", "text", lambda place: place.study),
            Column("accuracy", f"{name} %", "mean", lambda place: place.accuracy, PERCENT),
            Column("local", "local %", "mean", lambda place: place.local, PERCENT, missing="not scored"),
            Column("seeds", "seeds", "count", lambda place: place.accuracy.seeds),
        )
        more = f"{len(rows) - MOST_PLACES} more." if len(rows) > MOST_PLACES else ""
        table = Table(f"On {name} (content {key[:12]}):", columns, rows[:MOST_PLACES], more)
        yield table.ready(cost=True, over="seeds")


def looks_table(found: Sequence[Look]) -> Table:
    """A row for each study's looks at a hidden set."""

    def everyone(look: Look) -> int:
        return len(frozenset().union(*(other.trials for other in found if other.key == look.key)))

    columns = (
        Column("set", "hidden set", "name", lambda look: look.name),
        Column("content", "content", "text", lambda look: look.key[:12]),
        Column("study", "study", "text", lambda look: look.study),
        Column("scored", "trials scored", "count", lambda look: len(look.trials)),
        Column("all", "in all", "count", everyone),
    )
    return Table("Looks at hidden sets", columns, found)
