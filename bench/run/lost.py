"""Trials of which a file was lost: their records go, so that the next run trains them again."""

from __future__ import annotations

from bench.errors import shorten
from bench.files import sweep
from bench.plan import Plan
from bench.progress.terminal import Terminal
from bench.store import Store


def forget_lost(plan: Plan, store: Store, terminal: Terminal) -> bool:
    """Take away records whose history or predictions are gone or changed, and say so; whether there were any.

    A verdict would quietly go without such a seed. What killed runs had begun to write goes too.
    """
    lost: dict[str, list[str]] = {}
    home = store.study_dir(plan.study.name)
    sweep(store.root, home, home / "tables", home / "figures")
    for id in sorted(plan.file.ids):
        sweep(store.trial_dir(id))
        record = store.read(id)
        if record is not None and (part := store.lost(record, whole=True)):
            store.forget(id)
            lost.setdefault(part, []).append(id)
    for part, ids in sorted(lost.items()):
        terminal.note(
            f"{part} of {len(ids)} trials is gone or damaged; they are trained again: {shorten(ids)}"
        )
    return bool(lost)
