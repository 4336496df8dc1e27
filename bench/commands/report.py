"""``bench report``: reports from records alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.commands.status import planned, read_plan
from bench.errors import UserError
from bench.machine import Machine
from bench.run import SMOKE_FOLDER
from bench.smoke import smoke
from bench.store import Store
from bench.study import Study, parse


def reports(studies: Sequence[str], machine: Machine, *, check: bool, no_cost: bool, reference: bool) -> int:
    """Write (or check, or print without costs) the reports; return how many are stale.

    reference   with check and no study named: look at the committed results instead
    A name that ends in ``.toml`` or holds a slash is a file: its stem names the study.
    """
    store = Store(machine.results)
    if check and not studies and reference:
        store = Store(machine.results / "reference")
    names = [Path(name).stem if name.endswith(".toml") else name for name in studies] or planned(store)
    if not names and not check:
        raise UserError(f"{store.root} holds no study to report on; bench run STUDY makes one")
    stale = sum(_one(name, store, check, no_cost) for name in names)
    if check:
        print(f"{len(names)} reports of {store.root} checked, {stale} stale", file=sys.stderr)
    elif not no_cost:
        index = report.write_index(store)
        if not studies:
            print(index)
    return stale


def _one(name: str, store: Store, check: bool, no_cost: bool) -> bool:
    plan = read_plan(name, store)
    folder = store.study_dir(name)
    study = as_used(folder / "study.toml", smoked=plan.smoke)
    if no_cost:
        print(report.render(study, plan, store, cost=False), end="")
        return False
    if not check:
        print(report.write_report(study, plan, store))
        return False
    file = folder / "report.md"
    stale = not file.is_file() or file.read_text("utf-8") != report.render(study, plan, store)
    print(f"{name}: {'stale, run bench report' if stale else 'as its records say'}", file=sys.stderr)
    return stale


def as_used(file: Path, *, smoked: bool = False) -> Study:
    """The study that a results folder keeps. Its name is the folder's."""
    if not file.is_file():
        raise UserError(f"{file} is missing; bench run writes it")
    study = parse(file.read_text("utf-8"), name=file.parent.name, file=str(file))
    return smoke(study) if smoked else study


__all__ = ["SMOKE_FOLDER", "as_used", "reports"]
