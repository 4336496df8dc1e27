"""A metric that is registered after trials ended reaches their records without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import HIDDEN, machine_in, write_study

import bench
from bench.commands.plan import plan_json, plan_text
from bench.commands.report import Wanted, reports
from bench.commands.status import status
from bench.execute import work as working
from bench.progress.terminal import Terminal
from bench.registry import Registry, metrics
from bench.run.conductor import Ending, Options, run_study
from bench.store import Record, Store, equal_view

SETS = f"""\
{HIDDEN}
[hidden.worn]
kind = "corrupted"
profile = "micro-c"
families = ["defocus"]
severities = [1, 5]
images = 8
"""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of metrics; what a test adds is gone after it."""
    monkeypatch.setattr(metrics, "_components", dict(metrics._components))
    return metrics


def add_margin(registry: Registry, version: int = 1, factor: float = 1.0) -> None:
    """Mean probability of the right class."""

    def margin():  # type: ignore[no-untyped-def]
        """Mean probability of the right class, in [0, 1]."""
        return lambda p, labels: factor * float(p[np.arange(len(labels)), labels].astype(np.float64).mean())

    registry._components.pop("margin", None)
    registry.register("margin", version=version)(margin)


def go(study: Path, folder: Path, options: Options = Options()) -> Ending:  # noqa: B008
    return run_study(study, machine_in(folder), options, Terminal())


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the trials that were trained meanwhile."""
    ids: list[str] = []
    train = working.trial_turns

    def watched(trial, *rest):  # type: ignore[no-untyped-def]
        ids.append(trial.id)
        return train(trial, *rest)

    monkeypatch.setattr(working, "trial_turns", watched)
    return ids


def records(folder: Path) -> list[Record]:
    return Store(folder / "results").records()


def test_records_get_what_fresh_trials_would_have_stored_without_training(
    tmp_path: Path, registry: Registry, trained: list[str]
) -> None:
    later, at_once = tmp_path / "later", tmp_path / "at_once"
    study = write_study(later, hidden=SETS)
    go(study, later)
    del trained[:]
    add_margin(registry)
    ending = go(study, later)
    assert (ending.ran, ending.exit_code, trained) == (0, 0, [])
    assert "margin" in ending.report.read_text()
    go(write_study(at_once, hidden=SETS), at_once)
    assert [equal_view(r) for r in records(later)] == [equal_view(r) for r in records(at_once)]
    for record in records(later):
        assert all("margin" in scores for scores in (record.validation, *record.scores.values()))
        assert len(record.scores) == 3


def test_a_report_alone_computes_nothing(tmp_path: Path, registry: Registry) -> None:
    study = write_study(tmp_path, hidden=HIDDEN)
    before = go(study, tmp_path).report.read_bytes()
    add_margin(registry)
    assert reports(["tiny"], machine_in(tmp_path), Wanted(("md",), check=True), reference=False) == 0
    assert (tmp_path / "results" / "tiny" / "report.md").read_bytes() == before


def test_a_report_leaves_out_what_another_study_has_not_computed_yet(
    tmp_path: Path, registry: Registry
) -> None:
    go(write_study(tmp_path), tmp_path)
    add_margin(registry)
    go(
        write_study(
            tmp_path, arms='turned = { augment = ["rotate"] }\nflips = {augment = ["zoom"]}', name="other"
        ),
        tmp_path,
    )
    reports(["tiny"], machine_in(tmp_path), Wanted(("csv",)), reference=False)
    scores = bench.results(tmp_path / "results", "tiny").query("metric == 'margin' and set == 'local'")
    known = scores.set_index("arm")["value"].notna()
    assert known.to_dict() == {"none": True, "flips": False}, "the baseline is a trial of both studies"
    table = pd.read_csv(tmp_path / "results" / "tiny" / "tables" / "scores.csv", index_col="arm")
    assert table["margin"].notna().to_dict() == known.to_dict()


def test_plan_and_status_say_what_run_will_compute(tmp_path: Path, registry: Registry) -> None:
    study, machine = write_study(tmp_path, seeds=2), machine_in(tmp_path)
    go(study, tmp_path)
    assert " lack " not in plan_text(study, machine, False)
    add_margin(registry)
    line = "          4 trials lack margin: bench run computes it from kept predictions"
    assert line in plan_text(study, machine, False).splitlines()
    assert '"lacks": [\n    "margin"\n   ]' in plan_json(study, machine, False)
    assert status([study], machine, as_json=False).splitlines()[0] == "tiny  4 done without margin"
    go(study, tmp_path)
    assert " lack " not in plan_text(study, machine, False)
    assert status([study], machine, as_json=False).splitlines()[0] == "tiny  4 done"


def test_a_metric_that_is_undefined_is_asked_once(tmp_path: Path, registry: Registry) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    registry.register("nowhere")(lambda: lambda p, labels: float("nan"))
    go(study, tmp_path)
    assert all("nowhere" in r.metrics and "nowhere" not in r.validation for r in records(tmp_path))
    assert " lack " not in plan_text(study, machine_in(tmp_path), False)


def test_a_metric_of_another_version_is_computed_anew_and_others_stay(
    tmp_path: Path, registry: Registry
) -> None:
    study = write_study(tmp_path)
    add_margin(registry)
    registry.register("elsewhere")(lambda: lambda p, labels: 0.25)
    go(study, tmp_path)
    before = records(tmp_path)
    registry._components.pop("elsewhere")  # of code that this run does not know
    add_margin(registry, version=2, factor=0.5)
    assert go(study, tmp_path).ran == 0
    for old, new in zip(before, records(tmp_path), strict=True):
        assert new.validation == old.validation | {"margin": old.validation["margin"] / 2}
        assert new.metrics == old.metrics | {"margin": 2}


def test_without_predictions_the_metric_waits_for_rescore(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    for record in records(tmp_path):  # as they were before they had checksums: else these are trained again
        Store(tmp_path / "results").rewrite(record.model_copy(update={"files": {}}))
    first, second = sorted((tmp_path / "results" / "trials").glob("*/predictions.npz"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    add_margin(registry)
    assert go(study, tmp_path).exit_code == 0
    said = "2 trials lack margin and kept no predictions that can be read; --rescore trains them again"
    assert said in capsys.readouterr().err
    assert go(study, tmp_path, Options(rescore=True)).ran == 2
    assert all("margin" in record.validation for record in records(tmp_path))


def test_a_metric_that_breaks_leaves_the_record_and_ends_with_a_line(
    tmp_path: Path, registry: Registry
) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    before = records(tmp_path)

    def broken():  # type: ignore[no-untyped-def]
        return lambda p, labels: 1 / 0

    registry.register("broken")(broken)
    ending = go(study, tmp_path)
    assert ending.exit_code == 1
    assert ending.failures == [f"broken of trial {r.id}: ZeroDivisionError: division by zero" for r in before]
    assert records(tmp_path) == before


TUNED = """\
[tune]
finalists = 0
candidates = 2
metric = "{metric}"
[tune.space]
"optimizer.lr" = {{ low = 1e-5, high = 1e-1, log = true }}
[val_shift]
kind = "corrupted"
profile = "micro-c"
families = ["jpeg"]
severities = [3]
"""


@pytest.mark.parametrize("of", ["val", "val_shift"])
def test_candidates_are_judged_by_it_without_being_trained_again(
    tmp_path: Path, registry: Registry, trained: list[str], of: str
) -> None:
    def write(metric: str) -> Path:
        study = write_study(tmp_path)
        study.write_text(study.read_text() + TUNED.format(metric=metric))
        return study

    go(write(f"{of}.accuracy"), tmp_path)
    for record in records(tmp_path):
        Store(tmp_path / "results").rewrite(record.model_copy(update={"files": {}}))
    tuned = {record.id for record in records(tmp_path) if record.role == "tune"}
    del trained[:]
    registry.register("constant")(lambda: lambda p, labels: 0.5)  # all alike: the lower loss wins
    add_margin(registry)
    study = write(f"{of}.margin")
    ending = go(study, tmp_path)
    assert ending.exit_code == 0
    assert not tuned & set(trained)
    assert f"{of.replace('_', chr(92) + '_')}.margin" in ending.report.read_text()


def test_candidates_that_kept_nothing_are_trained_again(
    tmp_path: Path, registry: Registry, trained: list[str]
) -> None:
    study = write_study(tmp_path)
    plain = study.read_text()
    study.write_text(plain + TUNED.format(metric="val.accuracy"))
    go(study, tmp_path)
    tuned = {record.id for record in records(tmp_path) if record.role == "tune"}
    for id in tuned:
        (Store(tmp_path / "results").trial_dir(id) / "predictions.npz").unlink()
    del trained[:]
    add_margin(registry)
    study.write_text(plain + TUNED.format(metric="val.margin"))
    assert go(study, tmp_path).exit_code == 0
    assert tuned <= set(trained)
    assert go(study, tmp_path).ran == 0
