"""Files of predictions are read as one table, whatever form they have."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match="cannot be read"):
        read([file])
