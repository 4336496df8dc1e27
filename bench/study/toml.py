"""The study file as text: where it is, and TOML → a table that can be read on."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import content_of
from bench.study.patch import Tree

SEPARATOR = "@"
"""Between the name of a study and that of one of its data sets."""
DEEPEST = 32
"""Tables and lists inside each other; no study needs ten."""


def find(written: Path) -> Path:
    """The study file that a person means by ``mine``: ``mine.toml`` or ``ablations/mine.toml``.

    What ends in ``.toml``, is a file itself or finds neither stays as it is.
    """
    if written.suffix == ".toml" or written.is_file():
        return written
    named = written.with_name(f"{written.name}.toml") if written.name else written
    return next((path for path in (named, Path("ablations") / named) if file_of(path).is_file()), written)


def file_of(path: Path) -> Path:
    """The file that is read for a study at ``path``: of ``cells@blood.toml`` the ``cells.toml`` beside it."""
    whole, at, _ = path.stem.partition(SEPARATOR)
    return path.with_name(f"{whole}{path.suffix}") if at and not path.exists() else path


def text_of(path: Path) -> str:
    """What is written in a study file, or in that of a data set's study. Raises UserError."""
    try:
        path = file_of(path)
        if not path.exists():
            near = find(Path(path.stem))
            hint = (
                f"did you mean {near}?" if near.is_file() else "bench new NAME writes a study to start from"
            )
            raise UserError(f"{path}: no such file; {hint}")
        if path.is_dir():
            raise UserError(f"{path}: is a folder, not a study file; name one of the .toml files in it")
        text = content_of(path).decode("utf-8-sig")  # some editors put a mark before UTF-8
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def kept(file: Path) -> tuple[str, Tree]:
    """Text and table of the copy of a study that lies with its results. Raises UserError: how to mend it."""
    if not os.path.lexists(file):
        raise UserError(f"{file} is missing; bench run writes it")
    try:
        text = text_of(file)
        return text, table_of(text, str(file))
    except UserError as error:
        why = re.split("[;\n]", str(error).removeprefix(str(file)).lstrip(": "))[0].removeprefix("is ")
        raise UserError(f"{file} is damaged ({why}); delete it, bench run writes it again") from None


def table_of(text: str, file: str) -> Tree:
    """TOML as a table; ``file`` is what messages call it. Raises UserError."""
    try:
        table: Tree = tomllib.loads(text)
    except RecursionError:
        raise UserError(
            f"{file}: tables or lists inside each other, too deep to read; {DEEPEST} is the most"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not valid TOML: {error}") from None
    except ValueError:  # Python's limit for text to int
        raise UserError(
            f"{file}: a number with thousands of digits; whole numbers have 64 bits at most"
        ) from None
    refuse_monsters(table, file)
    return table


def refuse_monsters(table: Tree, file: str) -> None:
    """Raise UserError for what TOML's grammar allows and nothing here could print: deep nests, huge ints."""
    waiting: list[tuple[Any, int, str]] = [(table, 0, "")]
    while waiting:
        value, depth, path = waiting.pop()
        if depth > DEEPEST:
            raise UserError(
                f"{file}: {path[:60]}… has tables or lists inside each other, too deep; {DEEPEST} is the most"
            )
        if isinstance(value, dict):
            # A dotted key in quotes reaches as deep as one without.
            waiting += [
                (v, depth + 1 + key.count("."), f"{path}.{key}".lstrip(".")) for key, v in value.items()
            ]
        elif isinstance(value, list):
            waiting += [(item, depth + 1, path) for item in value]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise UserError(
                f"{file}: {path} = {value:#x}"[:120]
                + "\n  whole numbers have 64 bits at most; give a smaller one"
            )
