"""``bench status``: how studies stand, from their records, at any time, from any terminal. No torch."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import metrics
from bench.claims import at_work, told
from bench.errors import UserError
from bench.judge import whole
from bench.machine import Machine
from bench.plan import AGAIN, SHARED
from bench.planned import PlanFile, PlannedTrial, read_plan_file
from bench.progress.board import Cell, CellState
from bench.progress.screen import curve_rows, duration, grid_lines, running_rows
from bench.run.planning import lacks, store_of
from bench.store import Brief, Store
from bench.study.toml import kept


def status(
    studies: Sequence[Path],
    machine: Machine,
    *,
    as_json: bool,
    smoked: bool = False,
    curves: bool = False,
    check: bool = False,
) -> str:
    """done / little learned / diverged / failed (by cause) / missing of each study, and what runs now.

    With one study, its arms and trials too; with ``curves`` how running trials learn. All from ``plan.json``,
    the records and what a run at work says.

    check   read every file of every trial, also where the disk says that it has not changed
    """
    store = store_of(machine, smoked=smoked)
    if check:
        store.briefs.forget()
    asked = [path.stem for path in studies]
    names = [one for name in asked for one in parts_of(name, store) or (name,)]
    names = names or sorted([*planned(store), *whole.damaged(store)])
    runs = at_work(store.root)
    standing: dict[str, States] = {}
    damaged: dict[str, str] = {}
    for name in names:
        try:
            standing[name] = _standing(read_plan(name, store), store, runs, check)
            if os.path.lexists(copy := store.study_dir(name) / "study.toml"):
                kept(copy)  # a report is made of it
        except UserError as error:
            if len(names) == 1 and name not in standing:
                raise
            damaged[name] = str(error).partition("\n")[0]
    store.briefs.keep()
    if as_json:
        counts: dict[str, Any] = {name: _counts(of) for name, of in standing.items()}
        counts |= {name: {**counts.get(name, {}), "damaged": why} for name, why in damaged.items()}
        return json.dumps({"studies": counts, "running": runs}, indent=1, ensure_ascii=False)
    if not names and runs:
        return f"{store.root} holds no study yet; a run is at work that is still reading images and checking"
    if not names:
        return f"{store.root} holds no study yet; bench run STUDY makes one"
    width, height = shutil.get_terminal_size((100, 40))
    widest = max(map(len, names))
    told = {name: _sentence(_counts(of)) for name, of in standing.items()}
    told = {name: " · ".join(filter(None, [told.get(name), damaged.get(name)])) for name in names}
    lines = [f"{name:<{widest}}  {told[name]}" for name in names]
    if len(names) == 1:
        lines += ["", *grid_lines([cell for cell, _ in standing[names[0]]], width, height)]
    lines += [line for run in runs for line in _at_work(run, width, height)]
    if curves:
        trials = [trial for run in runs for trial in _trials(run)]
        lines += ["", *(curve_rows(trials, width) if runs else ["no run is at work in this folder"])]
    return "\n".join(lines)


def planned(store: Store) -> list[str]:
    """Names of the studies that have a folder of their own."""
    if not store.root.is_dir():
        return []
    return sorted(folder.name for folder in store.root.iterdir() if os.path.lexists(folder / "plan.json"))


def parts_of(name: str, store: Store) -> tuple[str, ...]:
    """As ``whole.parts``; none where that cannot be told: what is wrong is said when the study is read."""
    try:
        return whole.parts(name, store)
    except UserError:
        return ()


def read_plan(name: str, store: Store) -> PlanFile:
    """``plan.json`` of a study that was run. Raises UserError when it never was."""
    file = store.study_dir(name) / "plan.json"
    if not os.path.lexists(file):
        if parts := whole.parts(name, store):
            raise UserError(f"{name} has several data sets, and this is about one: {', '.join(parts)}")
        begun = at_work(store.root)
        hint = "a run is at work there, which may be about to" if begun else "bench run makes it"
        raise UserError(f"{store.root} holds no study {name!r}; {hint}")
    return read_plan_file(file)


States = list[tuple[Cell, str]]
"""Trials, and how each stands in words."""


def _standing(plan: PlanFile, store: Store, runs: Sequence[dict[str, Any]], whole: bool) -> States:
    """Every trial of a plan, candidates of its searches too. whole: as ``Store.lost`` has it"""
    running = {trial["trial"] for run in runs for trial in _trials(run)}
    arms = [(arm, "") for arm in plan.arms] + [(arm, SHARED) for arm in plan.shared]
    arms += [(plan.again, AGAIN)] if plan.again else []
    trials = [(arm.label + suffix, trial) for arm, suffix in arms for trial in arm.trials]
    trials += [
        (f"{search.arm}, tuning", trial)
        for search in plan.searches
        for candidate in search.tried
        for trial in candidate.trials
        if not search.ended or candidate.number not in search.pruned or store.brief(trial.id)
    ]
    standing, now = [], metrics.versions()
    for label, trial in trials:
        record = store.brief(trial.id)
        state: CellState = "running" if trial.id in running else _state(trial, record)
        words = _failure(record) if state == "failed" and record else state
        state = "missing" if words == "interrupted" else state  # it goes on where it was stopped
        if state == "done" and record and (names := lacks(record, now)):
            words = f"done without {', '.join(names)}"
        if record and state != "running" and (part := store.lost(record, whole=whole)):
            state, words = "missing", f"missing, for its {part} is gone or damaged"
        elif record and whole and state != "running" and store.weights_damaged(record):
            words = f"{words}, but its weights are damaged"
        standing.append((Cell(trial.id, label, state), words))
    return standing


def _state(trial: PlannedTrial, record: Brief | None) -> CellState:
    if record is None:
        return "missing"
    if record.status == "done" and any(key not in record.scores for key in trial.sets.values()):
        return "unscored"
    return "little learned" if record.little_learned else record.status


def _failure(record: Brief) -> str:
    """``failed (oom)``; what a person stopped did not fail."""
    return record.cause if record.cause == "interrupted" else f"failed ({record.cause})"


def _counts(standing: States) -> dict[str, int]:
    """Words → trials, candidates of searches apart."""
    counts: Counter[str] = Counter()
    for cell, words in standing:
        counts[("tuning: " if cell.arm.endswith(", tuning") else "") + words] += 1
    return dict(counts)


def _sentence(counts: dict[str, int]) -> str:
    return " · ".join(f"{count} {state}" for state, count in counts.items()) or "no trials yet"


def _trials(run: dict[str, Any]) -> list[dict[str, Any]]:
    """What a process at work says of the trials that it trains."""
    return list(run["running"])


def _at_work(run: dict[str, Any], width: int, height: int) -> list[str]:
    """What a process at work says of itself."""
    silent = time.time() - run["at"]
    heard = f" (last heard of {duration(silent)} ago)" if silent > run["lease_s"] else ""
    who = told(run["owner"])
    if run["title"] is None:
        return ["", f"running   {run['study'] or 'at its start'}: reading and checking ({who}){heard}"]
    left = "" if run["left_s"] is None else f", about {duration(run['left_s'])} left"
    ended, took = f"{run['ended']}/{run['total']}", duration(run["seconds"])
    head = f"running   {run['title']}: {ended} in {took}, {run['workers']} at once{left} ({who}){heard}"
    waits = [f"          {run['waits']}"] if run["waits"] else []
    return ["", head, *waits, *running_rows(_trials(run), width, height)]
