"""A table's columns become slices of its test images: known before a trial, asked for at any time."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studies import complaint, read
from tiny import machine_in

from bench.commands.plan import plan_text
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.slices import FILE

STUDY = """\
question = "Does a flip help?"
seeds = 2

[data]
source = "csv:cells.csv"
size_px = 16
split = { train = 0.4, val = 0.2, test = 0.4 }

[hidden.elsewhere]
kind = "external"
source = "csv:cells_2.csv"
allow_overlap = true

SLICES

[recipe]
model = { name = "custom_cnn", widths = [4], dense = 8 }
batch_size = 16
stages = [{ train = "all", steps = 2 }]

[arms]
none = {}
flips = { augment = ["flip"] }
"""
SLICES = '[slices]\nlocal = ["scanner"]\nelsewhere = ["scanner", "age"]'


def study(folder: Path, slices: str) -> Path:
    """120 images of two classes, of scanners A (also without a name) and B; an id of its own for each."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 16, 16, 3), dtype=np.uint8)
    for table in ("cells", "cells_2"):
        (folder / table).mkdir(exist_ok=True)
        with (folder / f"{table}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "label", "scanner", "age", "id"])
            for k, image in enumerate(pixels if table == "cells" else 255 - pixels):
                Image.fromarray(image).save(folder / table / f"{k}.png")
                rows.writerow([f"{table}/{k}.png", "ab"[k % 2], ("A", "A", "B", "")[k % 4], 40 + k % 3, k])
    file = folder / "scanners.toml"
    file.write_text(STUDY.replace("SLICES", slices))
    return file


def run(file: Path) -> tuple[int, str]:
    ending = run_study(file, machine_in(file.parent), Options(), Terminal(quiet=True))
    return ending.ran, ending.report.read_text()


def test_slices_are_told_of_finished_trials_without_training_anything(tmp_path: Path) -> None:
    file = study(tmp_path, "")
    ran, report = run(file)
    assert ran == 4
    assert "## Slices" not in report
    ran, report = run(study(tmp_path, SLICES))
    assert ran == 0
    section = report.partition("## Slices")[2].partition("\n## ")[0]
    counted = dict(re.findall(r"\| elsewhere \| (\S+ \S+) \| (\d+) \| none", section.replace("**", "")))
    assert counted == {
        "scanner: A": "60",
        "scanner: B": "30",
        "age: 40": "40",
        "age: 41": "40",
        "age: 42": "40",
    }
    home = dict(re.findall(r"\| local \| (\S+ \S+) \| (\d+) \| none", section.replace("**", "")))
    assert set(home) == {"scanner: A", "scanner: B"}
    assert sum(map(int, home.values())) < 48, "those without a name are in no slice"
    kept = machine_in(tmp_path).results / "scanners" / FILE
    assert kept.is_file()
    ran, report = run(study(tmp_path, ""))
    assert (ran, "## Slices" in report, kept.exists()) == (0, False, False)


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ('[slices]\nlocal = ["scaner"]', 'no column of that name; did you mean "scanner"'),
        ('[slices]\nelsewhere = ["id"]', "[slices] elsewhere: id has 120 values; 2 to 20 make slices"),
    ],
)
def test_a_column_that_makes_no_slices_is_refused_before_the_first_trial(
    tmp_path: Path, slices: str, problem: str
) -> None:
    file = study(tmp_path, slices)
    for ask in (run, lambda file: plan_text(file, machine_in(tmp_path), False)):
        with pytest.raises(UserError, match=re.escape(problem)):
            ask(file)


def test_slices_are_of_sets_with_columns() -> None:
    heavy = "[hidden.heavy]\nkind = 'corrupted'\n[arms]\nnone = {}\n[slices]\n"
    assert read(f"{heavy}local = ['scanner']").slices == {"local": ("scanner",)}
    assert "has the slices of local" in complaint(f"{heavy}heavy = ['scanner']")
    assert "no set of that name" in complaint(f"{heavy}lokal = ['scanner']")
    assert 'names the column "scanner" twice' in complaint(f"{heavy}local = ['scanner', 'scanner']")


def test_a_file_of_slices_that_cannot_be_written_loses_no_trial_and_no_report(tmp_path: Path) -> None:
    file, machine = study(tmp_path, SLICES), machine_in(tmp_path)
    (machine.results / "scanners" / FILE / "in the way").mkdir(parents=True)
    ending = run_study(file, machine, Options(), Terminal(quiet=True))
    assert (ending.ran, ending.exit_code) == (4, 1)
    (said,) = ending.failures
    assert said.startswith("slices.npz cannot be written, and the report tells no slices: ")
    assert "## Slices" not in ending.report.read_text()


def test_a_claim_is_declared_with_the_images_of_its_slice_before_the_first_trial(tmp_path: Path) -> None:
    claim = (
        '\n[[claims]]\nsays = "It helps there"\nbetter = "flips"\nthan = "none"\nmetric = "local.accuracy"\n'
    )
    file = study(tmp_path, SLICES)
    plain = file.read_text()
    file.write_text(plain + claim + 'slice = { scanner = "C" }\n')
    with pytest.raises(UserError, match=r"a claim is on local\.accuracy where scanner is C: no image has"):
        run(file)
    file.write_text(plain + claim + 'slice = { scanner = "B" }\n')
    _, report = run(file)
    said = json.loads((machine_in(tmp_path).results / "scanners" / "declared.json").read_text())
    assert list(said["slices"]) == ["local.accuracy where scanner is B"]
    assert "on *local.accuracy where scanner is B* against none" in report


def test_a_claim_that_will_never_be_judged_is_said_before_the_first_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, metric = (
        study(tmp_path, '[slices]\nelsewhere = ["scanner"]'),
        "elsewhere.accuracy where scanner is C",
    )
    table = tmp_path / "cells_2.csv"
    table.write_text(table.read_text().replace(",B,", ",C,", 7))
    claims = """
[[claims]]
says = "It helps there"
better = "flips"
than = "none"
metric = "elsewhere.accuracy"
slice = { scanner = "C" }

[[claims]]
says = "The same loss"
better = "flips"
than = "none"
metric = "local.nll"
expect = "no difference"

[[claims]]
says = "The same accuracy"
better = "flips"
than = "none"
expect = "no difference"
"""
    few.write_text(few.read_text() + claims)
    wanted = (
        f"a claim on {metric} is not judged: 7 images have that, 10 are needed for a verdict",
        'claim "The same loss" is not judged: no difference needs a δ, and local.nll is not in points; '
        "claim a score in points, or expect better",
    )
    said = plan_text(few, machine_in(tmp_path), False)
    assert all(said.count(line) == 1 for line in wanted)
    assert '"The same accuracy"' not in said
    run_study(few, machine_in(tmp_path), Options(), Terminal())
    told = capsys.readouterr().err
    assert all(told.count(f"scanners: {line}\n") == 1 for line in wanted)


def test_a_claim_on_few_images_of_the_test_set_is_said_however_many_the_source_has(tmp_path: Path) -> None:
    file = study(tmp_path, '[slices]\nlocal = ["scanner"]')
    table = tmp_path / "cells.csv"
    table.write_text(table.read_text().replace(",B,", ",C,", 15))
    claim = '[[claims]]\nsays = "It helps"\nbetter = "flips"\nthan = "none"\nmetric = "local.accuracy"\n'
    claim += 'slice = { scanner = "C" }\n'
    file.write_text(file.read_text().replace("seeds = 2", "seeds = 3") + claim)
    said = re.search(
        r"claim on local.accuracy where scanner is C is not judged: (\d) images of the test set have that",
        plan_text(file, machine_in(tmp_path), False),
    )
    assert said is not None
    _, report = run(file)
    assert re.search(
        r"scanner is C.*too few errors: the arms (never disagree|disagree on \d images only)", report
    )
    file.write_text(file.read_text().replace("seeds = 3", 'replicates = { kind = "folds", k = 2 }'))
    assert "is not judged" not in plan_text(file, machine_in(tmp_path), False), "every image is tested on"
