from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import noise, write_folder
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import inspect as commands
from bench.commands import inspect_page as pages
from bench.data.inspect import Inspection
from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
QUIET = Terminal(quiet=True)
EVIL = "<b>&evil"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one with a name that is markup; four copies in both, one pair, one near-duplicate pair."""
    place = tmp_path_factory.mktemp("look")
    pixels = noise(62)
    almost = pixels[61].copy()
    almost[0, 0, 0] ^= 1
    images = np.concatenate([pixels[:60], [pixels[60]] * 4, pixels[:1], [pixels[61], almost]])
    labels = [0, 1] * 30 + [0, 0, 1, 1] + [0] + [0, 1]
    write_folder(place / "cells", images, labels, [EVIL, "tame"])
    return place


@pytest.fixture(scope="module")
def seen(folder: Path) -> Inspection:
    """That folder, looked at."""
    return commands.inspect(f"folder:{folder / 'cells'}", 16, Machine(cache=folder / "cache"), QUIET)


def test_the_first_screen_says_what_drop_removes_and_why(seen: Inspection) -> None:
    text = commands.as_text(seen)
    assert 'identical images   2 clusters, 6 images; outliers = "drop" removes 5 of them' in text
    conflict, pair = (line for line in text.splitlines() if "copies  " in line)
    assert conflict.split("  ")[-3:] == [
        "CONFLICT, labels disagree: all dropped",
        f"{EVIL} × 2, tame × 2",
        f"{EVIL}/0060.png, {EVIL}/0061.png, …",
    ]
    assert pair.endswith(f"  {EVIL} × 2  {EVIL}/0000.png, {EVIL}/0064.png")
    assert "one stays" in pair


def test_the_first_screen_counts_classes_and_sides(seen: Inspection) -> None:
    lines = commands.as_text(seen).splitlines()
    row = next(line for line in lines if line.startswith("all "))
    images, outliers, left, *sides = map(int, row.split()[1:])
    assert (images, outliers, left) == (67, 5, 62)
    assert sum(sides) == 62
    assert lines[0].endswith("67 images · 2 classes · colour")
    assert "native sizes   16 × 16; looked at with 16 px" in lines


def test_near_duplicates_that_are_more_than_copies_are_listed(seen: Inspection) -> None:
    text = commands.as_text(seen)
    assert "  more than copies of one image: 1" in text
    assert f"labels differ: {EVIL}, tame  {EVIL}/0065.png, tame/0066.png" in text


def test_names_cannot_steer_a_terminal() -> None:
    assert commands._printed("a\x1b[31mb\n") == "a?[31mb?"


def test_what_cannot_be_split_is_said_in_the_text(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(32), [0] * 30 + [1] * 2, ["a", "few"])
    seen = commands.inspect(f"folder:{tmp_path / 'cells'}", 16, Machine(cache=tmp_path), QUIET)
    text = commands.as_text(seen)
    assert "no study can split what is left:" in text
    assert "few: 2 images" in text
    assert commands.as_data(seen)["classes"][1] == {"name": "few", "images": 2, "outliers": 0}


# -- as data -------------------------------------------------------------------------------------------------


def test_the_data_holds_every_copy_with_its_fate(seen: Inspection) -> None:
    data = json.loads(commands.as_json(seen))
    first, second = data["identical"]
    assert first["conflict"] is True
    assert first["labels"] == {EVIL: 2, "tame": 2}
    assert [member["dropped"] for member in first["members"]] == [True] * 4
    assert second["conflict"] is False
    assert [member["dropped"] for member in second["members"]] == [False, True]
    assert second["members"][1]["name"] == f"{EVIL}/0064.png"
    assert (
        sum(row["outliers"] for row in data["classes"]) == sum(c["dropped"] for c in data["identical"]) == 5
    )
    for row in data["classes"]:
        assert row["train"] + row["val"] + row["test"] == row["images"] - row["outliers"]


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_every_key_of_the_data_is_documented(seen: Inspection) -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "inspect.md").read_text("utf-8")))
    data = commands.as_data(seen)
    assert keys_of(data) - {EVIL, "tame"} <= documented
    table = re.findall(r"^\| (`[^|]*)\|", (ROOT / "docs" / "inspect.md").read_text("utf-8"), re.MULTILINE)
    named = [key for cell in table for key in re.findall(r"`([a-z_]+)`", cell)]
    assert named == list(data)


# -- as pictures ---------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_needs_no_other_file_and_runs_nothing(seen: Inspection, tmp_path: Path) -> None:
    page = Tags(pages.write_html(seen, tmp_path / "look.html").read_text("utf-8"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "a", "object"}
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    # one image for each label of the cluster, both of the pair, the two near-duplicates
    assert len(sources) == 2 + 2 + 2 + len(seen.suspects)
    with Image.open(BytesIO(base64.b64decode(sources[0].partition(",")[2]))) as image:
        assert image.size == (96, 96)


def test_names_on_the_page_are_text_never_markup(seen: Inspection, tmp_path: Path) -> None:
    page = Tags(pages.write_html(seen, tmp_path / "look.html").read_text("utf-8"))
    assert "b" not in {tag for tag, _ in page.tags}
    assert any(EVIL in text for text in page.text)


def test_dropped_images_are_marked_on_the_page(seen: Inspection, tmp_path: Path) -> None:
    page = Tags(pages.write_html(seen, tmp_path / "look.html").read_text("utf-8"))
    figures = [attributes.get("class") for tag, attributes in page.tags if tag == "figure"]
    assert figures[:4] == ["marked", "marked", None, "marked"]


def test_the_sheet_shows_what_is_dropped(seen: Inspection, tmp_path: Path) -> None:
    conflict, pair = pages.dropped_strips(seen)
    assert [(tile.caption, tile.marked) for tile in conflict.tiles] == [
        (f"{EVIL} × 2", True),
        ("tame × 2", True),
    ]
    assert [(tile.caption, tile.marked) for tile in pair.tiles] == [(EVIL, False), (EVIL, True)]
    np.testing.assert_array_equal(pair.tiles[0].pixels, pair.tiles[1].pixels)
    with Image.open(pages.write_png(seen, tmp_path / "dropped.png")) as sheet:
        assert sheet.format == "PNG"


# -- what to look at -----------------------------------------------------------------------------------------

STUDY = """\
question = "?"
[data]
source = "folder:cells"
size_px = 24
outliers = "keep"
classes = ["tame", "<b>&evil"]
[recipe]
model = "custom_cnn"
[arms]
one = {}
two = { augment = ["flip"] }
"""


def test_a_study_says_how_its_images_are_meant(folder: Path) -> None:
    (folder / "study.toml").write_text(STUDY)
    seen = commands.inspect(str(folder / "study.toml"), None, Machine(cache=folder / "cache"), QUIET)
    assert seen.images.images.shape[1] == 24
    assert seen.images.classes == ("tame", EVIL)
    assert sum(of.sum() for of in seen.sides.values()) == 62  # what drop leaves, though the study keeps


def test_size_px_wins_over_the_study(folder: Path) -> None:
    (folder / "study.toml").write_text(STUDY)
    seen = commands.inspect(str(folder / "study.toml"), 16, Machine(cache=folder / "cache"), QUIET)
    assert seen.images.images.shape[1] == 16


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("cells", 'did you mean "folder:cells"?'),
        ("set.npz", 'did you mean "npz:set.npz"?'),
        ("x", "known: a study"),
    ],
)
def test_what_is_no_source_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: str, hint: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as error:
        commands.inspect(written, None, Machine(cache=folder / "cache"), QUIET)
    assert f'"{written}" is neither a study file nor a source' in str(error.value)
    assert hint in str(error.value)


def test_the_command_prints_data_to_stdout_and_files_to_stderr(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    arguments = ["data", "inspect", "folder:cells", "--size-px", "16", "--json", "--png", "d.png", "--quiet"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["images"] == 67
    assert done.stderr == "d.png\n"
    assert (folder / "d.png").is_file()


def test_a_hidden_set_is_one_set_of_which_nothing_is_split_or_dropped(folder: Path, tmp_path: Path) -> None:
    machine, source = Machine(cache=folder / "cache"), f"folder:{folder / 'cells'}"
    study = tmp_path / "x.toml"
    lab = f'kind = "external"\nsource = "{source}"'
    study.write_text(
        'question = "?"\nbaseline = "a"\n[data]\nsource = "synthetic"\n[recipe]\nmodel = "custom_cnn"\n'
        f'[arms]\na = {{}}\n[hidden.lab]\n{lab}\n[hidden.bad]\nkind = "corrupted"\n'
    )
    shown = [
        commands.inspect(source, 16, machine, QUIET, "hidden"),
        commands.inspect(str(study), 16, machine, QUIET, "lab"),
    ]
    for seen in shown:
        text, data = commands.as_text(seen), commands.as_data(seen)
        assert (data["hidden"], sum(one["outliers"] for one in data["classes"])) == (True, 0)
        assert "a hidden set: all of it is scored" in text
        assert "identical images   2 clusters, 6 images; all are scored" in text
        assert not [word for word in ("train", "val", "outliers", "removes", "all dropped") if word in text]
        page = pages.write_html(seen, tmp_path / "look.html").read_text("utf-8")
        assert 'class="marked"' not in page
        assert "one side of every split" not in page
    for written, which in ((source, "lab"), (str(study), "bad"), (str(study), "lap")):
        with pytest.raises(UserError, match=f'--set "{which}": '):
            commands.inspect(written, 16, machine, QUIET, which)
