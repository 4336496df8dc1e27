from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import FLIPS, machine_in, write_study

from bench.commands import inspect as inspect_command
from bench.commands.plan import plan_text
from bench.data.image_files import READ
from bench.machine import Machine
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study

QUIET = Terminal(quiet=True)


def write(
    folder: Path, count: int, seed: int, shape: tuple[int, ...] = (16, 16, 3), suffix: str = "png"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{k}.{suffix}")


def study_of(folder: Path, data: str = "", hidden: str = "") -> Path:
    study = write_study(folder, arms=FLIPS, hidden=hidden)
    text = study.read_text().replace('source = "synthetic"', f'source = "folder:cells"\n{data}')
    study.write_text(text.replace("n_images = 120\n", "").replace("batch_size = 32", "batch_size = 16"))
    return study


def cells(folder: Path) -> Path:
    """Two classes with files that nobody reads, one whose copies all go."""
    write(folder / "cells" / "ant", 30, 1)
    write(folder / "cells" / "ant", 60, 2, suffix="jp2")
    write(folder / "cells" / "bee", 30, 3)
    (folder / "cells" / "bee" / "gone.png").symlink_to(folder / "nowhere.png")
    copy = (folder / "cells" / "bee" / "0.png").read_bytes()
    for k in range(19):
        (folder / "cells" / "bee" / f"copy{k}.png").write_bytes(copy)
    return folder


def test_plan_run_and_report_say_what_became_of_every_file(tmp_path: Path) -> None:
    study, machine = study_of(cells(tmp_path)), machine_in(tmp_path)
    said = plan_text(study, machine, smoked=False)
    left_out = 'left out, 20 3 or more copies of one image (outliers = "keep" keeps them) (bee 20)'
    assert "local: 140 files or images found, 59 used" in said
    assert f"local: {left_out}" in said
    assert f"local: not read, 60 .jp2 files (ant 60); {READ} in class folders are" in said
    assert "local: not read, 1 links to nothing (bee 1)" in said
    report = run_study(study, machine, Options(), QUIET).report.read_text()
    assert plan_text(study, machine, smoked=False).split("done")[0] == said.split("done")[0]
    assert "Images of local: 140 files or images found, 59 used" in report
    assert left_out in report.replace("\\", "")
    (account,) = read_plan_file(report_folder(machine) / "plan.json").accounts
    assert account.images == {"ant": 30, "bee": 29}


def report_folder(machine: Machine) -> Path:
    return machine.results / "tiny"


def test_every_class_that_is_renamed_or_dropped_stands_in_the_report_with_its_number(tmp_path: Path) -> None:
    for number, name in enumerate(("ant", "bee", "cat")):
        write(tmp_path / "cells" / name, 30, number)
    for number, name in enumerate(("ANT", "bee", "dust")):
        write(tmp_path / "lab" / name, 4 + number, 10 + number)
    hidden = (
        '[hidden.lab]\nkind = "external"\nsource = "folder:lab"\nclasses = { ANT = "ant" }\n'
        'drop_classes = ["dust"]\n'
    )
    study = study_of(tmp_path, 'drop_classes = ["cat"]', hidden)
    report = run_study(study, machine_in(tmp_path), Options(), QUIET).report.read_text().replace("\\", "")
    assert "Images of local: 90 files or images found, 60 used" in report
    assert "Images of local: left out, 30 drop_classes (cat 30)" in report
    assert "Images of lab: 15 files or images found, 9 used" in report
    assert "Images of lab: counted as ant, ANT 4" in report
    assert "Images of lab: left out, 6 drop_classes (dust 6)" in report


def test_what_the_central_square_cuts_off_is_told(tmp_path: Path) -> None:
    """A cell at the left of 48 × 16 pixels is not in the square in the middle: two thirds are cut off."""
    for number, name in enumerate(("ant", "bee")):
        write(tmp_path / "cells" / name, 15, number, (16, 48, 3))
        write(tmp_path / "cells" / name, 15, number, (16, 16, 3), "jpg")
    told = "30 images of which the central square leaves out more than a tenth (33 % on average over all)"
    assert told in plan_text(study_of(tmp_path), machine_in(tmp_path), smoked=False)
    seen = inspect_command.inspect(f"folder:{tmp_path / 'cells'}", 16, machine_in(tmp_path), QUIET)
    said = "crop: 33.3% of the images, on average, is cut off, in 30 of 60 more than a tenth"
    assert said in inspect_command.as_text(seen)
    assert round(json.loads(inspect_command.as_json(seen))["cropped"], 3) == 0.333
    np.savez(tmp_path / "x.npz", images=np.zeros((60, 20, 10, 3), np.uint8), labels=np.arange(60) % 2)
    wide = inspect_command.inspect(f"npz:{tmp_path / 'x.npz'}", 16, machine_in(tmp_path), QUIET)
    assert "crop: 50.0% of the images, on average, is cut off" in inspect_command.as_text(wide)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('fit = "pad"\nfill = "edge"', "pad: 66.7% of the squares, on average, is bars (edge), in 60 of 60"),
        ('fit = "squash"', "squash: longer sides are pressed together by 66.7% on average, in 60 of 60"),
    ],
)
def test_what_padding_and_squashing_cost_is_told_and_nothing_is_cut_off(
    tmp_path: Path, data: str, says: str
) -> None:
    for number, name in enumerate(("ant", "bee")):
        write(tmp_path / "cells" / name, 30, number, (16, 48, 3))
    study = study_of(tmp_path, data)
    seen = inspect_command.inspect(str(study), 16, machine_in(tmp_path), QUIET)
    assert says in inspect_command.as_text(seen)
    assert json.loads(inspect_command.as_json(seen))["cropped"] == 0
    assert "central square" not in plan_text(study, machine_in(tmp_path), smoked=False)


def test_inspect_counts_transparent_and_deep_images(tmp_path: Path) -> None:
    write(tmp_path / "cells" / "ant", 3, 1, (16, 16, 4))
    write(tmp_path / "cells" / "bee", 4, 2)
    Image.fromarray(np.full((16, 16), 5000, np.uint16)).save(tmp_path / "cells" / "bee" / "deep.png")
    said = inspect_command.as_text(
        inspect_command.inspect(f"folder:{tmp_path / 'cells'}", 16, machine_in(tmp_path), QUIET)
    )
    assert "3 images with transparent pixels, laid on white" in said
    assert "1 image of 16 bits, scaled by [data] bit_range" in said


def test_trials_of_an_earlier_version_of_the_data_are_told_from_trials_never_run(tmp_path: Path) -> None:
    for number, name in enumerate(("ant", "bee")):
        write(tmp_path / "cells" / name, 30, number)
    study, machine = study_of(tmp_path), machine_in(tmp_path)
    run_study(study, machine, Options(), QUIET)
    assert "earlier version" not in plan_text(study, machine, smoked=False)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "cells" / "ant" / "new.png")
    said = plan_text(study, machine, smoked=False)
    assert "done      0 · 2 to run" in said
    assert "2 trials belong to an earlier version of this data (1 image more now)" in said
