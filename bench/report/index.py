"""The index page of a results folder: its studies, and how often each hidden set was looked at."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plan import TEST, PlanFile, read_plan_file
from bench.report.text import md
from bench.store import Record, Store


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
        return len({trial.id for arm in self.plan.arms for trial in arm.trials})


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
        plan = read_plan_file(file)
        ids = dict.fromkeys(trial.id for arm in plan.arms for trial in arm.trials)
        records = {id: record for id in ids if (record := store.read(id))}
        found.append(Entry(plan, _question(file.parent / "study.toml"), records))
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
        for arm in entry.plan.arms:
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
    lines += ["", "## Looks at hidden sets", "", *_ledger(looks(studies))]
    return "\n".join(lines) + "\n"


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
