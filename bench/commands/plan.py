"""``bench plan`` and ``bench status``: what a study will train, how it stands. Without torch and pandas."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.board import MARKS
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Plan, PlanFile, Run, read_plan_file
from bench.run import State, prepare, states, store_of
from bench.screen import duration
from bench.store import Record, Store

LEGEND = "● done  ✗ diverged  ! failed  ◌ done, a set not scored  · to run"

Standing = list[tuple[Run, State, Record | None]]


def plan_text(path: Path, machine: Machine, smoked: bool) -> str:
    """Arms, trials and what is done, as a person reads it."""
    plan = prepare(path, machine, smoked=smoked)
    standing = states(plan, store_of(machine, smoked=smoked))
    study = plan.study
    counts = Counter(state for _, state, _ in standing)
    replicates = f"{study.folds.k} folds" if study.folds else f"{len(study.seeds)} seeds"
    distinct = len({run.trial.id for run in plan.runs})
    lines = [
        f"{study.name} — {study.question}",
        f"data      {_data_line(plan)}",
        f"hidden    {', '.join(f'{name} ({h.kind})' for name, h in study.hidden.items()) or 'none'}",
        f"arms      {len(study.arms)} (baseline: {study.baseline}) × {replicates} = {len(plan.runs)} trials"
        + (f", {distinct} different" if distinct < len(plan.runs) else ""),
        f"done      {_done_line(counts)}",
        f"decides   {study.primary}, {len(study.arms) - 1} comparisons",
        *_cost(standing),
        "",
        *_grid(plan, standing),
        "",
        LEGEND,
    ]
    return "\n".join(lines)


def _done_line(counts: Counter[State]) -> str:
    ended = counts["done"] + counts["diverged"]
    words: dict[State, str] = {
        "missing": "to run",
        "unscored": "to score on added sets",
        "failed": "failed (--retry)",
    }
    return " · ".join(
        [str(ended), *(f"{counts[state]} {what}" for state, what in words.items() if counts[state])]
    )


def _data_line(plan: Plan) -> str:
    data = plan.study.data
    parts = [
        data.source + (f", {data.n_images} drawings" if data.source == "synthetic" else ""),
        f"{data.size_px} px",
    ]
    parts.append("outliers dropped" if data.outliers == "drop" else "outliers kept")
    if data.limit:
        parts.append(f"at most {data.limit} to train and validate on")
    return " · ".join(parts)


def _cost(standing: Standing) -> list[str]:
    """What the missing trials will take, from finished trials of this study; nothing where there are none."""
    seconds: dict[str, list[float]] = {}
    for run, _, record in standing:
        if record is not None and record.status == "done":
            seconds.setdefault(run.arm, []).append(sum(record.seconds.values()))
    missing = [run.arm for run, state, _ in standing if state == "missing"]
    if not seconds or not missing:
        return []
    everywhere = [s for of_arm in seconds.values() for s in of_arm]
    total = sum(_mean(seconds.get(arm, everywhere)) for arm in missing)
    return [
        f"cost      about {duration(total)} of one worker's time (from {len(everywhere)} finished trials)"
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _grid(plan: Plan, standing: Standing) -> list[str]:
    """Arms down, replicates across, one mark each, and the ids' first digits."""
    arms = [arm.label for arm in plan.study.arms]
    width = min(48, max(map(len, arms)))
    by_arm: dict[str, list[tuple[Run, State]]] = {arm: [] for arm in arms}
    for run, state, _ in standing:
        by_arm[run.arm].append((run, state))
    names = [_replicate(run) for run, _ in by_arm[arms[0]]]
    columns = [max(2, len(name)) for name in names]
    head = (
        " " * width + "  " + " ".join(f"{n:<{c}}" for n, c in zip(names, columns, strict=True)) + "  trials"
    )
    lines = [head.rstrip()]
    for arm in arms:
        marks = " ".join(f"{MARKS[state]:<{c}}" for (_, state), c in zip(by_arm[arm], columns, strict=True))
        ids = " ".join(run.trial.id[:8] for run, _ in by_arm[arm][:6])
        more = " …" if len(by_arm[arm]) > 6 else ""
        shown = arm if len(arm) <= width else arm[: width - 1] + "…"
        lines.append(f"{shown:<{width}}  {marks}  {ids}{more}")
    return lines


def _replicate(run: Run) -> str:
    replicate = run.trial.replicate
    return f"s{replicate.seed}" if replicate.fold is None else f"f{replicate.fold}"


def plan_json(path: Path, machine: Machine, smoked: bool) -> str:
    """The same as data."""
    plan = prepare(path, machine, smoked=smoked)
    standing = states(plan, store_of(machine, smoked=smoked))
    trials = [_as_data(run, state) for run, state, _ in standing]
    about = {
        "study": plan.study.name,
        "baseline": plan.study.baseline,
        "primary": plan.study.primary,
        "trials": trials,
    }
    return json.dumps(about, indent=1, ensure_ascii=False)


def _as_data(run: Run, state: State) -> dict[str, Any]:
    replicate = run.trial.replicate
    sets = {scored.name: scored.key for scored in run.sets}
    return {
        "arm": run.arm,
        "seed": replicate.seed,
        "fold": replicate.fold,
        "id": run.trial.id,
        "state": state,
        "sets": sets,
    }


def status(studies: Sequence[Path], machine: Machine, *, as_json: bool) -> str:
    """done / diverged / failed (by cause) / missing of each study, from ``plan.json`` and the records."""
    store = Store(machine.results)
    names = [path.stem for path in studies] or planned(store)
    if not names and not as_json:
        return f"{machine.results} holds no study yet; bench run STUDY makes one"
    table = {name: _count(name, store) for name in names}
    if as_json:
        return json.dumps(table, indent=1)
    width = max(map(len, table))
    return "\n".join(f"{name:<{width}}  {_sentence(counts)}" for name, counts in table.items())


def planned(store: Store) -> list[str]:
    """Names of the studies that have a folder of their own."""
    if not store.root.is_dir():
        return []
    return sorted(folder.name for folder in store.root.iterdir() if (folder / "plan.json").is_file())


def read_plan(name: str, store: Store) -> PlanFile:
    """``plan.json`` of a study that was run. Raises UserError when it never was."""
    file = store.study_dir(name) / "plan.json"
    if not file.is_file():
        raise UserError(f"{store.root} holds no study {name!r}; bench run makes it")
    return read_plan_file(file)


def _count(name: str, store: Store) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for arm in read_plan(name, store).arms:
        for trial in arm.trials:
            record = store.read(trial.id)
            if record is None:
                counts["missing"] += 1
            elif record.status == "failed":
                counts[f"failed ({record.cause})"] += 1
            else:
                counts[record.status] += 1
                counts["sets not scored"] += sum(key not in record.scores for key in trial.sets.values())
    return {state: count for state, count in counts.items() if count}


def _sentence(counts: dict[str, int]) -> str:
    return " · ".join(f"{count} {state}" for state, count in counts.items())
