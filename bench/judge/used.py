"""The study that a results folder keeps beside its plan."""

from __future__ import annotations

from bench.errors import UserError
from bench.planned import PlanFile
from bench.store import Store
from bench.study.read import Study, parse
from bench.study.smoke import smoke
from bench.study.told import told
from bench.study.toml import text_of


def as_used(plan: PlanFile, store: Store) -> Study:
    """As the last run used it, without running code that it names. Raises UserError where it is missing."""
    file = store.study_dir(plan.study) / "study.toml"
    if not file.is_file():
        raise UserError(f"{file} is missing; bench run writes it")
    study = parse(text_of(file), name=plan.study, file=str(file), outside=told(plan.components))
    return smoke(study) if plan.smoke else study
