"""What ``bench plan`` says of declarations: what the first score will freeze, or has frozen."""

from __future__ import annotations

from collections.abc import Iterator

from bench.commands.inspect import many
from bench.judge.claims import undecidable
from bench.judge.declared import FILE, LATE, changes, late_keys
from bench.planned import PlanFile
from bench.run.declaring import standing
from bench.store import Store
from bench.study.read import Study

MOST = 3
"""Late comparisons that are named."""


def lines(study: Study, plan: PlanFile, store: Store) -> Iterator[str]:
    """What is declared, what was said otherwise since, what came too late, what would never be judged."""
    yield from _standing(study, plan, store)
    yield from undecidable(study)


def _standing(study: Study, plan: PlanFile, store: Store) -> Iterator[str]:
    declared, frozen = standing(study, plan, store)
    made = f"{many(len(declared.comparisons), 'comparison')}, {many(len(declared.claims), 'claim')}"
    delta = f"δ {declared.delta.local:g} locally, {declared.delta.hidden:g} on hidden sets"
    if not frozen and not declared.later:
        yield f"{made}, {delta}: the first score freezes them ({FILE})"
        if declared.scored:
            yield f"{len(declared.scored)} of them other studies have scored already"
        return
    yield f"{made}, {delta}: frozen" + (", as it was last run" if declared.later else f" {declared.at[:10]}")
    sliced = store.slices(study.name)
    yield from changes(declared, study, sliced)
    late_ones = late_keys(declared, study, sliced)
    yield from (f"{LATE}: {arm} against {other} on {metric}" for arm, other, metric in late_ones[:MOST])
    if len(late_ones) > MOST:
        yield f"{LATE}: {len(late_ones) - MOST} more"
