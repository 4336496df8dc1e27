"""A study on images of patients, from file names to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import machine_in

from bench.commands.inspect import as_data, as_text, inspect
from bench.commands.plan import plan_json, plan_text
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.store import Store

STUDY = """\
question = "Does a flip help?"
seeds = 2

[data]
source = "folder:cells"
size_px = 16
split = { train = 0.5, val = 0.25, test = 0.25 }
GROUPS

[hidden.heavy]
kind = "corrupted"

[hidden.elsewhere]
kind = "external"
source = "folder:elsewhere"
allow_overlap = true

[recipe]
model = { name = "custom_cnn", widths = [4], dense = 8 }
batch_size = 16
stages = [{ train = "all", steps = 2 }]

[arms]
none = {}
flips = { augment = ["flip"] }
"""
BY_NAME = 'groups = { pattern = "^(P[0-9]+)_" }'


def study(folder: Path, groups: str = BY_NAME, patients: int = 12) -> Path:
    """Images of so many patients, 8 each, of two classes; and as many elsewhere, of nobody named."""
    pixels = np.random.default_rng(0).integers(0, 256, (8 * patients, 16, 16, 3), dtype=np.uint8)
    for k, image in enumerate(pixels):
        for place in (f"cells/{'ab'[k % 2]}/P{k // 8}_{k}.png", f"elsewhere/{'ab'[k % 2]}/{k}.png"):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / place)
    file = folder / "patients.toml"
    file.write_text(STUDY.replace("GROUPS", groups))
    return file


def test_patients_in_file_names_are_the_items_of_the_report(tmp_path: Path) -> None:
    file, machine = study(tmp_path), machine_in(tmp_path)
    ending = run_study(file, machine, Options(), Terminal(quiet=True))
    report = ending.report.read_text()
    assert "- Set local: 24 images of 3 groups" in report
    assert "- Set heavy: 24 images of 3 groups" in report
    assert "- Set elsewhere: 96 images, key" in report
    assert "- elsewhere: images are taken as independent" in report
    store = Store(machine.results)
    said = [store.predictions(id) for id in store.ids()]
    assert all(len({p.groups is None for p in of.values()}) == 2 for of in said)
    again = run_study(file, machine, Options(), Terminal(quiet=True))
    assert (again.ran, again.report.read_text()) == (0, report)


def test_a_plan_counts_patients_and_says_when_there_are_too_few_for_a_verdict(tmp_path: Path) -> None:
    file, machine = study(tmp_path), machine_in(tmp_path)
    file.write_text(file.read_text().replace("seeds = 2", "seeds = 3\nprimary = 'heavy.accuracy'"))
    text = plan_text(file, machine, False)
    assert 'groups    by file names, "^(P[0-9]+)_": 6 to train on, 3 to validate, 3 to test\n' in text
    assert "split  " not in text
    assert "no verdict: 3 groups to test on, a verdict takes 10 on which arms disagree" in text
    assert json.loads(plan_json(file, machine, False))["shares"]["groups"] == {
        "train": 6,
        "val": 3,
        "test": 3,
    }


def test_a_plan_says_which_shares_whole_patients_cannot_give(tmp_path: Path) -> None:
    file = study(tmp_path, patients=5)
    text = plan_text(file, machine_in(tmp_path), False)
    assert "split     test has 20.0 % of the images where 25 % was asked for: duplicates and groups" in text


def test_an_inspection_shows_how_many_patients_there_are_and_how_large(tmp_path: Path) -> None:
    seen = inspect(str(study(tmp_path)), None, machine_in(tmp_path), Terminal(quiet=True))
    assert "groups         12, of 8 to 8 images, the median 8" in as_text(seen).splitlines()
    assert as_data(seen)["group_sizes"] == [8] * 12
    plain = inspect(f"folder:{tmp_path / 'cells'}", 16, machine_in(tmp_path), Terminal(quiet=True))
    assert "groups  " not in as_text(plain)
    assert as_data(plain)["group_sizes"] is None


@pytest.mark.parametrize("groups", [BY_NAME, ""])
def test_groups_make_other_trials(tmp_path: Path, groups: str) -> None:
    machine = machine_in(tmp_path)
    plain = json.loads(plan_json(study(tmp_path, ""), machine, False))["trials"]
    grouped = json.loads(plan_json(study(tmp_path, groups), machine, False))["trials"]
    assert (plain[0]["id"] != grouped[0]["id"]) is bool(groups)
    assert (plain[0]["sets"]["heavy"] != grouped[0]["sets"]["heavy"]) is bool(groups)
    assert plain[0]["sets"]["elsewhere"] == grouped[0]["sets"]["elsewhere"]
