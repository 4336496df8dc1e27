"""The study that a results folder keeps beside its plan."""

from __future__ import annotations

from bench.errors import UserError, shorten
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
    known = {arm.label for arm in study.arms}
    strange = [arm.label for arm in (*plan.arms, *plan.shared) if arm.label not in known]
    strange += [search.arm for search in plan.searches if search.arm not in known]
    if strange or plan.baseline not in known:
        stray = shorten((strange or [plan.baseline])[0])
        raise UserError(
            f"{file.with_name('plan.json')} is damaged (its arm {stray} is not in {file.name}); "
            "delete it, bench run writes it again"
        )
    return smoke(study) if plan.smoke else study
