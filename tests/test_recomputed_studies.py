"""What no committed study has is recomputed too: made-up studies, as they are and after mutations."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretended import NAME, Pretended
from recomputation.__main__ import recompute
from recomputation.check import Tally, check_csv
from recomputation.printed import check_report
from recomputation.records import Study, Trial
from recomputation.report import CONSTANTS, Report
from recomputation.tables import Tables

DEEP = "DEEP" in os.environ
HEAD = """\
question = "Which helps?"
{top}
[data]
{data}
size_px = 32
{hidden}
[recipe]
model = "custom_cnn"
optimizer = {{ name = "adam", lr = 1e-3 }}
stages = [{{ train = "all", epochs = 2 }}]
[arms]
none = {{}}
randaugment = {{ augment = ["randaugment"] }}
blur = {{ augment = ["blur"] }}
"""
HEAVY = '[hidden.heavy]\nkind = "corrupted"'
MICRO = """\
[hidden.heavy]
kind = "corrupted"
profile = "micro-c"
families = ["defocus", "jpeg", "rotation"]
severities = [1, 3]"""
CLAIMS = """
[[claims]]
says = "RandAugment helps at home"
better = "randaugment"
than = "none"
metric = "local.accuracy"
margin = 2.0
[[claims]]
says = "Blur changes nothing"
better = "none"
than = "blur"
expect = "no difference"
[[claims]]
says = "It closes the gap"
better = "*"
than = "none"
metric = "gap.heavy"
[[claims]]
says = "As fast"
better = "randaugment"
than = "none"
metric = "cost.seconds"
[[claims]]
says = "Steadier"
better = "blur"
than = "none"
metric = "seed_sd"
"""
SCORES = "".join(
    f'[[claims]]\nsays = "Of {score}"\nbetter = "randaugment"\nthan = "blur"\nmetric = "local.{score}"\n'
    for score in ("balanced_accuracy", "macro_f1", "auc", "nll")
)
TUNE = """
[tune]
candidates = 8
shared = true
[tune.space]
"optimizer.lr" = { low = 1e-5, high = 1e-1, log = true }
"""


def _study(
    top: str = "seeds = 5", data: str = 'source = "synthetic"', hidden: str = HEAVY, rest: str = CLAIMS
) -> str:
    return HEAD.format(top=top, data=data, hidden=hidden) + rest


def _ends(run: Any) -> str:
    """One candidate diverges, one runs out of memory; one diverges as a finalist."""
    if run.trial.replicate.seed >= 1_000_000:
        return "diverged" if run.candidate == 6 else ""
    return {1: "diverged", 5: "oom"}.get(run.candidate, "")


DIVERGED = {"none": (1, 7), "blur": (0, 1, 2), "randaugment": (3, 4)}
NEVER = '[[claims]]\nsays = "Blur diverges"\nbetter = "blur"\nexpect = "does not converge"\n'


def _is(run: Any, arm: str, *seeds: int) -> bool:
    return run.arm == arm and run.trial.replicate.seed in seeds


def _screen(top: str, **parts: str) -> str:
    """Three augmentations and two learning rates in eight arms."""
    study = _study(f'design = "screen"\n{top}', rest=EFFECTS, **parts)
    arms = study[study.index("[arms]") : study.index("[[claims]]")]
    return study.replace(arms, FACTORS)


def _ladder() -> str:
    study = _study('design = "ladder"\nseeds = 4\naa = true')
    further = '["randaugment", { name = "blur", p = 0.3 }], optimizer = { name = "adam", lr = 2e-3 }'
    return study.replace('["blur"]', further)


FACTORS = """\
[factors]
augment.toggle = ["flip", "blur", "cutmix"]
"optimizer.lr" = [1e-3, 1e-2]
"""
EFFECTS = """
[[claims]]
says = "Blur takes from flips"
effect = ["augment.flip", "augment.blur"]
[[claims]]
says = "CutMix closes the gap"
effect = "augment.cutmix"
metric = "gap.heavy"
[[claims]]
says = "Flips change nothing at home"
effect = "augment.flip"
metric = "local.accuracy"
expect = "no difference"
"""
PATIENTS = "source = \"folder:../cells\"\ngroups = '([a-z]+)_.*'"
FOLDS = 'replicates = { kind = "folds", k = 5 }'
TWO = HEAVY + '\n[hidden.other]\nkind = "synthetic"'
LAB = '\n[hidden.lab]\nkind = "external"\nsource = "folder:../lab"'
BALANCED = 'primary = "local.balanced_accuracy"'
SLICES = '[slices]\nlocal = ["scanner", "age"]\n'
COLUMNS = {"local": {"scanner": "ABCD", "age": ("40-49", "50-59")}}
ON_SLICES = """
[[claims]]
says = "RandAugment helps on the other scanner"
better = "randaugment"
than = "none"
metric = "local.accuracy"
slice = { scanner = "B" }
margin = 1.25
[[claims]]
says = "Blur changes nothing in the old, corrupted or not"
better = ["none", "randaugment"]
than = "blur"
metric = "heavy.accuracy"
slice = { age = "50-59" }
expect = "no difference"
[[claims]]
says = "Nor where hardly anybody is"
better = "blur"
than = "none"
metric = "local.accuracy"
slice = { scanner = "D" }
[[claims]]
says = "Nor where nobody was tested"
better = "blur"
than = "none"
metric = "local.accuracy"
slice = { scanner = "elsewhere" }
[[claims]]
says = "It is surer of the young"
better = "none"
than = "randaugment"
metric = "local.nll"
slice = { age = "40-49" }
"""
ON_LAB = """
[[claims]]
says = "It helps with their scanner"
better = "randaugment"
than = "none"
metric = "lab.balanced_accuracy"
slice = { scanner = "A" }
"""
EFFECT_ON_SLICE = """
[[claims]]
says = "Blur harms on the other scanner"
effect = "augment.blur"
metric = "local.accuracy"
slice = { scanner = "B" }
expect = "no gain"
"""
AGAIN = ("searches", "patients", "folds", "looks", "further")
CASES: dict[str, Callable[[Path], Pretended]] = {
    "searches": partial(Pretended, text=_study("seeds = 3\naa = true", rest=TUNE), ends=_ends),
    "patients": partial(
        Pretended,
        text=_study("seeds = 5\naa = true", data=PATIENTS, hidden=MICRO, rest=CLAIMS + SCORES),
        patients={"test": 25, "val": 25},
    ),
    "folds": partial(Pretended, text=_study(f"{FOLDS}\naa = true", hidden=TWO)),
    "looks": partial(
        Pretended,
        text=_study("aa = true", rest=SLICES + CLAIMS + ON_SLICES),
        looks=(4, 6),
        slices=COLUMNS,
    ),
    "further": partial(
        Pretended,
        text=_study("seeds = 4\nbaseline_seeds = 7\naa = true", hidden=MICRO),
        images={"heavy": 30},
    ),
    "little": partial(
        Pretended,
        text=_study("seeds = 5", hidden=MICRO),
        images={"heavy": 30},
        ends=lambda run: "diverged" * _is(run, "blur", 2),
        little=lambda run: "validation loss 1.08" * _is(run, "randaugment", 1, 3),
    ),
    "diverged": partial(
        Pretended,
        text=_study("seeds = 6\nbaseline_seeds = 8", rest=SLICES + CLAIMS + SCORES + NEVER + ON_SLICES),
        slices=COLUMNS,
        ends=lambda run: "diverged" * any(_is(run, arm, *seeds) for arm, seeds in DIVERGED.items()),
    ),
    "screen": partial(
        Pretended,
        text=_screen("seeds = 4\naa = true", data=PATIENTS, hidden=f"{MICRO}\n{SLICES}") + EFFECT_ON_SLICE,
        slices=COLUMNS,
        images={"heavy": 40},
        patients={"test": 25, "val": 25},
    ),
    "screen over folds": partial(Pretended, text=_screen(FOLDS, hidden=TWO)),
    "ladder": partial(Pretended, text=_ladder()),
    "patients over folds": partial(
        Pretended, text=_study(FOLDS, data=PATIENTS), patients={"test": 25, "val": 25}
    ),
    "slices": partial(
        Pretended,
        text=_study(
            "seeds = 5\naa = true",
            hidden=MICRO + LAB,
            rest=SLICES + 'lab = ["scanner"]' + CLAIMS + ON_SLICES + ON_LAB,
        ),
        images={"test": 200, "heavy": 60, "lab": 90},
        slices=COLUMNS | {"lab": {"scanner": "AX"}},
    ),
    "slices of patients over folds": partial(
        Pretended,
        text=_study(FOLDS, data=PATIENTS, rest=SLICES + ON_SLICES),
        patients={"test": 25, "val": 25},
        slices=COLUMNS,
    ),
    "slices over folds of few": partial(
        Pretended, text=_study(f"{FOLDS}\n{BALANCED}", rest=SLICES), slices=COLUMNS
    ),
    "slices of few": partial(
        Pretended,
        text=_study(f"seeds = 5\nbaseline_seeds = 7\n{BALANCED}", rest=SLICES),
        images={"test": 44},
        slices=COLUMNS,
        ends=lambda run: "diverged" * _is(run, "blur", 2),
    ),
    "slices, undefined": partial(
        Pretended,
        text=_study('seeds = 3\nprimary = "local.auc"', rest=SLICES),
        images={"test": 16},
        slices=COLUMNS,
    ),
    "slices by nats": partial(
        Pretended,
        text=_study('seeds = 4\nprimary = "local.nll"', rest=SLICES + ON_SLICES),
        slices=COLUMNS,
    ),
    "few": partial(Pretended, text=_study('seeds = 3\nprimary = "local.auc"'), images={"test": 16}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A results folder with the study of a case, made once."""
    found: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda handle: None)
                found[name] = CASES[name](tmp_path_factory.mktemp(name)).finish()
        return found[name]

    return make


def _wrong(found: list[Tally]) -> set[str]:
    return {tally.name.removeprefix("tables/").removesuffix(".csv") for tally in found if tally.mismatched}


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_what_the_records_say(made: Callable[[str], Path], name: str) -> None:
    found = recompute(made(name), NAME)
    assert [line for tally in found for line in tally.mismatched] == []
    assert [f"{tally.name}: {line}" for tally in found for line in tally.uncovered] == []


def test_the_cases_have_what_they_are_there_for(made: Callable[[str], Path]) -> None:
    said = {name: (made(name) / NAME / "report.md").read_text("utf-8") for name in CASES}
    assert "The best 3 of an arm were trained again with 4 fresh seeds" in said["searches"]
    assert "a tie |" in said["searches"]
    assert all("| none again (A/A) |" in said[name] for name in AGAIN)
    assert "1 diverged, 1 failed" in said["searches"]
    assert re.search(r"of \d+ groups", said["patients"])
    assert "Δ unseen vs baseline" in said["patients"]
    assert "5 folds" in said["folds"]
    assert "Looked at after 4, 6 seeds" in said["looks"]
    assert "of the baseline also 4, 5, 6" in said["further"]
    assert "unstable (2/5 little learned)" in said["little"]
    assert "done, little learned" in said["little"]
    assert "if it converges" in said["diverged"]
    assert "3 of 6 seeds diverged" in said["diverged"]
    assert "too few errors" in said["few"]
    assert "helps, by more than 0.5 points** on *local.accuracy where scanner is B*" in said["slices"]
    assert "not judged** on *local.accuracy where scanner is D*" in said["slices"]
    assert "Not judged: no image of it was tested on" in said["slices"]
    assert "| lab | scanner: A |" in said["slices"]
    assert re.search(r"of \d+ groups", said["slices of patients over folds"])
    assert "balanced accuracy | undefined |" not in said["slices of few"]
    assert "auc | undefined |" in said["slices, undefined"]
    of_few = r"\| local \| scanner: B \| 14 \| [^|]+ \| balanced accuracy \| \d+\.\d \|"
    assert re.search(of_few, said["slices of few"])
    assert "(≥ " in said["few"]


@pytest.mark.parametrize("name", CASES if DEEP else ["searches", "slices"])
def test_every_altered_number_of_a_report_is_found(made: Callable[[str], Path], name: str) -> None:
    study = Study(made(name), NAME)
    sections = Report(Tables(study)).sections()
    markdown = (study.folder / "report.md").read_text("utf-8")
    places = [found.start() for found in re.finditer(r"\d", markdown)]
    for place in random.Random(0).sample(places, 500 if DEEP else 50):
        digit = str((int(markdown[place]) + 5) % 10)  # not the next one: 43.75 may be printed as 43.7 or 43.8
        tallies = check_report(markdown[:place] + digit + markdown[place + 1 :], sections, CONSTANTS)
        around = markdown[max(0, place - 30) : place + 30]
        assert any(tally.mismatched or tally.uncovered for tally in tallies.values()), around


Edit = Callable[[dict[str, Any]], None]
Find = Callable[[Study], list[Trial]]


@pytest.fixture
def changed(made: Callable[[str], Path], tmp_path: Path) -> Callable[..., set[str]]:
    """The tables that no longer agree once a trial's record, its predictions, or the plan say otherwise."""

    def change(name: str, find: Find, record: Edit | None = None, said: Edit | None = None) -> set[str]:
        results = shutil.copytree(made(name), tmp_path / name)
        for trial in find(Study(results, NAME)):
            if record:
                file = trial.folder / "record.json"
                table = json.loads(file.read_text("utf-8"))
                record(table)
                file.write_text(json.dumps(table))
            if said:
                file = trial.folder / "predictions.npz"
                with np.load(file) as stored:
                    arrays = dict(stored)
                said(arrays)
                np.savez(file, **arrays)
        return _wrong(recompute(results, NAME))

    return change


def _finalist(study: Study) -> list[Trial]:
    return study.searches[0].finalists[0].trials[:1]


def _first(study: Study) -> list[Trial]:
    return study.finished(study.baseline)[:1]


def _every(study: Study) -> list[Trial]:
    return [trial for arm in [*study.arms, study.repeated] for trial in study.finished(arm)]


def test_a_finalist_that_scored_otherwise_is_found(changed: Callable[..., set[str]]) -> None:
    def better(record: dict[str, Any]) -> None:
        record["validation"]["accuracy"] -= 0.02

    assert {"tuning", "results", "report.md, Tuning"} <= changed("searches", _finalist, record=better)


def test_a_finalist_that_answered_otherwise_is_found_in_the_lead(changed: Callable[..., set[str]]) -> None:
    def turn(arrays: dict[str, Any]) -> None:
        arrays["val/probabilities"] = np.roll(arrays["val/probabilities"], 1, axis=1)

    assert changed("searches", _finalist, said=turn) == {"tuning", "report.md, Tuning"}


def test_other_patients_are_found(changed: Callable[..., set[str]]) -> None:
    def swap(arrays: dict[str, Any]) -> None:
        for name in arrays:
            if name.endswith("/groups"):
                arrays[name] = np.arange(len(arrays[name]), dtype=np.int32) % 13

    assert {"arms", "scores", "claims"} <= changed("patients", _every, said=swap)


def test_a_corruption_under_another_name_is_found(changed: Callable[..., set[str]]) -> None:
    def rename(arrays: dict[str, Any]) -> None:
        for name in arrays:
            if name.endswith("/condition_names"):
                arrays[name] = np.roll(arrays[name], 2)

    assert {"robustness", "families", "corruptions"} <= changed("patients", _first, said=rename)


@pytest.mark.parametrize("name", ["folds", "looks", "few", "patients", "slices"])
def test_one_answer_that_is_another_is_found(changed: Callable[..., set[str]], name: str) -> None:
    wrong = changed(name, _first, said=lambda arrays: _with_labels(arrays, _turn))
    assert {"arms", "scores", "results", "claims"} <= wrong


def _with_slices(results: Path, edit: Edit) -> None:
    file = results / NAME / "slices.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    edit(arrays)
    np.savez(file, **arrays)


def test_images_of_another_scanner_are_found(made: Callable[[str], Path], tmp_path: Path) -> None:
    def swap(arrays: dict[str, Any]) -> None:
        codes = arrays["local/codes of scanner"]
        codes[np.flatnonzero(codes == 1)[:3]] = 0

    results = shutil.copytree(made("slices"), tmp_path / "slices")
    _with_slices(results, swap)
    wrong = _wrong(recompute(results, NAME))
    assert {"slices", "claims", "prediction", "evidence", "report.md, Slices", "report.md, Claims"} <= wrong
    assert not {"arms", "scores", "results"} & wrong


@pytest.mark.parametrize("column", ["images", "mean", "low", "effect", "effect_high", "worst"])
def test_a_wrong_cell_of_a_slice_is_found(made: Callable[[str], Path], tmp_path: Path, column: str) -> None:
    tables = Tables(Study(made("slices"), NAME))
    with (made("slices") / NAME / "tables" / "slices.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    row = next(one for one in rows if one[column])
    row[column] = "" if column == "worst" else f"{float(row[column]) * 1.00001:.10g}"
    path = tmp_path / "slices.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows(rows)
    found = check_csv(path, tables.slices)
    assert [line.partition(":")[0] for line in found.mismatched] == [f"row {rows.index(row) + 1}, {column}"]


@pytest.mark.parametrize("name", ["searches", "folds"])
def test_one_answer_of_the_baseline_again_that_is_another_is_found(
    changed: Callable[..., set[str]], name: str
) -> None:
    wrong = changed(name, lambda study: study.again[:1], said=lambda arrays: _with_labels(arrays, _turn))
    assert wrong == {"arms", "results", "report.md, first screen"}


def test_one_answer_of_a_further_seed_that_is_another_is_found(changed: Callable[..., set[str]]) -> None:
    wrong = changed(
        "further", lambda study: study.further[:1], said=lambda arrays: _with_labels(arrays, _turn)
    )
    assert {"arms", "scores", "claims", "robustness", "evidence"} <= wrong


def _turn(arrays: dict[str, Any]) -> None:
    """One right answer of each set is wrong."""
    for place in (one for one in arrays if one.endswith("/probabilities") and one != "val/probabilities"):
        right = arrays[place].argmax(1) == arrays[place.replace("probabilities", "labels")]
        arrays[place][right.argmax()] = np.roll(arrays[place][right.argmax()], 1)


def _with_labels(arrays: dict[str, Any], turn: Edit) -> None:
    """Sets that have another's images get labels, ids and groups of their own first."""
    for place in [one for one in arrays if one.endswith("/images_of")]:
        key, like = place.rpartition("/")[0], str(arrays.pop(place))
        for part in ("labels", "ids", "groups"):
            if f"{like}/{part}" in arrays:
                arrays[f"{key}/{part}"] = arrays[f"{like}/{part}"]
    turn(arrays)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("looks", '"looks":[4,6]', '"looks":[6]'),
        ("folds", '"fold":1', '"fold":2'),
        ("searches", '"finalists":[{', '"finalists":[],"those":[{'),
    ],
)
def test_a_plan_that_says_otherwise_is_found(
    made: Callable[[str], Path], tmp_path: Path, name: str, before: str, after: str
) -> None:
    results = shutil.copytree(made(name), tmp_path / name)
    file = results / NAME / "plan.json"
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after))
    assert _wrong(recompute(results, NAME))
