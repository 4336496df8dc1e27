"""What is left of a trained trial: its weights, its network, and the study that it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.locator import DiskLocator
from bench.errors import UserError
from bench.judge.used import copied
from bench.machine import Machine
from bench.plan import Run
from bench.planned import PlanFile, read_plan_file
from bench.recipe import Recipe
from bench.registry import models
from bench.store import Record, Store
from bench.study.code import run_in
from bench.study.read import Study
from bench.study.smoke import smoke
from bench.study.told import told
from bench.tune import search

if TYPE_CHECKING:
    from bench.models.network import Network


def network_of(record: Record, store: Store) -> Network:
    """The trained network of a record, on the CPU, evaluating. Raises UserError that says why none."""
    from bench.models.stored import stored_network

    weights = weights_of(record, store)
    _run_code_of(record, store)
    return stored_network(recipe_of(record).model, int(record.data["size_px"]), weights, record.id).eval()


def recipe_of(record: Record) -> Recipe:
    """The recipe that a record was trained with."""
    return Recipe.model_validate_json(json.dumps(record.recipe))


def weights_of(record: Record, store: Store) -> Path:
    """The trial's kept weights. Raises UserError that says why there are none to be used."""
    weights = store.weights_path(record.id)
    if record.status != "done":
        cause = f" ({record.cause})" if record.cause else ""
        raise UserError(
            f"trial {record.id} {record.status}{cause}: there is no trained network\n"
            f"    bench show {record.id} tells more; take a trial that is done"
        )
    if os.path.lexists(weights) and not weights.is_file():
        raise UserError(
            f"{weights} is no file; move away what stands there, and put a copy of the weights back"
        )
    if not weights.is_file():
        raise UserError(
            f"{weights}: the weights of trial {record.id} were not kept\n"
            "    (keep_weights = false, bench clean --weights, or a candidate of a search)\n"
            f"    set keep_weights = true, delete {store.trial_dir(record.id)} and run the study again"
        )
    if not store.has_weights(record):
        raise UserError(
            f"{weights} is damaged, or of another trial: trial {record.id} wrote other bytes\n"
            f"    put a copy back, or delete {store.trial_dir(record.id)} and run the study again"
        )
    return weights


def run_of(record: Record, store: Store, machine: Machine) -> Run:
    """The trial with its sets and its place on this machine's disk, from the study that ran it.

    Raises UserError where no study has it any more.
    """
    for planned, study in _studies(record, store):
        locator = DiskLocator(machine, (store.root / planned.file).resolve().parent)
        plan = search.plan(study, locator, store.brief, store.history)
        for run in plan.everything:
            if run.trial.key == record.key:  # whatever the components' versions are today
                return run
    raise UserError(
        f"no study of {store.root} has a trial with these images any more: they or the study have changed"
    )


def _planned(record: Record, store: Store) -> Iterator[PlanFile]:
    """The studies that hold a trial."""
    for file in sorted(store.root.glob("*/plan.json")):
        try:
            planned = read_plan_file(file)
        except UserError:  # damaged: it has no say
            continue
        arms = [*planned.arms, *planned.shared, *([planned.again] if planned.again else [])]
        if any(trial.id == record.id for arm in arms for trial in arm.trials):
            yield planned


def _studies(record: Record, store: Store) -> Iterator[tuple[PlanFile, Study]]:
    """The same as they were run. Raises UserError in the end where one could not be read."""
    problem: UserError | None = None
    for planned in _planned(record, store):
        try:
            study = _as_run(planned, store)
        except UserError as error:  # another may hold the trial too
            problem = problem or error
            continue
        yield planned, study
    if problem:
        raise problem


def _as_run(planned: PlanFile, store: Store) -> Study:
    """A study as it was run, seen from where it stood: the file itself may have been edited since.

    Its code is run where nothing can be read or built without: for a source or a model of its own.
    """
    file = store.study_dir(planned.study) / "study.toml"
    needed = any(component.kind in ("source", "model") for component in planned.components)
    folder = (store.root / planned.file).resolve().parent
    outside = run_in(folder) if needed else told(planned.components)
    study = copied(file, planned, outside)
    return smoke(study) if planned.smoke else study


def _run_code_of(record: Record, store: Store) -> None:
    """Offer the model that a trial was trained with, where it is no model of bench's. Raises UserError."""
    origin = record.origins.get(f"model:{record.recipe['model']['name']}")
    if origin is None:
        return
    for _ in _studies(record, store):
        if models[record.recipe["model"]["name"]].origin == origin:
            return
    raise UserError(
        f"trial {record.id} was trained with a model whose code has changed or is gone ({origin[:20]}…)\n"
        "    put that file back beside its study, or run the study again"
    )
