"""Parquet files that make one table: their columns, labels and their names, and what is wrong with them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.classes import one_form
from bench.data.tables import column_of
from bench.errors import UserError, shorten

Form = tuple[str, tuple[str, ...] | None]
"""What labels are, in words, and what a ClassLabel calls them."""
HEAVY_BYTES, PACKED = 2**28, 100
"""A column of a row group that takes more bytes, and in the file less than a hundredth of them, is a trap."""


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
class Shard:
    """One file: its rows, and the types of its columns by name."""

    path: Path
    rows: int
    types: dict[str, Any]
    metadata: dict[bytes, bytes]

    def named(self, names: Sequence[str]) -> str | None:
        """The column that has one of these names, in any case. Raises UserError for two."""
        return column_of(self.path, self.types, names)

    def cells(self, name: str) -> list[Any]:
        """A column's values (N,), equal texts once in memory. Raises UserError for a damaged file."""
        import pyarrow.parquet as pq

        values: list[Any] = []
        with readable(self.path), pq.ParquetFile(self.path, read_dictionary=[name]) as file:
            for chunk in file.read(columns=[name])[name].chunks:
                if not hasattr(chunk, "dictionary"):
                    values += chunk.to_pylist()
                    continue
                known = chunk.dictionary.to_pylist()
                values += [None if k is None else known[k] for k in chunk.indices.to_pylist()]
        return values

    def labelled(self, column: str) -> Form:
        """What its labels are, and what a ClassLabel calls them. Raises UserError for what is no label."""
        import pyarrow.types as of

        kind = self.types[column]
        if not plain(kind):
            raise UserError(
                f'{self.path}: the column "{column}" is {kind_shown(kind)}; '
                "needed is one name or whole number an image (several labels an image are another task)"
            )
        what = "whole numbers" if of.is_integer(kind) else "true or false" if of.is_boolean(kind) else "text"
        return what, self.class_label(column)

    def class_label(self, column: str) -> tuple[str, ...] | None:
        """Names of a column's numbers, where Hugging Face's description of the file gives them."""
        try:
            described = json.loads(self.metadata[b"huggingface"])["info"]["features"][column]
            names: Any = described["names"] if described["_type"] == "ClassLabel" else None
            forms = tuple(map(one_form, names))
        except (KeyError, ValueError, TypeError, RecursionError):
            return None
        sound = isinstance(names, list) and len(forms) == len(set(forms)) and all(map(str.strip, forms))
        return forms if sound else None


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file while it is read becomes a UserError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(f"{path} is damaged or no Parquet: {reason}; copy it again") from None


def shards_of(path: Path) -> list[Shard]:
    """The file at ``path``, or all below it, in the order of their names; all have the same columns."""
    require()
    import pyarrow.parquet as pq

    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if p.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise UserError(f"{path}: no .parquet file there or below")
    shards = []
    for file in files:
        with readable(file):
            head = pq.read_metadata(file)
            schema = head.schema.to_arrow_schema()
        _check_sizes(file, head)
        if len(set(schema.names)) < len(schema.names):
            double = next(name for name in schema.names if schema.names.count(name) > 1)
            raise UserError(f"{file}: two columns are called {shorten(double)}; give each a name of its own")
        types = dict(zip(schema.names, schema.types, strict=True))
        shards.append(Shard(file, head.num_rows, types, schema.metadata or {}))
    for shard in shards[1:]:
        if shard.types.keys() != shards[0].types.keys():
            one, other = (shorten(list(each.types), 200) for each in (shards[0], shard))
            raise UserError(
                f"{shards[0].path} has the columns {one}\n    {shard.path} has {other}; they must agree"
            )
    if not sum(shard.rows for shard in shards):
        raise UserError(f"{path} has no row")
    return shards


def _check_sizes(file: Path, head: Any) -> None:
    """Raise UserError for a small file that would fill the memory."""
    for number in range(head.num_row_groups):
        group = head.row_group(number)
        for chunk in map(group.column, range(group.num_columns)):
            size, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
            if size > max(HEAVY_BYTES, PACKED * packed):
                raise UserError(
                    f"{file}, row group {number}: {shorten(chunk.path_in_schema)} takes {packed:,} bytes "
                    f"there and {size / 1e9:.1f} GB in memory\n"
                    "    no image shrinks so: write the file anew, with what is needed"
                )


def kind_shown(kind: Any) -> str:
    """The type of a column, for messages."""
    return str(kind)[:200]


def plain(kind: Any) -> bool:
    """Whether a column is of text, whole numbers, or true and false."""
    import pyarrow.types as of

    return bool(of.is_string(kind) or of.is_large_string(kind) or of.is_integer(kind) or of.is_boolean(kind))
