"""When comparisons are declared: before the first score, and never again."""

from __future__ import annotations

from bench.errors import UserError
from bench.judge import whole
from bench.judge.declared import (
    LATE,
    Declared,
    declare,
    late_keys,
    read_declared,
    scored,
    write_declared,
)
from bench.judge.family import Key
from bench.judge.used import as_used
from bench.planned import PlanFile, read_plan_file
from bench.store import Store
from bench.study import datasets
from bench.study.read import Study


def keep_whole(study: Study, store: Store) -> None:
    """What the data sets are that a study is of one of; nothing of an ordinary study.

    Written as ``keep`` does, and with it before plan.json.
    """
    name, part = datasets.whole_and_part(study.name)
    if part:
        whole.promise(name, study.text, store)


def keep(study: Study, plan: PlanFile, store: Store) -> Declared:
    """What is declared, written where no score has frozen it yet. To be called before plan.json is written.

    Results that are older than ``declared.json`` are taken to have declared what the study said when it was
    last run: nobody knows better.
    """
    declared, frozen = standing(study, plan, store)
    kept = {"looks": declared.looks or plan.looks, "nights": plan.nights or declared.nights}
    if kept != {name: getattr(declared, name) for name in kept}:  # a night that came since, or an older file
        declared, frozen = declared.model_copy(update=kept), False
    if not frozen:
        write_declared(declared, store)
    return declared


def standing(study: Study, plan: PlanFile, store: Store) -> tuple[Declared, bool]:
    """What is declared, or would be by a run now; and whether it is written and scores have frozen it."""
    folder = store.study_dir(study.name)
    before = read_plan_file(folder / "plan.json") if (folder / "plan.json").exists() else None
    there, sliced = read_declared(folder), store.slices(study.name)
    if there is not None and _scores_of(there.comparisons, study, (plan, before), store):
        return there, True
    if there is None and before is not None and not before.smoke:
        last = _last_run(study, before, store)
        then = declare(last, sliced, plan=before, later=True)
        if seen := _scores_of(then.comparisons, last, (before,), store):
            return then.model_copy(update={"scored": tuple(seen)}), False
    now = declare(study, sliced, plan=plan)
    now = now.model_copy(update={"scored": tuple(_scores_of(now.comparisons, study, (plan,), store))})
    return (there, False) if there is not None and there.same(now) else (now, False)


def _last_run(study: Study, before: PlanFile, store: Store) -> Study:
    """The study as it was last run, as far as that can still be read."""
    try:
        return as_used(before, store)
    except UserError:
        return study


def _scores_of(
    keys: tuple[Key, ...], study: Study, plans: tuple[PlanFile | None, ...], store: Store
) -> list[Key]:
    return list(dict.fromkeys(key for plan in plans if plan for key in scored(keys, study, plan, store)))


def late(declared: Declared, study: Study, store: Store) -> str:
    """What a run says of comparisons that came too late; empty where none did."""
    keys = late_keys(declared, study, store.slices(study.name))
    if not keys:
        return ""
    arm, other, metric = keys[0]
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return (
        f"{study.name}: {LATE}, so without a verdict: {arm} against {other} on {metric}{more}; a study in a "
        "file of its own, with new seeds, can declare them"
    )
