"""A CSV table of image files and their labels."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from bench.data.content import Asked, Located
from bench.data.reader import Reader
from bench.data.tables import Table, listed, located_by, reader_of
from bench.errors import UserError, shorten
from bench.registry import sources

MOST_COLUMNS = 10_000
DELIMITERS = ",;\t"


def locate(asked: Asked) -> Located:
    """Known by the images that it lists, their labels, and what else of it a study uses."""
    return located_by(asked, listed(read_table(asked.path)))


@sources.register("csv", path="file", locate=locate)
def csv_table(
    path: Path, classes: tuple[str, ...] | None = None, bit_range: tuple[int, int] | None = None
) -> Reader:
    """A CSV table: one row an image, with its file and its label.

    path       UTF-8, cells divided by comma, semicolon or tab; its first row names the columns, in any case:
               ``file`` (filename, file_name, path; from the table's folder), ``label`` (class), and where the
               images are already split ``split`` (train, val, test). Any other is a column for ``groups``
    classes    the labels in another order: else whole numbers come by value, others by the alphabet
    bit_range  the values of 16-bit images that become 0 and 255; else 0 and 65535
    """
    return reader_of(path, listed(read_table(path)), classes, bit_range)


def read_table(path: Path) -> Table:
    """The cells of a CSV file, as text. Raises UserError that names the line."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8; save it as UTF-8 (Excel: CSV UTF-8), as names with accents need"
        ) from None
    head, *_ = text.splitlines() or [""]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=head.count), strict=True)
    try:
        rows = [
            (reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {_wrong(error)}") from None
    if not rows:
        raise UserError(f"{path} is empty; its first row names the columns: file,label")
    (_, header), *body = rows
    if len(header) > MOST_COLUMNS:
        raise UserError(
            f"{path} has {len(header):,} columns, of which at most {MOST_COLUMNS:,} are read\n"
            "    save a table of files, labels and what groups them"
        )
    double = next((name for name, count in Counter(header).items() if count > 1), None)
    if double is not None:
        raise UserError(f"{path}: two columns are called {shorten(double)}; give each a name of its own")
    for line, row in body:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}: {len(row)} cells {shorten(row)}, the header has {len(header)} "
                f"{shorten(header)}\n    a cell that holds a comma is written in quotes"
            )
    columns = {name: [row[k] for _, row in body] for k, name in enumerate(header)}
    return Table(path, columns, [f"line {line}" for line, _ in body])


def _wrong(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell of more than {csv.field_size_limit():,} characters; is there a quote too many?"
    return f"{error}; a quoted cell ends with a quote"
