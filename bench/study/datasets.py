"""Several data sets in one file: the study that it is for each of them.

``cells@blood`` is the study that ``cells.toml`` is for its ``[datasets.blood]``; ``cells@blood.toml`` is
what a person calls its file, though there is none of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Mistake, UserError, did_you_mean, mistakes_error, shorten
from bench.recipe import HIDDEN_NAME
from bench.study.patch import Tree
from bench.study.toml import SEPARATOR, table_of, text_of

if TYPE_CHECKING:
    from bench.study.read import Study

KEY = "datasets"


def whole_and_part(name: str) -> tuple[str, str]:
    """``cells@blood`` → the study of the whole file, and which of its data sets; "" for none."""
    whole, _, part = name.partition(SEPARATOR)
    return whole, part


def files(path: Path, text: str | None = None) -> tuple[Path, ...]:
    """A path for the study of each data set of a file, in its order; of an ordinary study itself.

    text   of the file, where it was read already

    Raises UserError for a file that cannot be read, or has data sets that no study can be of.
    """
    if SEPARATOR in path.stem:
        return (path,)
    table = table_of(text_of(path) if text is None else text, str(path))
    if KEY not in table:
        return (path,)
    names = _names(table, str(path))
    return tuple(path.with_name(f"{path.stem}{SEPARATOR}{name}.toml") for name in names)


def refuse_unlike(path: Path, studies: Sequence[Study]) -> None:
    """Raise UserError where the means over a file's data sets would be of different metrics.

    studies   of each of its data sets
    """
    primary = {study.primary: study.name for study in studies}
    if len(primary) > 1:
        found = ", ".join(f"{metric} of {name}" for metric, name in primary.items())
        problem = f"give one: data sets would be judged by different metrics, {found}"
        raise mistakes_error(str(path), [Mistake("primary", "", problem)])


def called(path: Path) -> str:
    """What messages call the file of a study: of a data set the file that is there."""
    whole, part = whole_and_part(path.stem)
    return f"{path.with_name(f'{whole}.toml')} (data set {part})" if part and not path.exists() else str(path)


def only(table: Tree, name: str, file: str) -> Tree:
    """A study's table with nothing but the data set that its name says.

    name, file   of the study; what messages call its file

    Raises UserError where the name says none and there are some, or says one that there is not.
    """
    whole, part = whole_and_part(name)
    if KEY not in table and not part:
        return table
    if KEY not in table:
        raise UserError(
            f"{file}: has no [{KEY}.{part}]\n"
            f"    behind {SEPARATOR} in the name of a study stands one of its data sets; take another name"
        )
    names = _names(table, file)
    if not part:
        raise UserError(
            f"{file}: has several data sets, and this is about one of them\n"
            f"    name it: {', '.join(f'{whole}{SEPARATOR}{one}' for one in names)}"
        )
    if part not in names:
        raise UserError(f"{file}: has no [{KEY}.{part}]; {did_you_mean(part, names)}")
    own = dict(table[KEY][part])
    hidden = own.pop("hidden", {})
    found = {key: value for key, value in table.items() if key != KEY}
    found["data"] = _table(table, "data") | own
    if hidden or "hidden" in table:
        found["hidden"] = _table(table, "hidden") | hidden
    return found


def placed(mistake: Mistake, table: Tree, name: str) -> Mistake:
    """A mistake in the study of one data set where it stands in the file.

    table, name   the whole file's, and the study's
    """
    part = whole_and_part(name)[1]
    if not part or KEY not in table:
        return mistake
    own = table[KEY][part]
    heading, _, keys = mistake.path.partition(" ")
    first = re.split(r"[.\[]", keys)[0]
    if heading == "[data]" and first in own:
        return replace(mistake, path=f"[{KEY}.{part}] {keys}")
    found = re.fullmatch(r"\[hidden\.(.+)\]", heading)
    if found and found[1] in own.get("hidden", {}):
        return replace(mistake, path=f"[{KEY}.{part}.hidden.{found[1]}] {keys}".strip())
    return mistake


def _table(table: Tree, key: str) -> dict[str, Any]:
    """What is shared by all data sets; anything but a table is one data set's mistake as well."""
    shared = table.get(key, {})
    return dict(shared) if isinstance(shared, Mapping) else {"": shared}


def _names(table: Tree, file: str) -> list[str]:
    """Names of the data sets. Raises UserError that lists what is wrong with their tables."""
    blocks = table.get(KEY, {})
    if not isinstance(blocks, Mapping) or not blocks:
        problem = f"must hold a table for each data set, as [{KEY}.blood] with source = …"
        raise mistakes_error(file, [Mistake(f"[{KEY}]", shorten(blocks) if blocks else "", problem)])
    mistakes, lower = [], [name.lower() for name in blocks]
    for name, block in blocks.items():
        where = f"[{KEY}.{name}]"
        if not re.fullmatch(HIDDEN_NAME, name):
            mistakes.append(Mistake(where, "", "a data set's name has letters, digits, - and _ only"))
        elif lower.count(name.lower()) > 1:  # some file systems know one folder by both
            mistakes.append(Mistake(where, "", "another data set has this name but for capitals"))
        if not isinstance(block, Mapping):
            mistakes.append(Mistake(where, shorten(block), "must be a table with the keys of [data]"))
        elif not isinstance(block.get("hidden", {}), Mapping):
            mistakes.append(Mistake(f"{where} hidden", shorten(block["hidden"]), "must hold tables"))
        elif both := sorted({*block.get("hidden", {})} & {*_table(table, "hidden")}):
            problem = f"is of every data set already, as [hidden.{both[0]}]; give it another name"
            mistakes.append(Mistake(f"[{KEY}.{name}.hidden.{both[0]}]", "", problem))
    if mistakes:
        raise mistakes_error(file, mistakes)
    return list(blocks)
