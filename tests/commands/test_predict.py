from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import machine_in
from typer.testing import CliRunner

from bench.cli import app
from bench.commands.predict import predict, scored
from bench.data import content
from bench.errors import UserError
from bench.plan import Run
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store

QUIET = Terminal(quiet=True)
STUDY = """\
question = "Does a flip help?"
seeds = 2
[data]
source = "folder:cells"
size_px = 16
[hidden.there]
kind = "external"
source = "folder:there"
[hidden.worn]
kind = "corrupted"
profile = "micro-c"
families = ["brightness-up", "noise"]
severities = [1, 3]
images = 4
[recipe]
model = { name = "custom_cnn", widths = [4], dense = 8 }
batch_size = 32
stages = [{ train = "all", steps = 3 }]
[arms]
none = {}
flips = { augment = ["flip"], tta = "flips" }
"""
Rows = list[dict[str, str]]


def draw(folder: Path, count: int, seed: int) -> None:
    """Two class folders of smooth noise, 20 × 24 px."""
    rng = np.random.default_rng(seed)
    for name, low in (("dark", 0), ("pale", 120)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(low, low + 130, (24, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two arms and two seeds that was run on files."""
    folder = tmp_path_factory.mktemp("predict")
    draw(folder / "cells", 30, 0)
    draw(folder / "there", 4, 1)
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", machine_in(folder), Options(), QUIET)
    return folder


def runs_of(home: Path, arm: str) -> list[Run]:
    return [run for run in prepare(home / "tiny.toml", machine_in(home)).runs if run.arm == arm]


def rows(text: str) -> Rows:
    return list(csv.DictReader(io.StringIO(text)))


def labelled(home: Path, wanted: str, source: str, terminal: Terminal = QUIET) -> Rows:
    return rows(predict(wanted, source, machine_in(home), terminal, None))


def stored(home: Path, wanted: str, name: str, terminal: Terminal = QUIET) -> Rows:
    return rows(scored(wanted, name, machine_in(home), terminal, None))


@pytest.mark.parametrize("arm", ["none", "flips"])
def test_files_get_what_the_trial_said_when_it_was_scored(home: Path, arm: str) -> None:
    """A trial sees a set in one order and other neighbours in a batch: sums may round in the last digit."""
    id = runs_of(home, arm)[0].trial.id
    new = {row["file"]: row for row in labelled(home, id, str(home / "cells"))}
    assert len(new) == 60
    for name in ("local", "val"):
        said = stored(home, id, name)
        assert said
        for row in said:
            mine = new[row["file"]]
            assert (mine["class"], mine["trials"], mine["problem"]) == (row["class"], "1", "")
            assert float(mine["p_dark"]) == pytest.approx(float(row["p_dark"]), abs=6e-4)
            assert row["file"].startswith(row["label"])


def test_that_several_networks_speak_together_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = labelled(home, "none", str(home / "there"), Terminal())
    assert f"none: the mean of {rows[0]['trials']} networks" in capsys.readouterr().err
    assert int(rows[0]["trials"]) > 1


def test_an_arm_says_the_mean_of_its_seeds(home: Path) -> None:
    both = labelled(home, "tiny/none", str(home / "there"))
    each = [labelled(home, run.trial.id, str(home / "there")) for run in runs_of(home, "none")]
    assert len(each) == 2
    for row, one, other in zip(both, *each, strict=True):
        assert row["file"] == one["file"]
        assert float(row["p_pale"]) == pytest.approx(
            (float(one["p_pale"]) + float(other["p_pale"])) / 2, abs=1e-6
        )
        assert row["class"] == max(("dark", "pale"), key=lambda name: float(row[f"p_{name}"]))
        assert row["trials"] == "2"
    assert stored(home, "none", "there")[0]["trials"] == "2"


def test_stored_predictions_are_those_of_the_file(home: Path) -> None:
    run = runs_of(home, "none")[0]
    key = next(one.key for one in run.sets if one.name == "there")
    kept = Store(home / "results").predictions(run.trial.id)[key]
    said = stored(home, run.trial.id, "there")
    assert sorted(row["file"] for row in said) == sorted(
        f"{c}/{n}.png" for c in ("dark", "pale") for n in range(4)
    )
    assert sorted(float(row["p_dark"]) for row in said) == pytest.approx(
        sorted(kept.probabilities[:, 0].tolist()), abs=1e-6
    )  # printed to six digits


def test_a_corrupted_set_has_a_row_for_each_condition_of_each_image(home: Path) -> None:
    said = stored(home, "none", "worn")
    assert {row["condition"] for row in said} == {
        "brightness-up/1",
        "brightness-up/3",
        "noise/1",
        "noise/3",
    }
    assert len({(row["file"], row["condition"]) for row in said}) == len(said) == 16


def test_without_the_images_the_predictions_have_ids(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "there").rename(home / "gone")
    try:
        said = stored(home, "none", "there", Terminal())
    finally:
        (home / "gone").rename(home / "there")
    assert all(row["file"].startswith("id ") for row in said)
    assert "no file names" in capsys.readouterr().err


def test_folders_tables_and_arrays_hold_the_same_images(home: Path, tmp_path: Path) -> None:
    files = sorted((home / "there").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    for number, file in enumerate(files):
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / f"{number}.PNG").write_bytes(file.read_bytes())
    (tmp_path / "flat" / "notes.txt").write_text("no image")
    np.savez(tmp_path / "some.npz", images=pixels)
    (tmp_path / "list.csv").write_text(
        "who;File\n" + "".join(f"x;flat\\{n}.PNG\n" for n in range(len(files)))
    )
    said = [
        [{k: v for k, v in row.items() if k != "file"} for row in labelled(home, "none", source)]
        for source in (
            f"folder:{home / 'there'}",
            str(tmp_path / "flat"),
            f"npz:{tmp_path / 'some.npz'}",
            str(tmp_path / "list.csv"),
        )
    ]
    assert said[0] == said[1] == said[2] == said[3]
    assert labelled(home, "none", str(tmp_path / "some.npz"))[3]["file"] == "images[3]"


def test_a_file_that_cannot_be_read_has_a_row_that_says_why(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((home / "there").glob("*/*.png")).read_bytes()
    (tmp_path / "a.png").write_bytes(good)
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "list.csv").write_text("file\nb.png\na.png\nnowhere.png\n")
    said = labelled(home, "none", str(tmp_path / "list.csv"), Terminal())
    assert [row["file"] for row in said] == ["b.png", "a.png", "nowhere.png"]
    assert [bool(row["class"]) for row in said] == [False, True, False]
    assert "b.png" in said[0]["problem"]
    assert "No such file" in said[2]["problem"]
    assert said[0]["p_dark"] == ""
    assert "2 of 3 images cannot be read: b.png, nowhere.png" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_not_waited_for_and_a_device_not_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = next((home / "there").glob("*/*.png")).read_bytes()
    inside = tmp_path / "in"
    inside.mkdir()
    os.mkfifo(inside / "a.png")
    (inside / "b.png").symlink_to("/dev/zero")
    (inside / "c.png").write_bytes(good)
    with (inside / "d.png").open("wb") as sparse:
        sparse.truncate(content.MAX_BYTES + 1)
    (tmp_path / "list.csv").write_text("file\n" + "".join(f"in/{n}.png\n" for n in "abcd"))
    why = "is a pipe, a socket or a device, not a file"
    for source in (inside, tmp_path / "list.csv"):
        said = labelled(home, "none", str(source))
        assert [row["problem"].partition(": ")[2] for row in said][:3] == [why, why, ""]
        assert "at most 1,073,741,824 are read" in said[3]["problem"]
    os.mkfifo(tmp_path / "out.csv")
    with pytest.raises(UserError, match="is a pipe"):
        predict("none", str(inside), machine_in(home), QUIET, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").is_fifo()


def test_a_trial_without_weights_still_has_its_scores_and_the_arm_goes_on_without_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = runs_of(home, "flips")[1].trial.id
    weights = Store(home / "results").weights_path(id)
    aside = weights.rename(weights.with_suffix(".aside"))
    try:
        assert labelled(home, "flips", str(home / "there"), Terminal())[0]["trials"] == "1"
        assert "1 trials speak; seed 1 weights not kept" in capsys.readouterr().err
        assert stored(home, id, "local")
        with pytest.raises(UserError, match="were not kept"):
            labelled(home, id, str(home / "there"))
    finally:
        aside.rename(weights)


@pytest.mark.parametrize(
    ("wanted", "source", "words"),
    [
        ("nonne", "there", "nor is it an arm"),
        ("tiny/nonne", "there", 'did you mean "none"'),
        ("none", "nowhere", "no folder, .csv or .npz"),
        ("none", "empty", "holds no image"),
        ("none", "tiny.csv", "needed is file"),
    ],
)
def test_what_is_not_there_is_said(home: Path, wanted: str, source: str, words: str) -> None:
    (home / "empty").mkdir(exist_ok=True)
    (home / "tiny.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=words):
        labelled(home, wanted, str(home / source))


def test_a_set_that_was_not_scored_is_said(home: Path) -> None:
    with pytest.raises(UserError, match='did you mean "there"'):
        stored(home, "none", "thre")


def test_the_command_writes_a_table(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    shown = CliRunner().invoke(
        app,
        ["predict", "none", str(home / "there"), "--out", str(out), "--results", str(home / "results"), "-q"],
    )
    assert shown.exit_code == 0, shown.output
    assert shown.output.strip() == str(out)
    assert list(rows(out.read_text())[0]) == ["file", "class", "p_dark", "p_pale", "trials", "problem"]
