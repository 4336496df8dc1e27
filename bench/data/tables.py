"""A table of image files with their labels, and what can be wrong with one: told by file, row and column."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from bench.data.classes import one_form
from bench.data.content import Asked, Located
from bench.data.image_files import SUFFIXES, located, ordered, read_image, shown, upright_size
from bench.data.reader import Reader
from bench.data.sides import SPELLINGS, side_of
from bench.errors import UserError, shorten

FILE = ("file", "filename", "file_name", "path")
"""What the column of files may be called, in any case; likewise the others."""
LABEL = ("label", "class")
SPLIT = ("split",)
ABSOLUTE = re.compile(r"/|[A-Za-z]:")
SHOWN_ROWS = 10


@dataclass(frozen=True)
class Table:
    """A table as it is written.

    columns   name → its N cells, without space at their ends
    rows      (N,) where each row stands: ``line 2``
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[str]

    def column(self, names: Sequence[str]) -> str | None:
        """The column that has one of these names, in any case; None: there is none. UserError for two."""
        return column_of(self.path, self.columns, names)


def column_of(path: Path, columns: Iterable[str], names: Sequence[str]) -> str | None:
    """As ``Table.column``, of the columns of any file at ``path``."""
    found = [name for name in columns if name.lower() in names]
    if len(found) > 1:
        raise UserError(
            f"{path} has the columns {' and '.join(found)}, which mean the same; rename all but one"
        )
    return found[0] if found else None


class Listed(NamedTuple):
    """The images of a table, sorted by file: N of them.

    files    relative to the table's folder, with forward slashes
    labels   class names
    sides    train, val or test as ``Images.split`` has them; None: the table does not say
    others   its other columns
    """

    files: list[str]
    labels: list[str]
    sides: list[int] | None
    others: dict[str, list[str]]


def refused(table: Table, problems: Sequence[str], count: int, what: str) -> NoReturn:
    """Raise UserError that shows the first of ``problems``, one a line."""
    more = [f"… and {len(problems) - SHOWN_ROWS} more"] if len(problems) > SHOWN_ROWS else []
    lines = "\n".join(f"  {problem}" for problem in [*problems[:SHOWN_ROWS], *more])
    raise UserError(f"{table.path}: {len(problems):,} of {count:,} rows {what}\n{lines}")


def listed(table: Table) -> Listed:
    """The images that a table lists. Raises UserError that names all rows with the same thing wrong."""
    file, label = table.column(FILE), table.column(LABEL)
    if file is None or label is None:
        needed = [f"{names[0]} (or {', '.join(names[1:])})" for names in (FILE, LABEL)]
        raise UserError(
            f"{table.path} has the columns {shorten(list(table.columns), 300)}\n"
            f"    needed are {' and '.join(needed)}; possible are split, and any other for groups"
        )
    if not table.rows:
        raise UserError(f"{table.path} has a header and no row; write one row an image")
    _filled(table, file)
    _filled(table, label)
    files = [posixpath.normpath(cell.replace("\\", "/")) for cell in table.columns[file]]
    _check_files(table, file, files)
    order = sorted(range(len(files)), key=files.__getitem__)
    split = table.column(SPLIT)
    sides = None if split is None else _sides(table, split)
    others = {name: cells for name, cells in table.columns.items() if name not in (file, label, split)}
    return Listed(
        [files[k] for k in order],
        [table.columns[label][k] for k in order],
        None if sides is None else [sides[k] for k in order],
        {name: [cells[k] for k in order] for name, cells in others.items()},
    )


def _filled(table: Table, column: str) -> None:
    cells = table.columns[column]
    empty = [row for row, cell in zip(table.rows, cells, strict=True) if not cell]
    if empty:
        refused(
            table, empty, len(cells), f'have nothing in the column "{column}"; fill them or take them out'
        )


def _check_files(table: Table, column: str, files: Sequence[str]) -> None:
    """That files are relative, there once each, and on the disk."""
    placed = list(zip(table.rows, files, strict=True))
    absolute = [f"{row}: {shorten(name)}" for row, name in placed if ABSOLUTE.match(name)]
    if absolute:
        what = f'have an absolute path in the column "{column}"; write them from the folder of the table'
        refused(table, absolute, len(files), what)
    first: dict[str, str] = {}
    twice = [
        f"{row}: {shorten(name)}, as {first[name]}"
        for row, name in placed
        if first.setdefault(name, row) != row
    ]
    if twice:
        refused(
            table, twice, len(files), f'have a file in the column "{column}" that another has; keep one each'
        )
    folder = table.path.parent
    gone = [(row, name) for row, name in placed if not (folder / name).is_file()]
    if gone:
        bare = folder / gone[0][1]
        known = next((bare.name + suffix for suffix in SUFFIXES if Path(f"{bare}{suffix}").is_file()), None)
        what = f'have a file in the column "{column}" that is not in {folder}'
        hint = f"; there is {known}: write the suffix too" if known else ""
        refused(table, [f"{row}: {shorten(name)}" for row, name in gone], len(files), what + hint)


def _sides(table: Table, column: str) -> list[int]:
    cells = table.columns[column]
    sides = [side_of(cell) for cell in cells]
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        strange = zip(table.rows, cells, sides, strict=True)
        lines = [f"{row}: {shorten(cell)}" for row, cell, side in strange if side is None]
        what = f'have no side of a split in the column "{column}"; these are {", ".join(SPELLINGS)}'
        refused(table, lines, len(cells), what)
    return known


def located_by(asked: Asked, images: Listed) -> Located:
    """What a table is known by: its images, their labels and sides, and the groups that a study names.

    The order of rows and other columns do not matter.
    """
    groups = asked.data.groups if isinstance(asked.data.groups, str) else ""
    beside = images.others.get(groups, [""] * len(images.files))
    sides: Sequence[int | None] = images.sides or [None] * len(images.files)
    stats = [os.stat(asked.folder / name) for name in images.files]
    found = located(
        asked,
        [(name, of.st_size, of.st_mtime_ns) for name, of in zip(images.files, stats, strict=True)],
        images.labels,
        rows=[list(row) for row in zip(images.labels, sides, beside, strict=True)],
    )
    return found._replace(official=images.sides is not None)


def reader_of(
    path: Path, images: Listed, classes: Sequence[str] | None, bit_range: tuple[int, int] | None
) -> Reader:
    """The images that the table at ``path`` lists, opened."""
    import numpy as np

    names = ordered(classes, images.labels, f"labels of {path}")
    number = {name: k for k, name in enumerate(names)}
    folder, files = path.parent, images.files
    return Reader(
        names,
        np.array([number[one_form(label)] for label in images.labels], dtype=np.int64),
        3,
        lambda index: read_image(folder / files[index], bit_range),
        None if images.sides is None else np.array(images.sides, dtype=np.int8),
        names=list(map(shown, files)),
        columns={name: partial(list, cells) for name, cells in images.others.items()},
        size=lambda index: upright_size(folder / files[index]),
        file=lambda index: folder / files[index],
    )
