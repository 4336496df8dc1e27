"""What several runs in one results folder agree on: who declares, which text of a study, who writes what."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.claims import WRITING, Presence, told
from bench.errors import UserError
from bench.plan import Plan
from bench.planned import PlanFile, read_plan_file
from bench.progress.terminal import Terminal
from bench.run.planning import Planning
from bench.store import Store
from bench.study.toml import file_of

FOLDER, REPORT = "folder", "report"
"""What is claimed beside trials: what a study's folder says of it, and views made of all records."""


@contextmanager
def having(name: str, presence: Presence, terminal: Terminal, what: str) -> Iterator[None]:
    """Within, no other run has ``name``. Says what for it waits, where that takes long."""

    def waited() -> str:
        holder = presence.claims.holder(name).removesuffix(WRITING)
        awaited = {FOLDER: "the study's folder", REPORT: "the report"}.get(name, "search.db")
        return f"{what}: waiting for {awaited}, which {told(holder) if holder else 'another run'} writes"

    with ExitStack() as held:
        with terminal.waiting(waited):
            held.enter_context(presence.hold(name))
        yield


def refuse_foreign_folder(plan: PlanFile, path: Path, store: Store) -> None:
    """Raise UserError when another file's study owns the folder."""
    folder = store.study_dir(plan.study)
    if not (folder / "plan.json").exists():
        return
    before = read_plan_file(folder / "plan.json").file
    old = (store.root / before).resolve()
    if before != whence(path, store, False)["file"] and file_of(old).exists():
        raise UserError(
            f"{folder} already holds the study of another file of that name:\n  {old}\n"
            "rename one of the two, or give another --results folder"
        )


def join(planning: Planning, presence: Presence) -> None:
    """Tell which text of the study is run, of what, with which looks; before anything is declared.

    Raises UserError while another run is at work on another text of it, or declared other looks.
    """
    name, text = planning.study.name, f"{planning.looks} {planning.study.text} {planning.contents()}"
    asked = hashlib.sha256(text.encode()).hexdigest()
    for other in presence.others():
        if other["study"] == name and other["asked"] != asked:
            raise UserError(
                f"{told(other['owner'])} runs {name} from another text of its file, or of one that it names, "
                "or with another --until\n"
                "    give both the same, or wait until it ends (bench status shows how far it is)"
            )
    file = planning.store.study_dir(name) / "plan.json"
    if not planning.looks and file.is_file() and read_plan_file(file).looks:
        raise UserError(f"{name}: another run has just declared --until decided; the same command joins it")
    presence.tell(study=name, asked=asked)


def claim_folder(plan: Plan, path: Path, store: Store, *, smoked: bool) -> bool:
    """Write what the report is made from, with the text that was planned; whether there was another plan."""
    folder = store.study_dir(plan.study.name)
    plan_file = plan.file.model_copy(update=whence(path, store, smoked))
    store.write_text(folder / "study.toml", plan.study.text)
    text, file = plan_file.model_dump_json(indent=1) + "\n", folder / "plan.json"
    changed = not file.is_file() or file.read_text("utf-8") != text
    store.write_text(file, text)
    return changed


def whence(path: Path, store: Store, smoked: bool) -> dict[str, Any]:
    """What ``plan.json`` says of the run itself."""
    return {"file": os.path.relpath(path.resolve(), store.root.resolve()), "smoke": smoked}
