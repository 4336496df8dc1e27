"""The study that a results folder keeps beside its plan."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError, shorten
from bench.planned import PlanFile
from bench.store import Store
from bench.study.code import Outside
from bench.study.read import Study, parse
from bench.study.smoke import smoke
from bench.study.told import told
from bench.study.toml import kept


def as_used(plan: PlanFile, store: Store) -> Study:
    """As the last run used it, without running code that it names. Raises UserError where it is missing."""
    file = store.study_dir(plan.study) / "study.toml"
    study = copied(file, plan, told(plan.components))
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


def copied(file: Path, plan: PlanFile, outside: Outside) -> Study:
    """The study that a copy beside a plan holds. Raises UserError, which says how to mend it.

    outside   what of other code it names is on offer
    """
    text, _ = kept(file)
    try:
        return parse(text, name=plan.study, file=str(file), outside=outside)
    except UserError as error:  # cut short at the end of a line, or of a bench that knew other keys
        raise UserError(f"{error}\n    it is a copy: delete it, bench run writes it again") from None
