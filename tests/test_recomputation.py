"""The committed reports say what their records say, by formulas that share nothing with the package."""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from recomputation.__main__ import recompute
from recomputation.check import check_csv
from recomputation.printed import check_report, rounds_to
from recomputation.records import Study
from recomputation.report import CONSTANTS, Report
from recomputation.tables import Tables

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parent / "results" / "reference"
DEEP = "DEEP" in os.environ

SMALL = "medmnist_cpu"
SOME = ["batch_size_cpu", "robust_cpu", "scratch_cpu"]
"""A grid with a claim on spreads; ensembles, tuned on val_shift; claims on gaps and costs, three seeds."""
STUDIES = sorted(path.parent.name for path in REFERENCE.glob("*/plan.json")) if DEEP else SOME
NUMBER = re.compile(r"\d")


def test_the_recomputation_imports_nothing_of_the_package() -> None:
    for path in (HERE / "recomputation").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not [name for name in names if name.split(".")[0] == "bench"], path.name


@pytest.mark.parametrize("name", STUDIES)
def test_every_number_of_a_committed_report_is_what_its_records_say(name: str) -> None:
    found = recompute(REFERENCE, name)
    assert [line for tally in found for line in tally.mismatched] == []
    assert [f"{tally.name}: {line}" for tally in found for line in tally.uncovered] == []
    assert sum(tally.covered for tally in found) > 1_000


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A results folder with the smallest study, its trials linked."""
    shutil.copytree(REFERENCE / SMALL, tmp_path / SMALL)
    (tmp_path / "trials").mkdir()
    for trials in Study(REFERENCE, SMALL).arms.values():
        for trial in trials:
            (tmp_path / "trials" / trial.id).symlink_to(trial.folder)
    return tmp_path


def test_one_changed_prediction_is_found_in_every_table_that_rests_on_it(copied: Path) -> None:
    study = Study(copied, SMALL)
    trial = study.finished(study.baseline)[0]
    key = trial.keys["local"]
    with np.load(trial.folder / "predictions.npz") as stored:
        arrays = dict(stored)
    right = int(np.flatnonzero(arrays[f"{key}/probabilities"].argmax(1) == arrays[f"{key}/labels"])[0])
    arrays[f"{key}/probabilities"][right] = np.roll(arrays[f"{key}/probabilities"][right], 1)
    record = (trial.folder / "record.json").read_bytes()
    trial.folder.unlink()
    trial.folder.mkdir()
    (trial.folder / "record.json").write_bytes(record)
    np.savez(trial.folder / "predictions.npz", **arrays)

    wrong = {tally.name for tally in recompute(copied, SMALL) if tally.mismatched}
    assert {f"tables/{name}.csv" for name in ("arms", "claims", "noise", "results", "scores")} <= wrong
    assert "tables/classes.csv" not in wrong  # of another set


def test_every_altered_number_of_a_report_is_found(copied: Path) -> None:
    study = Study(copied, SMALL)
    sections = Report(Tables(study)).sections()
    markdown = (study.folder / "report.md").read_text("utf-8")
    places = [found.start() for found in NUMBER.finditer(markdown) if not _heading(markdown, found.start())]
    for place in places if DEEP else random.Random(0).sample(places, 150):
        digit = "7" if markdown[place] != "7" else "2"
        tallies = check_report(markdown[:place] + digit + markdown[place + 1 :], sections, CONSTANTS)
        around = markdown[max(0, place - 30) : place + 30]
        assert any(tally.mismatched or tally.uncovered for tally in tallies.values()), around


def _heading(markdown: str, place: int) -> bool:
    """Whether a place is in the title, which is the study's name and no number."""
    return markdown[: place + 1].rpartition("\n")[2].startswith("# ")


def test_a_verdict_or_outcome_that_says_otherwise_is_found(copied: Path) -> None:
    study = Study(copied, SMALL)
    sections = Report(Tables(study)).sections()
    markdown = (study.folder / "report.md").read_text("utf-8")
    for before, after in (
        ("resnet18: helps**†", "resnet18: helps**"),
        ("resnet18: helps**†", "resnet18: helps, by more than 1 point**"),
        ("**refuted**", "**supported**"),
        ("| helps† |", "| helps |"),
        ("| class 4 |", "| class 5 |"),
    ):
        assert before in markdown
        tallies = check_report(markdown.replace(before, after, 1), sections, CONSTANTS)
        assert any(tally.mismatched for tally in tallies.values()), before


@pytest.mark.parametrize(
    "table", ["arms", "claims", "classes", "costs", "noise", "robustness", "scores", "settings"]
)
def test_an_altered_cell_a_lost_row_and_an_unknown_column_are_found(copied: Path, table: str) -> None:
    study = Study(copied, SMALL)
    rows = getattr(Tables(study), table)
    path = study.folder / "tables" / f"{table}.csv"
    lines = path.read_text("utf-8").splitlines()
    assert check_csv(path, rows).mismatched == []

    last = [place for place, letter in enumerate(lines[-1]) if letter.isdigit()][-1]
    changed = f"{lines[-1][:last]}{(int(lines[-1][last]) + 5) % 10}{lines[-1][last + 1 :]}"
    path.write_text("\n".join([*lines[:-1], changed]))
    assert len(check_csv(path, rows).mismatched) == 1

    path.write_text("\n".join(lines[:-1]))
    assert check_csv(path, rows).mismatched

    path.write_text("\n".join([f"{lines[0]},novel", *(f"{line},1" for line in lines[1:])]))
    assert len(check_csv(path, rows).uncovered) == len(lines) - 1


@pytest.mark.parametrize(
    ("value", "printed", "agrees"),
    [
        (0.05, "0.1", True),
        (0.0499, "0.1", False),
        (-1.05, "−1.05", True),
        (1234.4, "1,234", True),
        (12.5, "14", False),
    ],
)
def test_a_number_agrees_to_the_digits_that_are_printed(value: float, printed: str, agrees: bool) -> None:
    assert rounds_to(value, printed) is agrees
