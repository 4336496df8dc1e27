from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise

from bench.data.fingerprint import locate
from bench.data.groups import groups_of
from bench.data.sources.csv_table import csv_table, read_table
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Source
from bench.recipe import Data

PIXELS = noise(4)


def write(folder: Path, text: str | bytes, images: tuple[str, ...] = ("a.png", "b.png", "c/d.png")) -> Path:
    for name, pixels in zip(images, PIXELS, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    file = folder / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def located(file: Path, **keys: object) -> Source:
    machine = Machine(cache=file.parent / "cache")
    return locate(f"csv:{file}", Data.model_validate({"source": "csv:x", **keys}), machine, file.parent)


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,wolf\nc/d.png,ant\nb.png,ant\n",
        b"\xef\xbb\xbfFile;Label\r\n\r\na.png ; wolf\r\n.\\c\\d.png;ant\r\nb.png;ant\r\n",
        'note\tclass\tfilename\n"tab\tand\nline"\twolf\ta.png\n\tant\tb.png\n\tant\tc/d.png',
    ],
)
def test_rows_come_by_file_whatever_the_order_the_delimiter_and_the_names_of_columns(
    tmp_path: Path, text: str | bytes
) -> None:
    reader = csv_table(write(tmp_path, text))
    assert (reader.classes, reader.labels.tolist()) == (("ant", "wolf"), [1, 0, 0])
    assert (list(reader.names), reader.split) == (["a.png", "b.png", "c/d.png"], None)
    np.testing.assert_array_equal(reader.native(2), PIXELS[2])
    assert reader.size is not None
    assert reader.size(0) == (16, 16)
    assert reader.file is not None
    assert reader.file(2) == tmp_path / "c/d.png"


def test_labels_that_are_numbers_come_by_value_and_may_be_reordered_only(tmp_path: Path) -> None:
    file = write(tmp_path, "path,class\na.png,10\nb.png,9\n")
    assert csv_table(file).classes == ("9", "10")
    assert csv_table(file, ("10", "9")).labels.tolist() == [0, 1]
    with pytest.raises(UserError, match=r"do not match the labels of .*labels.csv\n.*there are"):
        csv_table(file, ("cat", "dog"))


def test_a_split_column_is_the_official_split_in_any_spelling(tmp_path: Path) -> None:
    file = write(tmp_path, "file,label,split\na.png,x,Training\nb.png,y,valid\nc/d.png,x,TEST\n")
    split = csv_table(file).split
    assert split is not None
    assert split.tolist() == [0, 1, 2]
    assert located(file).official
    assert not located(write(tmp_path, "file,label\na.png,x\nb.png,y\n")).official


def test_any_other_column_may_be_named_as_groups(tmp_path: Path) -> None:
    file = write(tmp_path, "file,label,patient\na.png,x,P2\nb.png,y,P1\nc/d.png,x,P2\n")
    assert groups_of(csv_table(file), "patient", "csv:labels.csv").tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="has no column of that name"):
        groups_of(csv_table(file), "donor", "csv:labels.csv")
    write(tmp_path, "file,label,patient\na.png,x,P2\nb.png,y,\n")
    with pytest.raises(UserError, match=r"there is no patient for 1 of 2 images .*\n.*b\.png"):
        groups_of(csv_table(file), "patient", "csv:labels.csv")


def test_it_is_known_by_images_labels_sides_and_groups_and_by_nothing_else(tmp_path: Path) -> None:
    rows = ["a.png,x,P1,n", "b.png,y,P1,n", "c/d.png,x,P2,n"]

    def known(rows: list[str], groups: str | None = None) -> str:
        text = "\n".join(["file,label,patient,note", *rows])
        return located(write(tmp_path, text), groups=groups).fingerprint

    before, grouped = known(rows), known(rows, "patient")
    assert known(rows[::-1]) == before
    assert known([row.replace(",n", ",other") for row in rows]) == before
    assert known([*rows[:2], "c/d.png,x,P3,n"]) == before
    assert known([*rows[:2], "c/d.png,x,P3,n"], "patient") != grouped
    assert known([*rows[:2], "c/d.png,y,P2,n"]) != before
    assert known(rows[:2]) != before
    seen = located(write(tmp_path, "file,label\na.png,x\nb.png,y\nc/d.png,x\n")).seen
    assert seen is not None
    assert seen.images == {"x": 2, "y": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"labels\.csv is empty; its first row names the columns"),
        ("file,label\n", "has a header and no row"),
        ("image,dx\na.png,x", r'\["image", "dx"\]\n.*needed are file \(or .*\) and label \(or class\)'),
        ("file,path,label\na.png,a.png,x", "columns file and path, which mean the same"),
        ("file,label,label\na.png,x,y", 'two columns are called "label"'),
        ("file,label\na.png,x,y", r"labels\.csv, line 2: 3 cells .*header has 2"),
        (b"file,label\na.png,x\nb.png,caf\xe9", r"labels\.csv, line 3: not UTF-8"),
        ('file,label\na.png,"x', r"labels\.csv, line 2: .*quote"),
        ("file,label\na.png,x\nb.png,\n,y", r'1 of 3 rows have nothing in the column "file".*\n  line 4'),
        ("file,label\na.png,x\nb.png, \n", r'1 of 2 rows have nothing in the column "label".*\n  line 3'),
        ("file,label\n/a.png,x", r'absolute path in the column "file".*\n  line 2: "/a.png"'),
        ("file,label\nD:\\a.png,x", r'absolute path in the column "file".*\n  line 2: "D:/a.png"'),
        ("file,label\na.png,x\n./a.png,y", r"that another has; .*\n  line 3: \"a.png\", as line 2"),
        ("file,label\na.png,x\ne.png,y", r'1 of 2 .* column "file" that is not in .*\n  line 3'),
        ("file,label\na,x\nb,y", r"; there is a\.png: write the suffix too\n  line 2: \"a\"\n  line 3"),
        ("file,label,split\na.png,x,train\nb.png,y,fold1", r'side of a split .*"split".*\n  line 3: "fold1"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_row_and_column(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        csv_table(write(tmp_path, text))


def test_many_rows_with_the_same_thing_wrong_are_counted(tmp_path: Path) -> None:
    rows = "\n".join(f"{k}.png,x" for k in range(30))
    with pytest.raises(UserError) as error:
        csv_table(write(tmp_path, f"file,label\n{rows}"))
    assert str(error.value).startswith(f"{tmp_path / 'labels.csv'}: 30 of 30 rows")
    assert re.search(r"… and 20 more$", str(error.value))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",".join(map(str, range(20_000))), "has 20,000 columns, of which at most 10,000 are read"),
        ("file,label\n" + "x" * 140_000 + ",a", "a cell of more than 131,072 characters"),
    ],
)
def test_a_table_beyond_measure_is_refused_at_once(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=problem):
        read_table(tmp_path / "x.csv")
