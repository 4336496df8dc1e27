"""One component of every kind, from docs/add-a-component.md, through everything bench does with a study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from samples import noise
from tiny import machine_in

from bench import registry
from bench.commands import components as listing
from bench.commands import explain, export, plan, report, show, status
from bench.errors import UserError
from bench.explain.pair import Asked
from bench.machine import Machine
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.registry import REGISTRIES
from bench.report import FORMATS
from bench.run.conductor import Ending, Options, run_study
from bench.store import Store
from bench.study.read import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-component.md"
QUIET = Terminal(quiet=True)
STUDY = """\
question = "Do components from outside go all the way?"
uses = {uses}
seeds = 3
primary = "lines.kappa"

[data]
source = "stack:cells"
size_px = 16

[hidden.lines]
kind = "corrupted"
profile = "micro-c"
families = ["scan-lines", "noise"]
severities = [3]

[hidden.lab]
kind = "external"
source = "stack:lab"

[recipe]
model = {{ name = "patches", width = 8, patch_px = 4 }}
optimizer = {{ name = "rmsprop", lr = 0.003 }}
schedule = "half-way"
loss = {{ name = "poly", epsilon = 0.5 }}
batch_size = 16
stages = [{{ train = "all", steps = 12 }}]

[arms]
none = {{}}
striped = {{ augment = ["flip", {{ name = "stripe", p = 1 }}] }}
plain = {{ model = "custom_cnn", loss = "cross-entropy", optimizer = "adam", schedule = "constant" }}

[[claims]]
says = "A stripe helps"
better = "striped"
than = "none"
metric = "local.kappa"
"""


def files_of(page: Path) -> dict[str, str]:
    """Every file beside a study that a page shows, by the name that its first line says."""
    shown = r"^```python\n(# ablations/(\S+)\n.*?)^```"
    return {name: text for text, name in re.findall(shown, page.read_text("utf-8"), re.DOTALL | re.MULTILINE)}


def cells(folder: Path, count: int, seed: int) -> None:
    """Images of three kinds, which their mean tells apart."""
    folder.mkdir()
    labels = np.arange(count) % 3
    images = noise(count, seed=seed) // 3 + (60 * labels)[:, None, None, None].astype(np.uint8)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    (folder / "classes.txt").write_text("dark grey light")


def write_study(folder: Path) -> Path:
    for name, text in files_of(PAGE).items():
        (folder / name).write_text(text, "utf-8")
    cells(folder / "cells", 120, seed=1)
    cells(folder / "lab", 30, seed=2)
    file = folder / "own.toml"
    file.write_text(STUDY.format(uses=json.dumps(sorted(files_of(PAGE)))))
    return file


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Machine, Ending]:
    """The study, run, in every format; its code is gone afterwards."""
    folder = tmp_path_factory.mktemp("own")
    machine = machine_in(folder)
    study = write_study(folder)
    ending = run_study(study, machine, Options(), QUIET)
    report.reports(["own"], machine, report.Wanted(FORMATS), reference=False)
    return study, machine, ending


def test_the_page_shows_one_of_every_kind(ran: tuple[Path, Machine, Ending]) -> None:
    study, _, _ = ran
    load(study)
    kinds = {component.kind for component in registry.foreign()}
    no_study = {"executor", "sampler", "pruner"}  # where trials run; Optuna has the others, named by class
    assert kinds == {one.kind for one in REGISTRIES.values()} - no_study


def test_every_trial_is_trained_and_scored(ran: tuple[Path, Machine, Ending]) -> None:
    _, machine, ending = ran
    assert (ending.exit_code, dict(ending.counts)) == (0, {"done": 9})
    records = {record.id: record for record in Store(machine.results).records()}
    plain = [r for r in records.values() if r.recipe["model"]["name"] == "custom_cnn"]
    assert all(set(r.origins) == {"source:stack"} for r in plain)
    own = [r for r in records.values() if r.recipe["augment"]]
    wanted = {"augmentation:stripe", "model:patches", "optimizer:rmsprop", "schedule:half-way", "loss:poly"}
    assert all(set(r.origins) == {*wanted, "source:stack"} for r in own)
    assert all("kappa" in scores for r in records.values() for scores in r.scores.values())


def test_the_report_judges_by_an_own_metric_and_knows_what_an_own_augmentation_does(
    ran: tuple[Path, Machine, Ending],
) -> None:
    _, machine, ending = ran
    text = ending.report.read_text("utf-8")
    assert re.search(
        r"\*\*striped: \w.*\*\* on \*lines\.kappa\* against none: \*\*\S+\*\* \(too few errors\) points", text
    )
    assert "not judged" not in text
    assert re.search(r"\| digital \| scan-lines \|.*‡", text)
    assert re.search(r"^- Code from outside: augmentation stripe \(sha256:\w{12}\), ", text, re.MULTILINE)
    folder = machine.results / "own"
    for made in ("report.md", "report.html", "tables/scores.csv", "tables/scores.tex", "tables/results.csv"):
        assert "kappa" in (folder / made).read_text("utf-8"), made


def test_plan_and_list_show_them(ran: tuple[Path, Machine, Ending]) -> None:
    study, machine, _ = ran
    assert "done      9" in plan.plan_text(study, machine, False)
    assert "9 not known without code" in plan.plan_text(study, machine, False, code=False)
    told = json.loads(plan.plan_json(study, machine, False, code=False))
    assert {trial["state"] for trial in told["trials"]} == {"unknown"}
    assert len(told["not_checked"]) == 9
    listed = listing.components("augmentations", as_json=False, study=study)
    assert re.search(r"^stripe +Black out a horizontal stripe\.  \(stripe\.py\)", listed, re.MULTILINE)


def test_two_arms_are_explained_and_a_network_is_exported(ran: tuple[Path, Machine, Ending]) -> None:
    study, machine, _ = ran
    page = explain.explain(study, Asked(arm="striped", set="lines"), machine, QUIET)
    assert "striped" in page.read_text("utf-8")
    own = next(r for r in Store(machine.results).records() if r.recipe["augment"])
    weights, _ = export.export(own.id, "safetensors", machine, QUIET)
    assert weights.is_file()
    with pytest.raises(UserError, match='model "patches": a submission writes out custom_cnn and timm'):
        export.export(own.id, "codabench", machine, QUIET)


def test_what_reads_records_needs_none_of_the_code(
    ran: tuple[Path, Machine, Ending], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, machine, _ = ran
    kept = {file: file.read_bytes() for file in study.parent.glob("*.py")}
    for file in kept:
        file.unlink()
    monkeypatch.setattr("bench.study.code.Code.run", lambda self: pytest.fail("no code is to be run"))
    try:
        assert report.reports(["own"], machine, report.Wanted(FORMATS, check=True), reference=False) == 0
        assert "9 done" in status.status([], machine, as_json=False)
        trial = read_plan_file(machine.results / "own" / "plan.json").arms[1].trials[0].id
        assert "augmentation:stripe sha256:" in show.trial(trial, machine, as_json=False)
        with pytest.raises(UserError, match=r"\w+\.py cannot be read: No such file"):
            plan.plan_text(study, machine, False)
        plain = next(
            r.id for r in Store(machine.results).records() if r.recipe["model"]["name"] == "custom_cnn"
        )
        assert export.export(plain, "safetensors", machine, QUIET)
        own = read_plan_file(machine.results / "own" / "plan.json").arms[0].trials[0].id
        with pytest.raises(UserError, match=r"half_way\.py"):
            export.export(own, "safetensors", machine, QUIET)
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def test_a_changed_model_exports_no_network_of_the_old_one(ran: tuple[Path, Machine, Ending]) -> None:
    study, machine, _ = ran
    file = study.parent / "patches.py"
    kept = file.read_bytes()
    file.write_bytes(kept + b"\n# changed\n")
    try:
        own = read_plan_file(machine.results / "own" / "plan.json").arms[0].trials[0].id
        with pytest.raises(UserError, match="a model whose code has changed or is gone"):
            export.export(own, "safetensors", machine, QUIET)
    finally:
        file.write_bytes(kept)
