from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise, write_folder
from tiny import machine_in, write_study
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import preview as commands
from bench.commands.preview import preview
from bench.data import provide, sheets
from bench.data.sheets import Strip
from bench.errors import UserError
from bench.progress.terminal import Terminal

QUIET = Terminal(quiet=True)
HIDDEN = """\
[hidden.other-lab]
kind = "synthetic"
images = 40
[hidden.heavy]
kind = "corrupted"
[hidden.micro]
kind = "corrupted"
profile = "micro-c"
families = ["jpeg", "noise"]
severities = [1, 5]
images = 4
"""
ARMS = """\
flips = { augment = ["flip"] }
again = { augment = ["flip"], balance = "upsample" }
"a/b: mixup" = { augment = ["flip", "mixup"] }
small = { augment = ["flip"], data.size_px = 20 }
static = { augment = ["flip"], augment_mode = "static" }
"""

Drawn = dict[str, tuple[str, list[Strip]]]
"""Title and strips of every sheet, by the stem of its file."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study with every kind of sheet lies."""
    return tmp_path_factory.mktemp("preview")


@pytest.fixture(scope="module")
def drawn(home: Path) -> Drawn:
    """What that study has drawn."""
    drawings: list[tuple[str, list[Strip]]] = []
    real = sheets.draw

    def draw(title: str, strips: list[Strip], columns: int) -> Image.Image:
        drawings.append((title, list(strips)))
        return real(title, strips, columns)

    study = write_study(home, hidden=HIDDEN, arms=ARMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "draw", draw)
        files = preview(study, machine_in(home), QUIET)
    assert all(file.is_file() for file in files)
    return dict(zip([file.stem for file in files if file.stem != "balance"], drawings, strict=True))


def test_there_is_a_sheet_of_everything_and_of_nothing_twice(drawn: Drawn) -> None:
    assert list(drawn) == [
        "splits",
        "augment-flips",
        "augment-a-b-mixup",
        "augment-small",
        "augment-static",
        "hidden-other-lab",
        "hidden-heavy",
        "hidden-heavy-severities",
        "hidden-micro",
        "hidden-micro-severities",
    ]


def test_images_that_are_not_square_are_shown_in_every_way_to_become_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = noise(60, size=32)[:, :16]
    write_folder(tmp_path / "cells", wide, [k % 2 for k in range(60)], ["ant", "bee"])
    study = write_study(tmp_path)
    text = study.read_text().replace('"synthetic"', '"folder:cells"\nfit = "pad"\nfill = "edge"')
    study.write_text(text.replace("n_images = 120\n", ""))
    drawn: list[list[Strip]] = []
    real = sheets.draw
    monkeypatch.setattr(sheets, "draw", lambda *given: drawn.append(list(given[1])) or real(*given))
    files = preview(study, machine_in(tmp_path), QUIET)
    assert "fit" in [file.stem for file in files]
    (strips,) = (one for one in drawn if one[0].heading.startswith("as they are; framed"))
    assert [strip.heading for strip in strips[1:]] == ["crop", "pad, edge, as the study has it", "squash"]
    assert [{tile.pixels.shape for tile in strip.tiles} for strip in strips] == [{(16, 32, 3)}] + 3 * [
        {(16, 16, 3)}
    ]


def test_splits_show_every_class_on_three_sides(drawn: Drawn) -> None:
    strips = drawn["splits"][1]
    assert [strip.heading.partition(":")[0] for strip in strips] == ["train", "validation", "test"]
    for strip in strips:
        assert len({tile.caption for tile in strip.tiles}) == 8
    shown = [tile.pixels.tobytes() for strip in strips for tile in strip.tiles]
    assert len(shown) == len(set(shown))


def test_every_list_of_augmentations_gets_the_same_sixteen_images(drawn: Drawn) -> None:
    flips, mixup, small, static = (
        drawn[f"augment-{name}"] for name in ("flips", "a-b-mixup", "small", "static")
    )
    for title, strips in (flips, mixup, small, static):
        assert [len(strip.tiles) for strip in strips] == [16] * 5, title
        assert [tile.caption for tile in strips[0].tiles] == [tile.caption for tile in flips[1][0].tiles]
    assert flips[0].startswith("tiny: flips, again: flip (p=0.5")
    assert "(static: drawn once, before training)" in static[0]
    assert small[1][0].tiles[0].pixels.shape == (20, 20, 3)
    for one, other in zip(flips[1][0].tiles, mixup[1][0].tiles, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_flipped_image_is_the_image_or_its_mirror(drawn: Drawn) -> None:
    before, *draws = drawn["augment-flips"][1]
    changed = 0
    for strip in draws:
        for tile, own in zip(strip.tiles, before.tiles, strict=True):
            same, mirrored = (np.array_equal(tile.pixels, side) for side in (own.pixels, own.pixels[:, ::-1]))
            assert same or mirrored
            changed += not same
    assert 10 < changed < 54  # of 64


def test_a_hidden_set_is_shown_with_the_classes_of_the_study(drawn: Drawn) -> None:
    (strip,) = drawn["hidden-other-lab"][1]
    assert strip.heading == "other-lab: 40 images of 8 classes"
    assert len(strip.tiles) == 40


def test_every_severity_of_every_family_is_shown(drawn: Drawn) -> None:
    before, *families = drawn["hidden-micro-severities"][1]
    assert len(before.tiles) == 2
    assert [strip.heading.partition(":")[0] for strip in families] == ["jpeg", "noise"]
    for strip in families:
        assert [tile.caption for tile in strip.tiles] == ["severity 1", "severity 5"] * 2
        for k, base in enumerate(before.tiles):
            mild, strong = (strip.tiles[2 * k + s].pixels.astype(int) for s in (0, 1))
            assert 0 < np.abs(mild - base.pixels).mean() < np.abs(strong - base.pixels).mean()


def test_corrupted_copies_stand_below_their_images(drawn: Drawn) -> None:
    before, after = drawn["hidden-heavy"][1]
    assert len(before.tiles) == len(after.tiles) > 2
    for tile in after.tiles:
        assert 2 <= len(tile.caption.split("\n")) <= 4
    before, after = drawn["hidden-micro"][1]
    assert [tile.caption for tile in after.tiles] == ["jpeg/1", "jpeg/5", "noise/1", "noise/5"]


def test_corrupted_copies_are_those_that_a_trial_is_scored_on(drawn: Drawn, home: Path) -> None:
    run = commands.prepare(home / "tiny.toml", machine_in(home)).runs[0]
    scored = next(scored for scored in run.sets if scored.name == "micro")
    real = {image.tobytes() for image in provide.held_out(run.trial, scored, home / "cache").images}
    shown = [
        tile.pixels.tobytes() for strip in drawn["hidden-micro-severities"][1][1:] for tile in strip.tiles
    ]
    assert len(shown) == 8
    assert set(shown) <= real


def test_val_shift_is_made_of_validation_images(tmp_path: Path) -> None:
    shift = '[val_shift]\nkind = "corrupted"\nprofile = "micro-c"\nfamilies = ["jpeg"]\n'
    files = preview(write_study(tmp_path, hidden=shift), machine_in(tmp_path), QUIET)
    assert [file.name for file in files][-2:] == ["val_shift.png", "val_shift-severities.png"]


def test_sheets_go_to_the_study_or_where_they_are_wanted(tmp_path: Path) -> None:
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    assert preview(study, machine, QUIET)[0] == tmp_path / "results" / "tiny" / "preview" / "splits.png"
    assert preview(study, machine, QUIET, tmp_path / "here")[0] == tmp_path / "here" / "splits.png"


def test_gray_images_can_be_previewed(tmp_path: Path) -> None:
    labels = np.arange(80, dtype=np.int64) % 2
    np.savez(tmp_path / "gray.npz", images=noise(80)[..., 0], labels=labels)
    study = write_study(tmp_path, hidden='[hidden.heavy]\nkind = "corrupted"\n')
    study.write_text(
        study.read_text().replace('"synthetic"', '"npz:gray.npz"').replace("n_images = 120\n", "")
    )
    stems = [file.stem for file in preview(study, machine_in(tmp_path), QUIET)]
    assert stems == ["splits", "balance", "augment-flips", "hidden-heavy", "hidden-heavy-severities"]


def test_cross_validation_shows_its_first_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path, seeds=1)
    folds = 'replicates = { kind = "folds", k = 3 }'
    study.write_text(study.read_text().replace("seeds = 1", folds))
    titles: list[str] = []
    real = sheets.draw
    monkeypatch.setattr(sheets, "draw", lambda *of: (titles.append(of[0]), real(*of))[1])
    preview(study, machine_in(tmp_path), QUIET)
    assert titles[0] == "tiny: splits, seed 0, fold 0"


def test_an_external_set_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "other", noise(4), [0, 1] * 2, ["stars", "moons"])
    hidden = '[hidden.other]\nkind = "external"\nsource = "folder:other"\n'
    with pytest.raises(UserError, match='"moons" is not a class of the study'):
        preview(write_study(tmp_path, hidden=hidden), machine_in(tmp_path), QUIET)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ra + cutmix", "ra-cutmix"),
        ("../../etc", "etc"),
        ("a/b", "a-b"),
        ("中", "unnamed"),
        ("x" * 99, "x" * 60),
    ],
)
def test_labels_become_safe_file_names(label: str, name: str) -> None:
    assert commands.slug(label) == name


def test_labels_that_become_one_name_get_files_of_their_own() -> None:
    names = [name for name, _ in commands._unlike([(stem, Image.Image) for stem in ("A", "a", "b", "a")])]
    assert names == ["A", "a-2", "b", "a-3"]


def test_the_command_prints_the_files_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    done = CliRunner().invoke(app, ["data", "preview", "tiny.toml", "--out", "here"], catch_exceptions=False)
    assert done.stdout.splitlines() == ["here/splits.png", "here/balance.png", "here/augment-flips.png"]
