from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import FLIPS, HIDDEN, machine_in, write_study

from bench.commands.plan import plan_json
from bench.commands.probe import _length, added, probe, workers_for
from bench.commands.probed import ArmCost, StageCost, as_data, as_text
from bench.errors import UserError
from bench.execute.look import Gpu
from bench.models.cost import Block
from bench.progress.terminal import Terminal
from bench.recipe import Stage
from bench.run.conductor import Options, run_study

QUIET = Terminal(quiet=True)
STAGES = (StageCost("head", 40, 100, 10, 0.01, 3200.0), StageCost("top:1", 90, 200, 20, 0.05, 640.0))
COST = ArmCost(
    ("none", "again"),
    3,
    "net",
    32,
    32,
    2_000_000,
    (Block("stem", 60), Block("head", 40)),
    STAGES,
    100.0,
    512.0,
)


def test_every_distinct_arm_is_measured_and_nothing_is_recorded(tmp_path: Path) -> None:
    arms = FLIPS + "\ndeep = { model = { widths = [4, 4] } }"
    machine = machine_in(tmp_path)
    costs = probe(write_study(tmp_path, seeds=2, hidden=HIDDEN, arms=arms), machine, False, QUIET)
    assert [cost.arms for cost in costs] == [("none",), ("flips",), ("deep",)]
    assert [cost.to_run for cost in costs] == [2, 2, 2]
    # 3 → 4 channels, 3 × 3 and batch norm; 4 channels of 8 × 8 px to 8 to 8 classes
    assert costs[0].blocks == (Block("0", 108 + 8), Block("head", 256 * 8 + 8 + 8 * 8 + 8))
    assert costs[0].flops == 2 * (16 * 16 * 4 * 27 + 256 * 8 + 8 * 8)
    assert [len(cost.blocks) for cost in costs] == [2, 2, 3]
    for cost in costs:
        (stage,) = cost.stages
        assert (stage.parameters, stage.steps, stage.evaluations) == (cost.parameters, 2, 2)
        assert stage.seconds_per_step == pytest.approx(32 / stage.images_per_s)
        assert cost.seconds > 2 * stage.seconds_per_step
        assert cost.peak_mb > 1
    assert not machine.results.exists()


def test_arms_that_train_the_same_are_measured_once(tmp_path: Path) -> None:
    arms = 'large = { "data.size_px" = 24 }\n' + FLIPS
    costs = probe(write_study(tmp_path, arms=arms), machine_in(tmp_path), True, QUIET)
    assert [(cost.arms, cost.size_px, cost.to_run) for cost in costs] == [
        (("none", "large"), 32, 1),
        (("flips",), 32, 1),
    ]


def test_what_is_done_is_not_counted_again(tmp_path: Path) -> None:
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    run_study(study, machine, Options(), QUIET)
    assert [cost.to_run for cost in probe(study, machine, False, QUIET)] == [0, 0]


def test_stages_are_told_apart_and_those_that_train_nothing_left_out(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    stages = (
        '{ train = "none" }, { train = "head", epochs = 4 }, { train = "all", steps = 30, lr_scale = 0.1 }'
    )
    study.write_text(study.read_text().replace('{ train = "all", steps = 2 }', stages))
    cost, flips = probe(study, machine_in(tmp_path), False, QUIET)
    head, whole = cost.stages
    # 96 of 120 drawings train, in batches of 32
    assert (head.train, head.parameters, head.steps, head.evaluations) == ("head", 2128, 12, 4)
    assert (whole.train, whole.steps, whole.evaluations) == ("all", 30, 10)
    kept = [stage.kept for arm in (cost, flips) for stage in arm.stages]
    assert kept == [True, False, False, False], "the head of the arm without augmentation"
    assert "12 steps, 4 evaluations, on kept features\n" in as_text([cost], "cpu")
    assert cost.seconds > 6 * head.seconds_per_step + 30 * whole.seconds_per_step


def test_a_probe_tells_which_images_a_device_keeps_and_which_are_streamed_to_it(tmp_path: Path) -> None:
    """96 and 12 of 120 drawings of 768 bytes; those of ``flips`` take 1,728."""
    study = write_study(tmp_path, arms='flips = { "data.size_px" = 24 }')
    told = []
    for room in (0.0, 80e3 / 1e9, 1e-9):
        machine = machine_in(tmp_path, resident_gb=room)
        costs = probe(study, machine, False, QUIET)
        assert [(cost.train_mb, cost.val_mb) for cost in costs] == [
            (0.073728, 0.009216),
            (0.165888, 0.020736),
        ]
        told.append([cost.streamed for cost in costs])
    assert told == [
        [(), ()],
        [("validation",), ("training",)],
        [("training", "validation"), ("training", "validation")],
    ]
    text = as_text(costs, "cpu")
    assert "images    training 0.1 MB streamed, validation 0.0 MB streamed (none)\n" in text
    kept = as_text([replace(COST, train_mb=73.7, val_mb=9.2, streamed=("validation",))], "cuda")
    assert "images    training 73.7 MB kept on the device, validation 9.2 MB streamed\ntotal" in kept


def test_hub_weights_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("bench.models.pretrained.HUB_FILES", ("no-such-file-in-any-cache",))
    study = write_study(
        tmp_path, arms=f'hub = {{ model = {{ name = "resnet10t", pretrained = true }} }}\n{FLIPS}'
    )
    costs = probe(study, machine_in(tmp_path), False, QUIET)
    assert [cost.model for cost in costs] == ["custom_cnn", "resnet10t", "custom_cnn"]


def test_what_run_refuses_is_refused_here_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="arm big: batch_size = 97"):
        probe(
            write_study(tmp_path, arms=f"big = {{ batch_size = 97 }}\n{FLIPS}"),
            machine_in(tmp_path),
            False,
            QUIET,
        )


def test_an_arm_that_blows_up_at_once_says_so_and_the_others_are_measured(tmp_path: Path) -> None:
    arms = f'wild = {{ optimizer = {{ name = "sgd", lr = 1e30 }} }}\n{FLIPS}'
    costs = probe(write_study(tmp_path, arms=arms), machine_in(tmp_path), False, QUIET)
    assert [bool(cost.problem) for cost in costs] == [False, True, False]
    assert "loss is" in costs[1].problem
    assert as_data(costs)[1]["seconds"] is None
    assert "1 more of arms that could not be probed" in as_text(costs, "cpu")


def test_an_arm_that_finds_too_little_memory_says_so_whatever_the_error_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broke(*given: object) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory", 2)

    monkeypatch.setattr("bench.train.loop.fit", broke)
    costs = probe(write_study(tmp_path), machine_in(tmp_path), False, QUIET)
    assert [cost.problem for cost in costs] == ["out of memory with batch_size = 32"] * 2


def test_hours_are_those_of_the_workers_that_a_run_begins_with(tmp_path: Path) -> None:
    costs, gpus = [replace(COST, reserved_mb=1_000.0)], [Gpu("0", 8_000)]
    assert workers_for(costs, machine_in(tmp_path), gpus) == 4
    assert workers_for([replace(costs[0], graph=True)], machine_in(tmp_path), gpus) == 1, "trials take turns"
    assert workers_for([replace(costs[0], graph=True)], machine_in(tmp_path, gang=1), gpus) == 4
    assert workers_for(costs, machine_in(tmp_path, workers=3), gpus) == 3


def test_the_text_says_what_top_counts_what_stages_train_and_what_it_sums_to() -> None:
    broken = replace(COST, arms=("wide",), to_run=2, stages=(), seconds=math.nan, problem="out of memory")
    text = as_text([COST, broken], "cpu")
    assert "net at 32 px: 100 parameters, 2.0 M operations an image forward" in text
    assert "  top:1   stem                  60\n  head    head                  40\n" in text
    assert "stage 2 trains top:1: 90 parameters (90.0 %), 200 steps, 20 evaluations" in text
    assert "none, again     32  10.0 / 50.0  3,200 / 640           1:40      512       3" in text
    assert "total     3 trials to run: about 5:00 of one worker's time" in text
    assert "2 more of arms that could not be probed" in text


def test_hours_are_told_for_every_executor() -> None:
    # three trials of 100 s
    assert "inline 5:00 · local, 2 workers 2:30 · ray 5:00 divided by its workers" in as_text(
        [COST], "cpu", 2
    )


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage(train="all", epochs=5), (35, 5)),
        (Stage(train="all", steps=100), (100, 10)),
        (Stage(train="all", steps=100, eval_every=30), (100, 4)),
        (Stage(train="all", steps=5), (5, 5)),
    ],
)
def test_a_stage_has_its_planned_length(stage: Stage, expected: tuple[int, int]) -> None:
    assert _length(stage, 7) == expected


def test_json_holds_the_plan_and_the_probe(tmp_path: Path) -> None:
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    plan = plan_json(study, machine, False)
    both = json.loads(added(plan, study, machine, smoked=False, as_json=True))
    assert {key: both[key] for key in json.loads(plan)} == json.loads(plan)
    assert [arm["arms"] for arm in both["probe"]] == [["none"], ["flips"]]
    assert both["probe"][0]["blocks"][0] == {"name": "0", "parameters": 116}
