"""A cross-validation through the whole house: planned, trained, scored, reported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import machine_in

from bench.commands.plan import plan_text
from bench.data import provide
from bench.machine import Machine
from bench.plan import Plan, Replicate
from bench.progress.terminal import Terminal
from bench.report import build
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare, store_of
from bench.stats import fold_interval
from bench.store import Store

STUDY = """
question = "Does a flip help?"
replicates = { kind = "folds", k = 3 }
primary = "local.accuracy"
[data]
source = "synthetic"
size_px = 16
n_images = 160
[hidden.other-lab]
kind = "synthetic"
images = 40
[recipe]
model = { name = "custom_cnn", widths = [8], dense = 8 }
optimizer = { name = "adam", lr = 1e-2 }
batch_size = 40
stages = [{ train = "all", epochs = 2 }]
[arms]
none = {}
flips = { augment = ["flip"], balance = "upsample" }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Machine, Store, Path, list[str]]:
    folder = tmp_path_factory.mktemp("folds")
    file, machine = folder / "cross.toml", machine_in(folder)
    file.write_text(STUDY)
    lines: list[str] = []
    terminal = Terminal(quiet=True)
    terminal.note = lines.append  # type: ignore[method-assign]
    ending = run_study(file, machine, Options(), terminal)
    assert (ending.exit_code, ending.ran) == (0, 6)
    return prepare(file, machine), machine, store_of(machine), file, lines


def test_every_arm_is_planned_once_for_each_fold(ran: Any):
    plan, machine, _, file, _ = ran
    assert [r.trial.replicate for r in plan.runs] == [Replicate(0, fold, 3) for fold in range(3)] * 2
    assert len({run.trial.id for run in plan.runs}) == 6
    text = plan_text(file, machine, smoked=False)
    assert "2 (baseline: none) × 3 folds = 6 trials" in text
    assert "f0 f1 f2" in text


def test_every_image_is_tested_exactly_once_and_never_trained_on_by_its_fold(ran: Any):
    plan, machine, store, _, _ = ran
    tested: Counter[int] = Counter()
    for run in plan.runs[:3]:
        ids = store.predictions(run.trial.id)[run.sets[0].key].ids.tolist()
        seen = provide.development(run.trial, machine.cache)
        assert not set(ids) & {*seen.train.ids.tolist(), *seen.val.ids.tolist()}
        assert len(ids) + len(seen.train) + len(seen.val) == 160
        tested.update(ids)
    assert len(tested) == 160
    assert set(tested.values()) == {1}


def test_both_arms_of_a_fold_train_on_the_same_images_and_folds_draw_apart(ran: Any):
    plan, machine, _, _, _ = ran
    sides = [provide.development(run.trial, machine.cache).train.ids.tolist() for run in plan.runs]
    assert sides[:3] == sides[3:]
    assert len({run.trial.replicate.stream_seed for run in plan.runs}) == 3
    assert Replicate(7).stream_seed == 7


def test_validation_is_drawn_anew_in_every_fold(ran: Any):
    """An image that is validation in every fold that does not test it would never be trained on."""
    plan, machine, _, _, _ = ran
    trained = {
        i for run in plan.runs[:3] for i in provide.development(run.trial, machine.cache).train.ids.tolist()
    }
    assert len(trained) > 155


def test_a_hidden_set_is_scored_by_every_folds_model(ran: Any):
    plan, _, store, _, _ = ran
    keys = {run.sets[1].key for run in plan.runs}
    assert len(keys) == 1
    said = [store.predictions(run.trial.id)[keys.copy().pop()] for run in plan.runs]
    assert all(np.array_equal(said[0].ids, other.ids) for other in said)
    assert not np.array_equal(said[0].probabilities, said[1].probabilities), "another model"


def test_the_report_compares_fold_by_fold(ran: Any):
    plan, _, store, _, _ = ran
    document = build(plan.study, plan.file, store)
    accuracy = [store.read(run.trial.id).scores[run.sets[0].key]["accuracy"] for run in plan.runs]
    expected = fold_interval(np.array(accuracy[3:]) - np.array(accuracy[:3]), 1 / 2)
    effect = document.findings[0].effect
    assert (effect.mean, effect.low, effect.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert document.findings[0].seeds == 3


def test_the_report_says_that_upsampling_made_more_steps(ran: Any):
    plan, _, store, _, _ = ran
    text = dict(build(plan.study, plan.file, store).confounds)["flips"]
    steps = [sum(stage["steps"] for stage in store.read(run.trial.id).training) for run in plan.runs]
    ratio = sum(steps[3:]) / sum(steps[:3])
    assert ratio > 1.2
    assert f"{ratio:.2g}× the training steps, {ratio:.2g}× the steps per epoch" in text


def test_the_terminal_names_the_folds(ran: Any):
    *_, lines = ran
    ended = [line for line in lines if "●" in line or "✗" in line]
    assert [line.split()[3] for line in ended] == ["f0", "f0", "f1", "f1", "f2", "f2"]


def test_running_again_does_nothing(ran: Any):
    _, machine, _, file, _ = ran
    assert run_study(file, machine, Options(), Terminal(quiet=True)).ran == 0


def test_the_smoke_form_keeps_two_folds(ran: Any, tmp_path: Path):
    *_, file, _ = ran
    ending = run_study(file, machine_in(tmp_path), Options(smoke=True), Terminal(quiet=True))
    assert (ending.exit_code, ending.ran) == (0, 4)
