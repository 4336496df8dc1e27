"""A study of several data sets in a results folder: the studies that it is made of, and what was promised.

Its folder holds ``study.toml`` and the page on all of them, and no plan: trials are those of its studies.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from bench.errors import UserError
from bench.files import content_of
from bench.judge.declared import FILE
from bench.planned import read_plan_file
from bench.recipe import Frozen
from bench.store import Store
from bench.study import datasets
from bench.study.patch import Tree
from bench.study.toml import SEPARATOR, kept, table_of


class Promised(Frozen):
    """``declared.json``: the data sets that were meant when the first score of any of them came."""

    schema_version: Literal[1] = 1
    study: str
    at: str
    """When this was written, UTC."""
    data: dict[str, dict[str, Any]]
    """Data set → its ``[data]`` table, as the file said."""
    later: bool = False
    """The results are older than this file."""


def table(name: str, store: Store) -> Tree | None:
    """The table of a study of several data sets as it was last run; None where there is no such study.

    Raises UserError where the copy of a study that may be one is damaged.
    """
    folder = store.study_dir(name)
    file = folder / "study.toml"
    if SEPARATOR in name or os.path.lexists(folder / "plan.json") or not os.path.lexists(file):
        return None
    _, found = kept(file)
    return found if datasets.KEY in found else None


def parts(name: str, store: Store) -> tuple[str, ...]:
    """The names of its studies, in the file's order; none of an ordinary study."""
    found = table(name, store)
    return tuple(f"{name}{SEPARATOR}{one}" for one in found[datasets.KEY]) if found else ()


def wholes(store: Store) -> list[str]:
    """The studies of several data sets that a results folder holds."""
    return _copies(store)[0]


def damaged(store: Store) -> list[str]:
    """Folders without a plan in which the copy of a study cannot be read."""
    return _copies(store)[1]


def _copies(store: Store) -> tuple[list[str], list[str]]:
    found: tuple[list[str], list[str]] = ([], [])
    for folder in sorted(store.root.iterdir()) if store.root.is_dir() else ():
        with contextlib.suppress(UserError):  # a folder whose name is no study's
            store.study_dir(folder.name)
            try:
                if table(folder.name, store) is not None:
                    found[0].append(folder.name)
            except UserError:
                found[1].append(folder.name)
    return found


def read_promised(name: str, store: Store) -> Promised | None:
    """What was promised; None where nothing was. Raises UserError where it is damaged."""
    file = store.study_dir(name) / FILE
    try:
        return Promised.model_validate_json(content_of(file))
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise UserError(
            f"{file} is damaged ({str(error).splitlines()[0]})\n"
            "    it cannot be made again: take it from a copy, or delete it, and the page says that "
            "nobody knows which data sets were meant"
        ) from None


def promise(name: str, text: str, store: Store) -> None:
    """Write the whole file beside its page, and what it promises where no score has frozen that yet.

    name, text   of the whole study

    Raises UserError where an ordinary study of that name has the folder.
    """
    folder = store.study_dir(name)
    if (folder / "plan.json").is_file():
        raise UserError(
            f"{folder} holds the study that {name} was before it had several data sets\n"
            "    give the file another name, or move that folder away"
        )
    found = table_of(text, name)
    before, scored = read_promised(name, store), any(_scored(name, store))
    if before is None or not scored:
        now = Promised(
            study=name,
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            data=data_of(found, name),
            later=scored,
        )
        if before is None or before.data != now.data:
            store.write_text(folder / FILE, now.model_dump_json(indent=1) + "\n")
    store.write_text(folder / "study.toml", text)


def data_of(found: Tree, name: str) -> dict[str, dict[str, Any]]:
    """Data set → its ``[data]`` table. found, name: of the whole study"""
    every = found[datasets.KEY]
    return {one: dict(datasets.only(found, f"{name}{SEPARATOR}{one}", name)["data"]) for one in every}


def _scored(name: str, store: Store) -> Iterator[bool]:
    """Of every trial that any study of the name's data sets has planned, whether it has ended."""
    for file in store.root.glob(f"{name}{SEPARATOR}*/plan.json"):
        records = (store.brief(id) for id in read_plan_file(file).ids)
        yield from (record is not None and record.status in ("done", "diverged") for record in records)


def changes(promised: Promised, now: dict[str, dict[str, Any]]) -> list[str]:
    """What is otherwise than it was promised, a line each."""
    gone = [name for name in promised.data if name not in now]
    new = [name for name in now if name not in promised.data]
    other = [name for name in now if promised.data.get(name, now[name]) != now[name]]
    return [
        *(f"data set {name}: was declared, and is no longer in the study" for name in gone),
        *(f"data set {name}: came after the first score" for name in new),
        *(f"data set {name}: its images are defined otherwise than when it was declared" for name in other),
    ]
