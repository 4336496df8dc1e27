"""The index page of a results folder: its studies, and how often each hidden set was looked at."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.judge.findings import Mean
from bench.plan import TEST, PlanFile, PlannedArm, PlannedTrial, read_plan_file
from bench.report.text import md, mean
from bench.store import Record, Store

MOST_PLACES = 20
"""Arms on one board."""


@dataclass(frozen=True)
class Entry:
    """One study of the folder."""

    plan: PlanFile
    question: str
    records: dict[str, Record]
    """Id → record, of the study's trials that have one."""

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


def write_index(store: Store) -> Path:
    """Write ``index.md`` and return its path."""
    path = store.root / "index.md"
    store.write_text(path, markdown(entries(store)))
    return path


def entries(store: Store) -> list[Entry]:
    """Every study that has a folder, by name."""
    found = []
    for file in sorted(store.root.glob("*/plan.json")):
        entry = Entry(read_plan_file(file), _question(file.parent / "study.toml"), {})
        ids = dict.fromkeys(trial.id for arm in entry.arms for trial in arm.trials)
        records = {id: record for id in ids if (record := store.read(id))}
        found.append(replace(entry, records=records))
    return found


def _question(file: Path) -> str:
    """A study file's question, without checking the rest of the file."""
    try:
        return str(tomllib.loads(file.read_text("utf-8")).get("question", ""))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "(its study.toml cannot be read)"


def looks(studies: Sequence[Entry]) -> list[Look]:
    """Who scored which hidden set how often, by key, then study. The local test set is nobody's secret."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for entry in studies:
        for arm in entry.arms:
            for trial in arm.trials:
                record = entry.records.get(trial.id)
                for name, key in trial.sets.items():
                    if name != TEST and record is not None and key in record.scores:
                        found.setdefault((key, entry.plan.study, name), set()).add(trial.id)
    return [Look(key, name, study, frozenset(ids)) for (key, study, name), ids in sorted(found.items())]


def markdown(studies: Sequence[Entry]) -> str:
    """The page, always the same bytes."""
    lines = [
        "# Studies",
        "",
        "| study | question | trials | failed | diverged |",
        "| :-- | :-- | --: | --: | --: |",
    ]
    for entry in studies:
        states = [record.status for record in entry.records.values()]
        done = states.count("done") + states.count("diverged")
        cells = (
            f"[{md(entry.plan.study)}]({entry.plan.study}/report.md)",
            md(entry.question),
            f"{done}/{entry.planned}",
            str(states.count("failed")),
            str(states.count("diverged")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Best arms", "", *_boards(places(studies))]
    lines += ["", "## Looks at hidden sets", "", *_ledger(looks(studies))]
    return "\n".join(lines) + "\n"


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
            done = [t for t in arm.trials if (r := entry.records.get(t.id)) and r.status == "done"]
            local = _mean(done, TEST, entry)
            for name in [name for name in names if name != TEST] or names:
                keys = {trial.sets[name] for trial in done if name in trial.sets}
                accuracy = _mean(done, name, entry)
                if accuracy is None or len(keys) > 1:  # folds are scored on other images each
                    continue
                key = keys.pop()
                place = Place(
                    entry.plan.data_fingerprint, key, name, arm.label, entry.plan.study, accuracy, local
                )
                found.setdefault((key, frozenset(trial.id for trial in done)), place)
    return sorted(found.values(), key=lambda p: (p.name, p.data, p.key, -p.accuracy.mean, p.study, p.arm))


def _mean(trials: Sequence[PlannedTrial], name: str, entry: Entry) -> Mean | None:
    return Mean.over(
        entry.records[trial.id].scores.get(trial.sets.get(name, ""), {}).get("accuracy") for trial in trials
    )


def _boards(found: Sequence[Place]) -> list[str]:
    if not found:
        return ["No trial has finished."]
    lines = []
    for (_, key), board in itertools.groupby(found, key=lambda place: (place.data, place.key)):
        rows = list(board)
        called = "local" if rows[0].name == TEST else rows[0].name
        lines += [f"On {md(called)} (content {key[:12]}):", ""]
        lines += [f"| arm | study | {md(called)} % | local % | seeds |", "| :-- | :-- | --: | --: | --: |"]
        for row in rows[:MOST_PLACES]:
            cells = (md(row.arm), md(row.study), mean(row.accuracy), mean(row.local), str(row.accuracy.seeds))
            lines.append(f"| {' | '.join(cells)} |")
        more = [f"{len(rows) - MOST_PLACES} more.", ""]
        lines += ["", *(more if len(rows) > MOST_PLACES else [])]
    lines.append(
        "Mean accuracy ± sd over finished seeds, arms of different studies on the same images. No comparison:"
        " these arms differ in more than one thing, and the first of many is there by luck too. Verdicts are"
        " in the studies."
    )
    return lines


def _ledger(found: Sequence[Look]) -> list[str]:
    if not found:
        return ["No hidden set was scored."]
    lines = ["| hidden set | content | study | trials scored | in all |", "| :-- | :-- | :-- | --: | --: |"]
    for look in found:
        everyone = frozenset().union(*(other.trials for other in found if other.key == look.key))
        cells = (md(look.name), look.key[:12], md(look.study), str(len(look.trials)), str(len(everyone)))
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "A trial is scored once on a set. Each further trial that is compared on it, and each further study, "
        "makes the best of them look better than it is; whoever chooses by a hidden set needs another one to "
        "say how good the choice was. `in all` counts different trials over all studies.",
    ]
    return lines
