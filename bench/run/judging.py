"""``bench judge``: predictions of others become records, and then the same report."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.claims import Presence
from bench.elsewhere.answers import Answers
from bench.elsewhere.asked import Found, beside, read_asked, study_of
from bench.elsewhere.check import Check
from bench.elsewhere.files import SUFFIXES, Sheet, read
from bench.elsewhere.records import SOURCE, Recorder
from bench.errors import UserError, printable
from bench.folders import check_writable
from bench.judge.used import as_used
from bench.machine import Machine
from bench.planned import PlanFile, PlannedTrial, read_plan_file
from bench.progress.terminal import Terminal
from bench.report import USUAL, main_file, views
from bench.run import declaring
from bench.run.conductor import Ending
from bench.run.gating import further_gate
from bench.run.joining import FOLDER, REPORT, having, refuse_foreign_folder
from bench.run.planning import TrialState, refuse_unjudged
from bench.store import Store, equal_view
from bench.study.patch import Tree
from bench.study.read import Study


@dataclass(frozen=True)
class Wanted:
    """How predictions are to be judged."""

    asked: Path | None = None
    """TOML file that says what is asked; None: the one beside them, if there is one."""
    name: str = ""
    """Of the study; empty: that of the file or folder."""
    gates: tuple[str, ...] = ()
    """Further gates, beside those of the TOML file."""


def judge(paths: Sequence[Path], machine: Machine, wanted: Wanted, terminal: Terminal) -> Ending:
    """Read predictions, record them, write the report. Raises UserError that lists all that is wrong."""
    started, name = time.perf_counter(), wanted.name or _name_of(paths)
    store = Store(machine.results)
    store.study_dir(name)  # refuses what cannot be one
    with terminal.waiting(f"{name}: reading predictions"):
        sheet = read(paths)
        file = beside(paths, wanted.asked)
        asked = read_asked(file)
        answers, text, study = _checked(sheet, asked, name, paths, file, terminal)
        refuse_unjudged(study, file or paths[0])
        gates = tuple(further_gate(gate, study) for gate in wanted.gates)
    if "baseline" not in asked and len(study.arms) > 1:
        where = _toml(paths, file)
        terminal.note(
            f"{name}: the baseline is {printable(study.baseline)}; `baseline` in {where} names another"
        )
    check_writable(store.root)
    with Presence(store.root, machine.lease_s) as presence:
        with having(FOLDER, presence, terminal, name), terminal.waiting(f"{name}: judging"):
            written, plan = _record(answers, study, text, paths, store, terminal)
        with having(REPORT, presence, terminal, name), terminal.waiting(f"{name}: writing the report"):
            made = views(study, plan, store, gates)
    states: Counter[TrialState] = Counter(
        "diverged" if trial.diverged else "done" for trial in answers.trials
    )
    report = store.study_dir(name) / main_file(USUAL)
    took = time.perf_counter() - started
    return Ending(report, states, written, took, list(made.failures), made.verdicts, made.gates)


def _name_of(paths: Sequence[Path]) -> str:
    if len(paths) > 1:
        raise UserError("several files make one study: give it a name, --name NAME, or put them in a folder")
    path = paths[0].resolve()
    called = path.stem if path.suffix in SUFFIXES else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", called).strip("-_") or called


def _toml(paths: Sequence[Path], file: Path | None) -> str:
    """The file in which more can be said."""
    return str(file or (paths[0].with_suffix(".toml") if len(paths) == 1 else "--with FILE.toml"))


def _checked(
    sheet: Sheet, asked: Tree, name: str, paths: Sequence[Path], file: Path | None, terminal: Terminal
) -> tuple[Answers, str, Study]:
    """What was predicted, and the study's text and meaning. Raises UserError with all mistakes of both."""
    check = Check(sheet, asked.get("local", "local"))
    answers = check.answers()
    called = paths[0].resolve().name if len(paths) == 1 else f"{len(sheet.files)} files"
    told = "\n".join(map(str, check.problems))
    count = "a mistake" if len(check.problems) == 1 else f"{len(check.problems)} kinds of mistakes"
    problems = [f"{called} has {count}, nothing was judged\n\n{told}"] if told else []
    arms = check.arms or ("-",)
    found = Found(
        name, called, arms, check.seeds or (0,), check.folds, check.sets or ("local",), check.grouped,
        probabilities=bool(sheet.classes),
    )  # fmt: skip
    try:
        text, study = study_of(asked, found, str(file or called))
    except UserError as error:
        raise UserError("\n\n".join([*problems, str(error)])) from None
    if answers is None:
        raise UserError("\n\n".join(problems))
    for note in check.notes:
        terminal.note(f"{name}: {note}")
    if not sheet.classes:
        terminal.note(f"{name}: without probabilities there is no AUC, calibration or log loss")
    return answers, text, study


def _record(
    answers: Answers, study: Study, text: str, paths: Sequence[Path], store: Store, terminal: Terminal
) -> tuple[int, PlanFile]:
    """Write what is new or was lost: how many trials, and the plan."""
    folder, recorder = store.study_dir(study.name), Recorder(answers, study)
    place = paths[0] if len(paths) == 1 else Path(os.path.commonpath([p.resolve() for p in paths]))
    made = list(recorder.records())
    trials: dict[str, list[PlannedTrial]] = {}
    for trial, (planned, _, _) in zip(answers.trials, made, strict=True):
        trials.setdefault(trial.arm, []).append(planned)
    plan = recorder.plan(trials, os.path.relpath(place.resolve(), store.root.resolve()))
    before = read_plan_file(folder / "plan.json") if (folder / "plan.json").is_file() else None
    _refuse_trained(before, study, store)
    refuse_foreign_folder(plan, place, store)
    if before is not None and before != plan:
        for line in _changes(before, plan):
            terminal.note(f"{study.name}: {line}")
    declared = declaring.keep(study, plan, store)
    if late := declaring.late(declared, study, store):
        terminal.note(late)
    written = 0
    for _, record, said in made:
        known = store.read(record.id)
        if known is None or equal_view(known) != equal_view(record) or store.lost(known, whole=True):
            store.write(record, history=[], predictions=said)
            written += 1
    store.write_text(folder / "study.toml", text)
    store.write_text(folder / "plan.json", plan.model_dump_json(indent=1) + "\n")
    return written, plan


def _refuse_trained(before: PlanFile | None, study: Study, store: Store) -> None:
    """Raise UserError when the folder holds a study that was trained here."""
    if before is not None and not _is_judged(before, store):
        raise UserError(
            f"{store.study_dir(study.name)} holds a study of that name that was trained here\n"
            f"    judge the predictions under another: --name {study.name}-judged"
        )


def _is_judged(before: PlanFile, store: Store) -> bool:
    """Whether none of its trials was trained here."""
    try:
        return as_used(before, store).elsewhere
    except UserError:  # its copy is lost or damaged, and written again by this very command
        records = (store.read(id) for id in before.ids)
        return all(record.source == SOURCE for record in records if record)


def _changes(before: PlanFile, now: PlanFile) -> Iterator[str]:
    """What was judged under this name the last time, and is otherwise now; a line each."""
    was, is_now = ({arm.label: arm.trials for arm in plan.arms} for plan in (before, now))
    for label in (label for label in was if label not in is_now):
        yield f"judged before with the arm {printable(label)}, which is gone"
    for label in (label for label in is_now if label not in was):
        yield f"the arm {printable(label)} is new"
    seeds = [sorted({trial.seed for trials in of.values() for trial in trials}) for of in (was, is_now)]
    if seeds[0] != seeds[1]:
        yield (
            f"judged before with {len(seeds[0])} seeds, now with {len(seeds[1])}: seeds that are added "
            "because of what a report said make it exploratory"
        )
    both = [label for label in is_now if label in was]
    old = {(label, t.seed, t.fold): t.id for label in both for t in was[label]}
    new = {(label, t.seed, t.fold): t.id for label in both for t in is_now[label]}
    changed = sum(new[at] != old[at] for at in new if at in old)
    if changed:
        yield f"{changed} of {len(new)} trials say something else than when they were judged before"
    if before.baseline != now.baseline:
        yield f"the baseline was {printable(before.baseline)}, it is {printable(now.baseline)} now"
