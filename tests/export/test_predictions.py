"""What a study's trials said, taken out and judged, gives the study's own numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pretended import NAME, Pretended
from tiny import machine_in

from bench import report
from bench.commands.export import export
from bench.errors import UserError
from bench.judge.findings import Document
from bench.judge.used import as_used
from bench.machine import Machine
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.run.judging import Wanted, judge
from bench.store import Store

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
QUIET = Terminal(quiet=True)
STUDY = """\
question = "Which helps?"
seeds = 4
gates = ["blur: not helps on local.accuracy"]
scores = ["roc_auc(monocyte)"]
{top}
[data]
source = "synthetic"
size_px = 32
[hidden.other]
kind = "external"
source = "folder:lab"
[hidden.heavy]
kind = "corrupted"
profile = "micro-c"
families = ["defocus", "jpeg"]
severities = [1, 3]
[recipe]
model = "custom_cnn"
stages = [{{ train = "all", epochs = 2 }}]
[arms]
none = {{}}
randaugment = {{ augment = ["randaugment"] }}
blur = {{ augment = ["blur"] }}
[ensembles.all]
arm = "blur"
[[claims]]
says = "It helps at home"
better = "randaugment"
than = ["none", "blur"]
metric = "local.macro_f1"
margin = 2.0
[[claims]]
says = "Blur changes nothing on corrupted images"
better = "none"
than = "blur"
metric = "heavy.accuracy"
expect = "no difference"
"""


def document_of(results: Path, name: str) -> Document:
    store = Store(results)
    plan = read_plan_file(store.study_dir(name) / "plan.json")
    return report.build(as_used(plan, store), plan, store)


def numbers(d: Document) -> dict[str, Any]:
    """All that a report judges and measures, but for what rests on how arms were trained."""
    return {
        "findings": [replace(finding, unseen=None) for finding in d.comparisons],
        "rules": replace(d.rules, seeds=()),
        "arms": {
            arm.label: (arm.scores, arm.effects, arm.recalls, arm.gap, arm.class_sizes, str(arm.seeds))
            for arm in d.arms
        },
        "order": [arm.label for arm in d.arms],
        "claims": [(claim.says, claim.outcome) for claim in d.claims],
        "gates": [(gate.text, gate.passed) for gate in d.gates],
        "noise": [replace(one, key="") for one in d.noise],
        "asked": d.asked,
        "ensembles": d.ensembles,
    }


def close(one: Any, other: Any) -> bool:
    """Equal, numbers up to the order in which they were added up."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12, nan_ok=True)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(other) and close(vars(one), vars(other))
    return bool(one == other)


def round_trip(results: Path, name: str, folder: Path) -> Document:
    """The report of a study that was exported and judged."""
    table, _ = export(name, "predictions", Machine(results=results), QUIET, folder / "out")
    machine = machine_in(folder)
    judge([table], machine, Wanted(), QUIET)
    return document_of(machine.results, table.stem)


def assert_the_same(one: Document, other: Document) -> None:
    first, second = numbers(one), numbers(other)
    for part, found in first.items():
        assert close(found, second[part]), part


def test_a_committed_study_that_is_exported_and_judged_has_the_same_numbers(tmp_path: Path) -> None:
    judged, own = round_trip(REFERENCE, "medmnist_cpu", tmp_path), document_of(REFERENCE, "medmnist_cpu")
    assert_the_same(own, judged)
    assert own.findings[0].effect
    assert (judged.elsewhere, own.elsewhere) == (True, False)


@pytest.mark.parametrize("top", ["", 'replicates = { kind = "folds", k = 4 }', "patients"])
def test_so_has_one_with_copies_gates_further_scores_folds_or_patients(tmp_path: Path, top: str) -> None:
    patients = {"test": 30, "other": 25} if top == "patients" else {}
    text = STUDY.format(top="" if patients else top)
    text = text.replace("seeds = 4\n", "") if "folds" in top else text
    # An ensemble needs one set of images, which no two folds share.
    text = text.replace('[ensembles.all]\narm = "blur"\n', "") if "folds" in top else text
    made = Pretended(tmp_path / "own", text, patients=patients, images={"test": 90, "other": 60})
    assert_the_same(document_of(made.finish(), NAME), round_trip(made.results, NAME, tmp_path))


def test_a_diverged_seed_is_carried_over_as_one(tmp_path: Path) -> None:
    ends = lambda run: "diverged" if (run.arm, run.trial.replicate.seed) == ("blur", 2) else ""  # noqa: E731
    made = Pretended(tmp_path / "own", STUDY.format(top=""), ends=ends, images={"test": 60, "other": 50})
    own, judged = document_of(made.finish(), NAME), round_trip(made.results, NAME, tmp_path)
    assert_the_same(own, judged)
    assert any("unstable" in str(finding.verdict) for finding in judged.findings)


def test_what_is_not_carried_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = '[[claims]]\nsays = "It is slower"\nbetter = "none"\nthan = "blur"\nmetric = "cost.seconds"\n'
    made = Pretended(tmp_path / "own", STUDY.format(top="") + more, images={"test": 40, "other": 40})
    made.finish()
    export(NAME, "predictions", Machine(results=made.results), Terminal(), tmp_path / "out")
    assert "1 of 3 claims are of costs, convergence or factors" in capsys.readouterr().err


def test_a_study_without_predictions_is_refused(tmp_path: Path) -> None:
    made = Pretended(tmp_path / "own", STUDY.format(top=""), kept=lambda run: False, images={"test": 40})
    made.finish()
    with pytest.raises(UserError, match="holds no predictions of local that can be read"):
        export(NAME, "predictions", Machine(results=made.results), QUIET, tmp_path / "out")
