from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import noise

from bench.data import shards
from bench.data.cache import open_images
from bench.data.fingerprint import locate
from bench.data.groups import groups_of
from bench.data.reader import BrokenImageError
from bench.data.sources import parquet as room
from bench.data.sources.parquet import parquet
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Source
from bench.recipe import Data

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PIXELS = noise(6)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(pixels: np.ndarray, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def images(first: int = 0, count: int = 3) -> Any:
    cells = [{"bytes": encoded(PIXELS[first + k]), "path": f"{k}.png"} for k in range(count)]
    return pa.array(cells, STRUCT)


def write(file: Path, columns: dict[str, Any], names: list[str] | None = None, rows: int = 2) -> Path:
    """A file as ``datasets`` writes it, its class names in the schema; row groups of ``rows`` rows."""
    table = pa.table(columns)
    if names is not None:
        described = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=rows)
    return file


def located(path: Path) -> Source:
    machine = Machine(cache=path.parent / "cache")
    return locate(f"parquet:{path}", Data(source="parquet:x"), machine, path.parent)


def test_images_inside_are_read_with_the_names_of_the_class_label(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"image": images(), "label": [1, 0, 1]}, ["wolf", "ant"])
    reader = parquet(file)
    assert (reader.classes, reader.labels.tolist(), reader.split) == (("wolf", "ant"), [1, 0, 1], None)
    for index in (2, 0, 1):
        np.testing.assert_array_equal(reader.native(index), PIXELS[index])
    assert reader.names[2] == "x.parquet[2]"
    assert reader.size is not None
    assert reader.size(0) == (16, 16)
    assert parquet(file, ("ant", "wolf")).labels.tolist() == [0, 1, 0]
    with pytest.raises(UserError, match="do not match the ClassLabel of"):
        parquet(file, ("ant", "bee"))


@pytest.mark.parametrize("labels", [["b", "a", "b"], [10, 9, 10]])
def test_without_a_class_label_names_come_by_the_alphabet_and_numbers_by_value(
    tmp_path: Path, labels: list[Any]
) -> None:
    plain = pa.array([encoded(image) for image in PIXELS[:3]], pa.binary())
    reader = parquet(write(tmp_path / "x.parquet", {"img": plain, "class": labels}))
    assert reader.classes == tuple(map(str, sorted(set(labels))))
    assert reader.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(reader.native(1), PIXELS[1])


def test_shards_are_named_for_their_sides(tmp_path: Path) -> None:
    names = ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test")
    for number, name in enumerate(names):
        file = tmp_path / "data" / f"{name}.parquet"
        write(file, {"image": images(number), "label": [0, 1, 0], "donor": ["P1", None, "P2"]}, ["a", "b"])
    reader = parquet(tmp_path / "data")
    split = dict(zip(reader.names, [] if reader.split is None else reader.split.tolist(), strict=True))
    assert [split[f"{name}.parquet[0]"] for name in names] == [0, 0, 1, 2]
    for index, called in enumerate(reader.names):
        first = names.index(called.partition(".")[0])
        np.testing.assert_array_equal(reader.native(index), PIXELS[first + int(called[-2])])
    assert located(tmp_path / "data").official
    with pytest.raises(UserError, match="there is no donor for 4 of 12 images"):
        groups_of(reader, "donor", "parquet:data")
    made = open_images(
        Data(source="parquet:data", size_px=16), located(tmp_path / "data"), tmp_path / "cache"
    )
    np.testing.assert_array_equal(made.images[0], reader.native(0))


def test_a_column_says_the_side_where_there_is_one(tmp_path: Path) -> None:
    columns = {"image": images(), "label": [0, 1, 0], "split": ["train", "VALID", "test"]}
    split = parquet(write(tmp_path / "train.parquet", columns)).split
    assert split is not None
    assert split.tolist() == [0, 1, 2]
    columns["split"] = ["train", "val", "rest"]
    with pytest.raises(UserError, match=r'x.parquet, row 2, column "split": "rest" is no side of a split'):
        parquet(write(tmp_path / "x.parquet", columns))


def test_a_table_of_files_is_read_as_a_csv_table_is(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.png")):
        Image.fromarray(PIXELS[number]).save(tmp_path / name)
    columns = {"file": ["b.png", "a.png"], "label": [1, 0], "patient": [7, 8]}
    file = write(tmp_path / "x.parquet", columns, ["ant", "wolf"])
    reader = parquet(file)
    assert (reader.classes, reader.labels.tolist()) == (("ant", "wolf"), [0, 1])
    np.testing.assert_array_equal(reader.native(1), PIXELS[0])
    assert groups_of(reader, "patient", "parquet:x").tolist() == [1, 0]
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r'1 of 2 rows have a file in the column "file".*\n  row 1: "a.png"'):
        located(file)


@pytest.mark.parametrize(
    ("columns", "names", "says"),
    [
        ({"picture": [b"x"], "label": [0]}, None, r"columns .*picture.*\n.*needed is image"),
        ({"image": ["x"], "label": [0]}, None, 'column "image" is string; needed is bytes'),
        ({"image": [b"x"]}, None, r"has the columns .*\n.*needed is label"),
        ({"image": [b"x"], "label": [[0, 1]]}, None, 'column "label" is list.*several labels'),
        ({"image": [b"x"] * 2, "label": [0, -1]}, ["a"], r'row 1, column "label": -1, which stands for no'),
        ({"image": [b"x"] * 2, "label": ["a", None]}, None, r'row 1, column "label": .*no label'),
        ({"image": [b"x"] * 2, "label": ["a", "  "]}, None, r'row 1, column "label": "  ", no label'),
        (
            {"image": [b"x"], "label": ["a"], "Label": ["b"]},
            None,
            "columns label and Label, which mean the same",
        ),
        (
            {"image": [b"x"], "Image": [b"y"], "label": ["a"]},
            None,
            "columns image and Image, which mean the same",
        ),
        ({"image": [b"x"] * 2, "label": [0, 2]}, ["a", "b"], "2, but its ClassLabel has 2 names"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, None, "has no row"),
    ],
)
def test_what_is_wrong_is_told_with_file_row_and_column(
    tmp_path: Path, columns: dict[str, Any], names: list[str] | None, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        parquet(write(tmp_path / "x.parquet", columns, names))


def test_damage_is_named(tmp_path: Path) -> None:
    cells = pa.array([{"bytes": None, "path": "a.png"}, {"bytes": b"hello", "path": None}], STRUCT)
    reader = parquet(write(tmp_path / "x.parquet", {"image": cells, "label": [0, 1]}))
    with pytest.raises(
        BrokenImageError, match=r'x.parquet, row 0: no bytes of an image, only the path "a.png"'
    ):
        reader.native(0)
    with pytest.raises(BrokenImageError, match=r"x\.parquet, row 1: not a JPEG"):
        reader.native(1)
    (tmp_path / "y.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"y\.parquet is damaged or no Parquet"):
        parquet(tmp_path / "y.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.parquet file there or below"):
        parquet(tmp_path / "empty")
    write(tmp_path / "two" / "a.parquet", {"image": [b"x"], "label": [0]})
    write(tmp_path / "two" / "b.parquet", {"image": [b"x"], "class": [0]})
    with pytest.raises(UserError, match="they must agree"):
        parquet(tmp_path / "two")


def test_of_a_row_group_that_repeats_a_large_image_few_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = encoded(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    rows = [noisy if k % 2 else encoded(PIXELS[k % 6]) for k in range(60)]
    file = write(tmp_path / "x.parquet", {"image": rows, "label": [0, 1] * 30}, rows=60)
    monkeypatch.setattr(room, "KEPT_BYTES", 3 * len(noisy))
    images = room._Images(shards.shards_of(file))
    images.encoded(0)
    assert images.at == 1
    for index in (1, 30, 59, 58, 2, 40):  # on, and back: beyond what is kept from the beginning again
        assert images.encoded(index)[0] == rows[index]
        assert images.held <= 3 * len(noisy)
        assert images.held == sum(size for _, size in images.kept.values())


def test_images_of_several_row_groups_are_read_in_any_order(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"image": images(0, 6), "label": [0, 1] * 3})
    reader = parquet(file)
    for index in (0, 1, 2, 3, 0, 4, 5, 1, 0):
        np.testing.assert_array_equal(reader.native(index), PIXELS[index])


def test_a_small_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.parquet"
    rows = [bytes([k]) * 100_000 for k in range(20)]
    pq.write_table(pa.table({"image": rows, "label": [0, 1] * 10}), file, compression="zstd")
    parquet(file)
    monkeypatch.setattr(shards, "HEAVY_BYTES", 1_000_000)
    with pytest.raises(UserError, match=r'row group 0: "image" takes .* bytes there and 0\.0 GB in memory'):
        parquet(file)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (([0, 1, 0], ["a", "b"]), ([0, 1, 0], ["b", "a"]), r'0 is "a"\n.*0 is "b"; they must agree'),
        (([0, 1, 0], ["a", "b"]), ([0, 1, 0], ["a", "b", "c"]), r'2 names, 1 is "b"\n.*3 names, 2 is "c"'),
        (([0, 1, 0], ["a", "b"]), ([0, 1, 0], None), r"ClassLabel of 2 names.*\n.*without a ClassLabel"),
        (([0, 1, 0], ["a", "b"]), (["a", "b", "a"], None), r"whole numbers with.*\n.*text without"),
        (([True, False, True], None), ([0, 1, 0], None), r"true or false without.*\n.*whole numbers without"),
    ],
)
def test_shards_whose_labels_mean_different_things_are_refused_by_both_names(
    tmp_path: Path, first: tuple[Any, Any], second: tuple[Any, Any], says: str
) -> None:
    for one, other in ((first, second), (second, first)):
        for name, (labels, names) in (("test", one), ("train", other)):
            write(tmp_path / f"{name}-0.parquet", {"image": images(), "label": labels}, names)
        with pytest.raises(UserError) as error:
            parquet(tmp_path)
        assert "test-0.parquet" in str(error.value)
        assert "train-0.parquet" in str(error.value)
        if one is first:
            assert re.search(says, str(error.value))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"image": [3] * 3}, 'column "image" is int64; needed is bytes'),
        ({"label": [["a"]] * 3}, r'column "label" is list.*several labels'),
        ({"label": [0.5] * 3}, 'column "label" is double; needed is one name'),
    ],
)
def test_every_shard_is_looked_at(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    sound = {"image": images(), "label": [0, 1, 0]}
    for odd in ("a", "b"):
        for name in ("a", "b"):
            write(tmp_path / f"{name}.parquet", sound | (columns if name == odd else {}))
        with pytest.raises(UserError, match=says) as error:
            parquet(tmp_path)
        assert f"{odd}.parquet" in str(error.value)


@pytest.mark.parametrize("content", [3, "abc", [1, 2]])
def test_a_struct_whose_bytes_are_none_is_refused_once(tmp_path: Path, content: Any) -> None:
    cells = pa.array([{"bytes": content, "path": "x"}] * 2)
    with pytest.raises(UserError, match=r'column "image" is struct.*; needed is bytes'):
        parquet(write(tmp_path / "x.parquet", {"image": cells, "label": [0, 1]}))


@pytest.mark.parametrize("described", ["[" * 200_000, '["a"', '{"info":{"features":{"label":%s}}}'])
@pytest.mark.parametrize("names", ['["a", ["x"]]', '{"a": 1}', '["a", " "]', "3"])
def test_a_description_that_means_nothing_is_not_followed(tmp_path: Path, described: str, names: str) -> None:
    label = '{"_type":"ClassLabel","names":' + names + "}"
    table = pa.table({"image": images(), "label": [0, 1, 0]})
    pq.write_table(
        table.replace_schema_metadata({"huggingface": described.replace("%s", label)}),
        tmp_path / "x.parquet",
    )
    assert parquet(tmp_path / "x.parquet").classes == ("0", "1")


def test_without_pyarrow_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"needs pyarrow.*\n.*uv sync --extra parquet"):
        parquet(tmp_path)
