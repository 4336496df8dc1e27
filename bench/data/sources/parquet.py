"""Parquet with the images inside, as Hugging Face stores data sets, or with the names of image files."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.classes import one_form
from bench.data.content import Asked, Located
from bench.data.image_files import ordered
from bench.data.reader import BrokenImageError, Reader, Size
from bench.data.sides import SPELLINGS, side_of
from bench.data.tables import FILE, LABEL, SPLIT, Table, listed, located_by, reader_of
from bench.errors import UserError, shorten
from bench.registry import sources

if TYPE_CHECKING:
    from bench.data.images import Pixels

SHARD = re.compile(r"(.+?)(-\d+-of-\d+)?")
"""A file's stem, and the side that it belongs to: ``train-00000-of-00002``."""
IMAGE = ("image", "img")
"""What the column of images may be called, in any case."""
KEPT = 2
"""Row groups whose images are kept in memory: the images are read in order, by two threads."""


def locate(asked: Asked) -> Located:
    """Known by its bytes, or by the image files that it lists; its shards or a column may split it."""
    shards = _shards(asked.path)
    if _embedded(shards):
        return Located(asked.path, asked.sha256(), official=_sides(shards) is not None)
    return located_by(asked, listed(_table(asked.path)))


@sources.register("parquet", path="any", locate=locate)
def parquet(
    path: Path, classes: tuple[str, ...] | None = None, bit_range: tuple[int, int] | None = None
) -> Reader:
    """A Parquet file, or a folder of them: images inside, as on the Hugging Face hub, or a table of files.

    path       columns ``image`` (img: bytes, or a struct of bytes and path) or ``file`` as in a CSV table;
               ``label`` (class): a name or a whole number, named by the file's description of a ClassLabel;
               where the images are already split ``split``, or shards that are named for a side
               (``train-00000-of-00002.parquet``). Any other column of text or numbers is one for ``groups``
    classes    the labels in another order: else as the ClassLabel has them, whole numbers by value, others by
               the alphabet
    bit_range  the values of 16-bit images that become 0 and 255; else 0 and 65535

    Needs pyarrow: ``uv sync --extra parquet``.
    """
    import numpy as np

    shards = _shards(path)
    if not _embedded(shards):
        return reader_of(path, listed(_table(path)), classes, bit_range)
    labels, known = _labels(shards)
    if known is not None and classes is not None and sorted(known) != sorted(classes):
        ordered(classes, known, f"ClassLabel of {path}")  # raises
    names = classes or known or ordered(classes, labels, f"labels of {path}")
    number = {name: k for k, name in enumerate(names)}
    sides = _sides(shards)
    images = _Images(shards)
    return Reader(
        names,
        np.array([number[one_form(label)] for label in labels], dtype=np.int64),
        3,
        lambda index: images.pixels(index, bit_range),
        None if sides is None else np.array(sides, dtype=np.int8),
        names=[f"{shard.path.name}[{row}]" for shard in shards for row in range(shard.rows)],
        columns={name: partial(_column, shards, name) for name in _others(shards)},
        size=images.size,
    )


def require() -> None:
    """Raise UserError when pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UserError(
            "parquet: needs pyarrow, which this environment lacks\n"
            "    uv sync --extra parquet, or pip install 'bench-ablations[parquet]'"
        ) from None


@dataclass(frozen=True)
class _Shard:
    """One file: its rows, and the types of its columns by name."""

    path: Path
    rows: int
    types: dict[str, Any]
    metadata: dict[bytes, bytes]

    def named(self, names: Sequence[str]) -> str | None:
        """The column that has one of these names, in any case."""
        return next((name for name in self.types if name.lower() in names), None)

    def cells(self, name: str) -> list[Any]:
        """A column's values (N,). Raises UserError for a damaged file."""
        import pyarrow.parquet as pq

        with _readable(self.path):
            values: list[Any] = pq.read_table(self.path, columns=[name])[name].to_pylist()
        return values


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file while it is read becomes a UserError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(f"{path} is damaged or no Parquet: {reason}; copy it again") from None


def _shards(path: Path) -> list[_Shard]:
    """The file at ``path``, or all below it, in the order of their names; all have the same columns."""
    require()
    import pyarrow.parquet as pq

    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if p.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise UserError(f"{path}: no .parquet file there or below")
    shards = []
    for file in files:
        with _readable(file):
            head = pq.read_metadata(file)
            schema = head.schema.to_arrow_schema()
        types = dict(zip(schema.names, schema.types, strict=True))
        shards.append(_Shard(file, head.num_rows, types, schema.metadata or {}))
    for shard in shards[1:]:
        if shard.types.keys() != shards[0].types.keys():
            one, other = (shorten(list(each.types), 200) for each in (shards[0], shard))
            raise UserError(
                f"{shards[0].path} has the columns {one}\n    {shard.path} has {other}; they must agree"
            )
    if not sum(shard.rows for shard in shards):
        raise UserError(f"{path} has no row")
    return shards


def _embedded(shards: Sequence[_Shard]) -> bool:
    """Whether the images are inside. Raises UserError where there are neither images nor files."""
    import pyarrow

    first, of = shards[0], pyarrow.types
    image = first.named(IMAGE)
    if image is None:
        if first.named(FILE):
            return False
        raise UserError(
            f"{first.path} has the columns {shorten(list(first.types), 300)}\n"
            f"    needed is image (or {IMAGE[1]}: bytes, or a struct of bytes and path), or file; and label"
        )
    kind = first.types[image]
    inside = of.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not inside and not of.is_binary(kind) and not of.is_large_binary(kind):
        raise UserError(
            f'{first.path}: the column "{image}" is {kind}; needed is bytes, or a struct of bytes and path'
        )
    return True


def _table(path: Path) -> Table:
    """A table of files as text."""
    shards = _shards(path)
    if len(shards) > 1 or path.is_dir():
        raise UserError(f"{path}: a table of files is one Parquet file; give that")
    (shard,) = shards
    kinds = [name for name in shard.types if _plain(shard.types[name])]
    columns = {
        name: ["" if cell is None else str(cell).strip() for cell in shard.cells(name)] for name in kinds
    }
    label = shard.named(LABEL)
    names = label and _class_label(shard, label)
    if label and names:
        numbers = shard.cells(label)
        columns[label] = [_called(shard, label, names, row, cell) for row, cell in enumerate(numbers)]
    return Table(shard.path, columns, [f"row {row}" for row in range(shard.rows)])


def _plain(kind: Any) -> bool:
    import pyarrow.types as of

    return bool(of.is_string(kind) or of.is_large_string(kind) or of.is_integer(kind) or of.is_boolean(kind))


def _class_label(shard: _Shard, column: str) -> tuple[str, ...] | None:
    """Names of a column's numbers, where Hugging Face's description of the file gives them."""
    names: Any = None
    try:
        described = json.loads(shard.metadata[b"huggingface"])["info"]["features"][column]
        names = described["names"] if described["_type"] == "ClassLabel" else None
    except (KeyError, ValueError, TypeError):
        return None
    sound = (
        isinstance(names, list) and len(names) == len(set(names)) and all(isinstance(n, str) for n in names)
    )
    return tuple(map(one_form, names)) if sound else None


def _called(shard: _Shard, column: str, names: Sequence[str] | None, row: int, cell: Any) -> str:
    """The class of a row. Raises UserError that names it for one without a class."""
    if cell is None or cell == "" or (isinstance(cell, int) and cell < 0):
        what = f"{shorten(cell)}, which stands for no label" if cell == -1 else f"{shorten(cell)}, no label"
        raise UserError(
            f'{shard.path}, row {row}, column "{column}": {what}\n'
            "    leave such rows out, or the file if it is a test set whose labels are kept back"
        )
    if names is None:
        return str(cell).strip()
    if not isinstance(cell, int) or cell >= len(names):
        raise UserError(
            f'{shard.path}, row {row}, column "{column}": {shorten(cell)}, but its ClassLabel has '
            f"{len(names)} names, numbered from 0"
        )
    return names[cell]


def _labels(shards: Sequence[_Shard]) -> tuple[list[str], tuple[str, ...] | None]:
    """Class name of every row; all the names in order, where a ClassLabel gives them."""
    column = shards[0].named(LABEL)
    if column is None:
        raise UserError(
            f"{shards[0].path} has the columns {shorten(list(shards[0].types), 300)}\n"
            "    needed is label (or class)"
        )
    kind = shards[0].types[column]
    if not _plain(kind):
        raise UserError(
            f'{shards[0].path}: the column "{column}" is {kind}; needed is one name or whole number an image '
            "(several labels an image are another task)"
        )
    names = _class_label(shards[0], column)
    labels = [
        _called(shard, column, names, row, cell)
        for shard in shards
        for row, cell in enumerate(shard.cells(column))
    ]
    return labels, names


def _sides(shards: Sequence[_Shard]) -> list[int] | None:
    """Side of every row, by a column or by the names of the shards; None: nothing says so."""
    column = shards[0].named(SPLIT)
    if column is None:
        named = [side_of(_stem(shard)) for shard in shards]
        if None in named or len(set(named)) < 2:
            return None
        return [
            side
            for shard, side in zip(shards, named, strict=True)
            if side is not None
            for _ in range(shard.rows)
        ]
    sides = []
    for shard in shards:
        for row, cell in enumerate(shard.cells(column)):
            side = side_of(str(cell))
            if side is None:
                raise UserError(
                    f'{shard.path}, row {row}, column "{column}": {shorten(cell)} is no side of a split; '
                    f"these are {', '.join(SPELLINGS)}"
                )
            sides.append(side)
    return sides


def _stem(shard: _Shard) -> str:
    matched = SHARD.fullmatch(shard.path.stem)
    return matched[1] if matched else shard.path.stem


def _others(shards: Sequence[_Shard]) -> list[str]:
    """Columns that groups may name."""
    taken = {shards[0].named(names) for names in (IMAGE, LABEL, SPLIT)}
    return [name for name, kind in shards[0].types.items() if name not in taken and _plain(kind)]


def _column(shards: Sequence[_Shard], name: str) -> list[str]:
    cells = (cell for shard in shards for cell in shard.cells(name))
    return ["" if cell is None else str(cell) for cell in cells]


@dataclass
class _Images:
    """The encoded images of all rows, a row group at a time; thread-safe."""

    shards: Sequence[_Shard]
    groups: list[tuple[Path, int, int]] = field(default_factory=list)
    """File, number of the row group there, and its first row among all."""
    kept: OrderedDict[int, list[Any]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        import pyarrow.parquet as pq

        start = 0
        for shard in self.shards:
            head = pq.read_metadata(shard.path)
            for number in range(head.num_row_groups):
                self.groups.append((shard.path, number, start))
                start += head.row_group(number).num_rows

    def encoded(self, index: int) -> tuple[bytes, str]:
        """An image file's bytes, and what it is called. Raises BrokenImageError for none."""
        place = bisect_right(self.groups, index, key=lambda group: group[2]) - 1
        path, number, first = self.groups[place]
        with self.lock:
            if place not in self.kept:
                self.kept[place] = self._read(path, number)
                while len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            cell = self.kept[place][index - first]
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        start = next(group[2] for group in self.groups if group[0] == path)
        called = f"{path.name}, row {index - start}"
        if content is None:
            linked = (
                f", only the path {shorten(cell['path'])}"
                if isinstance(cell, dict) and cell.get("path")
                else ""
            )
            raise BrokenImageError(f"{called}: no bytes of an image{linked}")
        return content, called

    def _read(self, path: Path, number: int) -> list[Any]:
        import pyarrow.parquet as pq

        column = self.shards[0].named(IMAGE)
        with _readable(path), pq.ParquetFile(path) as file:
            cells: list[Any] = file.read_row_group(number, columns=[column])[column].to_pylist()
        return cells

    def pixels(self, index: int, bit_range: tuple[int, int] | None) -> Pixels:
        """An image (H, W, 3) uint8 RGB, see ``reading.read``."""
        from bench.data import reading

        content, called = self.encoded(index)
        try:
            return reading.read(content, bit_range)
        except reading.UnreadableError as error:
            raise BrokenImageError(f"{called}: {error}") from None

    def size(self, index: int) -> Size:
        """Width and height, upright."""
        from bench.data import reading

        content, called = self.encoded(index)
        try:
            return reading.header(content)[:2]
        except reading.UnreadableError as error:
            raise UserError(f"{called}: {error}; leave this row out") from None
