"""Parquet with the images inside, as Hugging Face stores data sets, or with the names of image files."""

from __future__ import annotations

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
from bench.data.shards import Form, Shard, kind_shown, plain, readable, shards_of
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
KEPT_BYTES = 2**27
"""Encoded images that are kept in memory, the latest: they are read nearly in order, by two threads."""
BUFFER_BYTES = 2**20
"""Of a column, read at once: else all of a row group is, and some files have just one."""


def locate(asked: Asked) -> Located:
    """Known by its bytes, or by the image files that it lists; its shards or a column may split it."""
    shards = shards_of(asked.path)
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

    shards = shards_of(path)
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


def _embedded(shards: Sequence[Shard]) -> bool:
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
    for shard in shards:
        kind = shard.types[image]
        inside = of.is_struct(kind) and kind.get_field_index("bytes") >= 0
        content = kind.field("bytes").type if inside else kind
        if not of.is_binary(content) and not of.is_large_binary(content):
            raise UserError(
                f'{shard.path}: the column "{image}" is {kind_shown(kind)}; '
                "needed is bytes, or a struct of bytes and path"
            )
    return True


def _table(path: Path) -> Table:
    """A table of files as text."""
    shards = shards_of(path)
    if len(shards) > 1 or path.is_dir():
        raise UserError(f"{path}: a table of files is one Parquet file; give that")
    (shard,) = shards
    kinds = [name for name in shard.types if plain(shard.types[name])]
    columns = {
        name: ["" if cell is None else str(cell).strip() for cell in shard.cells(name)] for name in kinds
    }
    label = shard.named(LABEL)
    names = label and shard.class_label(label)
    if label and names:
        numbers = shard.cells(label)
        columns[label] = [_called(shard, label, names, row, cell) for row, cell in enumerate(numbers)]
    return Table(shard.path, columns, [f"row {row}" for row in range(shard.rows)])


def _called(shard: Shard, column: str, names: Sequence[str] | None, row: int, cell: Any) -> str:
    """The class of a row. Raises UserError that names it for one without a class."""
    if cell is None or not str(cell).strip() or (isinstance(cell, int) and cell < 0):
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


def _labels(shards: Sequence[Shard]) -> tuple[list[str], tuple[str, ...] | None]:
    """Class name of every row; all the names in order, where a ClassLabel gives them."""
    column = shards[0].named(LABEL)
    if column is None:
        raise UserError(
            f"{shards[0].path} has the columns {shorten(list(shards[0].types), 300)}\n"
            "    needed is label (or class)"
        )
    form = shards[0].labelled(column)
    for shard in shards[1:]:
        if (other := shard.labelled(column)) != form:
            raise UserError(
                f'{shards[0].path}: the column "{column}" holds {_told(form, other)}\n'
                f"    {shard.path}: {_told(other, form)}; they must agree, for they mean different classes"
            )
    names = form[1]
    labels = [
        _called(shard, column, names, row, cell)
        for shard in shards
        for row, cell in enumerate(shard.cells(column))
    ]
    return labels, names


def _told(form: Form, other: Form) -> str:
    """What labels are, in words: of two ClassLabels where they part."""
    what, names = form
    if not names:
        return f"{what} without a ClassLabel"
    pairs = enumerate(zip(names, other[1] or (), strict=False))
    at = next((k for k, (name, theirs) in pairs if name != theirs), len(names) - 1)
    return f"{what} with a ClassLabel of {len(names)} names, {at} is {shorten(names[at])}"


def _sides(shards: Sequence[Shard]) -> list[int] | None:
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


def _stem(shard: Shard) -> str:
    matched = SHARD.fullmatch(shard.path.stem)
    return matched[1] if matched else shard.path.stem


def _others(shards: Sequence[Shard]) -> list[str]:
    """Columns that groups may name."""
    taken = {shards[0].named(names) for names in (IMAGE, LABEL, SPLIT)}
    return [
        name
        for name in shards[0].types
        if name not in taken and all(plain(shard.types[name]) for shard in shards)
    ]


def _column(shards: Sequence[Shard], name: str) -> list[str]:
    cells = (cell for shard in shards for cell in shard.cells(name))
    return ["" if cell is None else str(cell) for cell in cells]


@dataclass
class _Images:
    """The encoded images of all rows, read one by one within a row group; thread-safe."""

    shards: Sequence[Shard]
    groups: list[tuple[Path, int, int]] = field(default_factory=list)
    """File, number of the row group there, and its first row among all."""
    kept: OrderedDict[int, tuple[Any, int]] = field(default_factory=OrderedDict)
    """Row among all → its cell, and the bytes of that; ``held`` in all."""
    held: int = 0
    ahead: Iterator[tuple[Any, int]] = field(default_factory=lambda: iter(()))
    """The cells of the row group ``place``, from row ``at`` on."""
    place: int = -1
    at: int = 0
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
        path = self.groups[place][0]
        with self.lock:
            if index not in self.kept:
                self._read_on(place, index)
            cell, _ = self.kept[index]
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

    def _read_on(self, place: int, index: int) -> None:
        """Keep what is read up to a row of a row group, and of what was kept the latest."""
        path, number, first = self.groups[place]
        if place != self.place or self.at > index:
            self.ahead, self.place, self.at = self._read(path, number), place, first
        while self.at <= index:
            self.held -= self.kept.pop(self.at, (None, 0))[1]
            self.kept[self.at] = read = next(self.ahead, (None, 0))
            self.at, self.held = self.at + 1, self.held + read[1]
            while self.held > KEPT_BYTES and len(self.kept) > 1:
                self.held -= self.kept.popitem(last=False)[1][1]

    def _read(self, path: Path, number: int) -> Iterator[tuple[Any, int]]:
        """Cells of a row group with their bytes, one at a time: a dictionary may repeat a large one."""
        import pyarrow.parquet as pq

        column = self.shards[0].named(IMAGE)
        with (
            readable(path),
            pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
        ):
            for row in file.iter_batches(1, row_groups=[number], columns=[column], use_threads=False):
                yield row.column(0)[0].as_py(), row.nbytes

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
