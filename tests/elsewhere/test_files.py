"""Files of predictions are read as one table, whatever form they have."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elsewhere.tables import CLASSES, answered, predicted, write

from bench.elsewhere.files import read
from bench.errors import UserError


def test_every_form_of_the_same_table_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table = predicted().round(4)
    table["seed"] = table.seed + 7
    write(table, tmp_path / "a.csv")
    table.to_csv(tmp_path / "b.csv", index=False, sep=";", encoding="utf-8-sig")
    table.to_parquet(tmp_path / "c.parquet")
    columns = {name: table[name].to_numpy() for name in table if not name.startswith("p_")}
    columns = {name: each.astype(str) if each.dtype == object else each for name, each in columns.items()}
    columns = {name: np.array(each.tolist()) for name, each in columns.items()}
    said = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    np.savez(tmp_path / "d.npz", probabilities=said, classes=np.array(CLASSES), **columns)
    first, *others = (read([tmp_path / name]) for name in ("a.csv", "b.csv", "c.parquet", "d.npz"))
    assert first.classes == CLASSES
    assert (first.place(0), others[1].place(0)) == ("line 2", "row 1")
    for other in others:
        assert set(other.cells) == {"arm", "seed", "set", "image", "label"}
        assert all((first.cells[name] == other.cells[name]).all() for name in first.cells)
        assert np.allclose(first.said, other.said, atol=1e-12)


def test_several_files_and_a_folder_are_one_table_and_say_which_file_a_row_is_from(tmp_path: Path) -> None:
    table = predicted()
    for (arm, seed), part in table.groupby(["arm", "seed"]):
        write(part, tmp_path / "runs" / f"{arm}-{seed}.csv")
    sheet = read([tmp_path / "runs"])
    assert (len(sheet.files), len(sheet.number)) == (6, len(table))
    assert sheet.place(0) == "mixup-0.csv, line 2"
    again = read(sorted((tmp_path / "runs").iterdir()))
    assert (again.cells["image"] == sheet.cells["image"]).all()


def test_whole_numbers_stored_as_floats_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("arm, seed,image,label,pred\nx,0,1,cat,cat\n\nx,0,2,dog,cat\n\n")
    sheet = read([file])
    assert sheet.cells["seed"].tolist() == ["0", "0"]
    assert [sheet.place(row) for row in range(2)] == ["line 2", "line 4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arm,seed,image\nx,0,1\n", "lacks the columns label, p_<class> or pred"),
        ("arm,seed,image,label,pred\n", "holds no row"),
        ("arm,seed,image,label,p_a\nx,0,1,a,1\n", "one column of probabilities"),
        ("arm,seed,image,label,p_a,p_\nx,0,1,a,1,0\n", 'the column "p_" names no class'),
        ("arm,seed,image,label,pred,groups\nx,0,1,a,a,p\n", 'means nothing here; did you mean "group"'),
        ("arm,arm,seed,image,label,pred\nx,x,0,1,a,a\n", 'two columns are called "arm"'),
        ("arm,seed,image,label,pred\nx,0,1,a,a,9\nx,0,2,a,a,9\n", "more cells than its header"),
        ("arm,seed,image,label,pred\nx,0,1,a,a\nx,0,2,a,a,9\n", "line 3"),
        ("arm,seed,image,label,p_a,p_b\nx,0,1,a,1,0\nx,0,2,a,half,1\n", 'line 3: p_a = "half" is no number'),
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_said_with_what_is_needed(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read([file])
    assert says in str(error.value)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    first, second = write(predicted(), tmp_path / "a.csv"), write(answered(predicted()), tmp_path / "b.csv")
    with pytest.raises(UserError, match="the same p_ columns in every file, or pred in all"):
        read([first, second])
    with pytest.raises(UserError, match="is named twice"):
        read([first, first])
    with pytest.raises(UserError, match="no such file"):
        read([tmp_path / "none.csv"])
    with pytest.raises(UserError, match="or a folder of them"):
        read([tmp_path / "a.xlsx"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="file lies there"):
        read([tmp_path / "empty"])
    (tmp_path / "empty" / "gone.csv").symlink_to(tmp_path / "unmounted" / "gone.csv")
    first.rename(tmp_path / "empty" / "a.csv")
    with pytest.raises(UserError, match="is no file: a link to nothing"):
        read([tmp_path / "empty"])


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match="cannot be read"):
        read([file])


def _columns() -> dict[str, Any]:
    """The made-up predictions as arrays of text and numbers."""
    table = predicted().drop(columns="set")
    return {name: np.array(table[name].tolist(), float if name.startswith("p_") else None) for name in table}


def test_arrays_of_the_other_byte_order_are_read(tmp_path: Path) -> None:
    columns = _columns()
    np.savez(tmp_path / "a.npz", **columns)
    np.savez(tmp_path / "b.npz", **{k: v.astype(v.dtype.newbyteorder(">")) for k, v in columns.items()})
    one, other = read([tmp_path / "a.npz"]), read([tmp_path / "b.npz"])
    assert all((one.cells[name] == other.cells[name]).all() for name in one.cells)
    assert (one.said == other.said).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: {"p_cat": c["p_cat"] + 1j}, r"row 1: p_cat = .* is no number"),
        (lambda c: {"p_cat": c["p_cat"].astype("M8[s]")}, r"row 1: p_cat = .* is no number"),
        (lambda c: {"p_cat ": c["p_cat"]}, 'two columns are called "p_cat"'),
        (
            lambda c: {"probabilities": np.ones((len(c["arm"]), 3)), "classes": np.array(CLASSES)},
            'has probabilities and "p_cat"; keep one',
        ),
    ],
)  # fmt: skip
def test_arrays_that_mean_two_things_or_none_are_refused(tmp_path: Path, change: Any, says: str) -> None:
    columns = _columns()
    np.savez(tmp_path / "a.npz", **columns | change(columns))
    with pytest.raises(UserError, match=says):
        read([tmp_path / "a.npz"])


def test_a_class_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    columns = {name: cells for name, cells in _columns().items() if not name.startswith("p_")}
    said = np.ones((len(columns["arm"]), 2))
    np.savez(tmp_path / "a.npz", probabilities=said, classes=np.array(["cat", "cat"]), **columns)
    with pytest.raises(UserError, match='two columns are called "p_cat"'):
        read([tmp_path / "a.npz"])


def test_an_npz_that_holds_no_arrays_by_name_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="holds a single array"):
        read([tmp_path / "a.npz"])
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("arm.npy", b"hello")
    with pytest.raises(UserError, match='"arm" is no array'):
        read([tmp_path / "b.npz"])


def test_numbers_that_no_whole_number_holds_are_text(tmp_path: Path) -> None:
    columns = _columns()
    columns["seed"] = np.full(len(columns["arm"]), 1e300)
    columns["image"] = np.arange(len(columns["arm"])) * 1e19
    np.savez(tmp_path / "a.npz", **columns)
    cells = read([tmp_path / "a.npz"]).cells
    assert (cells["seed"][0], cells["image"][1]) == ("1e+300", "1e+19")


def test_what_pandas_says_of_a_parquet_file_does_not_matter(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = predicted()
    table.set_index(["arm", "seed", "image"]).to_parquet(tmp_path / "index.parquet")
    table.set_index(table.index + 1).to_parquet(tmp_path / "plain.parquet")
    stored = pa.Table.from_pandas(table)
    for number, nonsense in enumerate(("[]", '{"index_columns":[{}],"columns":3}', "[" * 200_000)):
        pq.write_table(stored.replace_schema_metadata({"pandas": nonsense}), tmp_path / f"{number}.parquet")
    first, *others = (read([file]) for file in sorted(tmp_path.iterdir()))
    for other in others:
        assert not other.unused
        assert all((first.cells[name] == other.cells[name]).all() for name in first.cells)


def test_names_of_a_parquet_file_that_are_not_text_or_not_distinct_are_refused(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = _columns()
    stored = pa.table({name: cells.tolist() for name, cells in columns.items()})
    arms = [name.encode() for name in columns["arm"].tolist()]
    binary = stored.set_column(stored.schema.get_field_index("arm"), "arm", pa.array(arms))
    pq.write_table(binary, tmp_path / "a.parquet")
    assert read([tmp_path / "a.parquet"]).cells["arm"].tolist() == columns["arm"].tolist()
    odd = pa.array([b"\xff" + arm for arm in arms])
    pq.write_table(
        binary.set_column(binary.schema.get_field_index("arm"), "arm", odd), tmp_path / "b.parquet"
    )
    with pytest.raises(UserError, match="not UTF-8"):
        read([tmp_path / "b.parquet"])
    for number, name in enumerate((" arm", "p_cat")):
        pq.write_table(stored.append_column(name, pa.array(arms)), tmp_path / f"c{number}.parquet")
        with pytest.raises(UserError, match=f'two columns are called "{name.strip()}"'):
            read([tmp_path / f"c{number}.parquet"])
