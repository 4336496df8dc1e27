"""Of what a study's report was made, so that a run with nothing to do does not make it anew.

A view: where it is gone, damaged or of something else, the report is made.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

import bench
from bench import metrics, slices
from bench.briefs import Stamp
from bench.files import content_of
from bench.judge import declared
from bench.planned import PlanFile
from bench.recipe import Frozen
from bench.store import PARTS, RECORD, Store

FILE = ".made.json"
INDEX = "index.md"
"""Of the whole folder."""


class Made(Frozen):
    """A report that was made."""

    of: str
    """Hash of all that it is a function of."""
    files: dict[str, Stamp]
    """Path inside the study's folder → what the disk said once it was written."""
    verdicts: tuple[str, ...]
    gates: tuple[str, ...]
    """Lines of those that do not hold."""


def ingredients(plan: PlanFile, store: Store, asked: Iterable[str]) -> str:
    """Hash of what a report is made of: code, study, plan, declarations, every file of its trials.

    asked   what else is answered from it

    Empty where a replicate has no record: then other trials have a say, as stale ones.
    """
    folder = store.study_dir(plan.study)
    digest = hashlib.sha256()
    for text in (*_code(), str(metrics.versions()), plan.model_dump_json(), *asked):
        digest.update(text.encode() + b"\0")
    for name in ("study.toml", declared.FILE, slices.FILE):
        with contextlib.suppress(OSError):
            digest.update(content_of(folder / name))
        digest.update(b"\0")
    arms = (*plan.arms, *plan.shared, *([plan.again] if plan.again else []))
    replicates = {trial.id for arm in arms for trial in arm.trials}
    for id in sorted(plan.ids):
        trial = f"{store.trial_dir(id)}/"
        found = [Stamp.of(trial + name) for name in (RECORD, *PARTS)]
        if found[0] is None and id in replicates:
            return ""
        digest.update(f"{id} {found}\0".encode())
    return digest.hexdigest()


def of_all(folder: Path, parts: Iterable[Path]) -> str:
    """The same of a page on several data sets: its own files, and what their reports are made of.

    folder, parts   of the study, and of the studies of its data sets

    Empty where one of these has no report that says so.
    """
    digest = hashlib.sha256()
    for name in ("study.toml", declared.FILE):
        with contextlib.suppress(OSError):
            digest.update(content_of(folder / name))
        digest.update(b"\0")
    for part in parts:
        if (kept := read(part)) is None:
            return ""
        digest.update(f"{part.name} {kept.of}\0".encode())
    return digest.hexdigest()


def _code() -> list[str]:
    """Who makes it: in a source tree, an edited file makes another report."""
    home = Path(bench.__file__).parent
    files = (path for path in home.rglob("*") if "__pycache__" not in path.parts)
    return sorted(f"{path.relative_to(home)} {Stamp.of(str(path))}" for path in files)


def read(folder: Path) -> Made | None:
    """What a study's folder says of its report; None where that says nothing."""
    try:
        return Made.model_validate_json(content_of(folder / FILE))
    except (OSError, ValidationError):
        return None


def write(made: Made, folder: Path, store: Store) -> None:
    """Keep it for the next run; where it cannot be written, that one makes the report."""
    with contextlib.suppress(OSError):
        store.write_text(folder / FILE, made.model_dump_json())
