"""The table of costs: what an arm takes beside what it gains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.report import build, markdown
from bench.report.spreadsheet import tables


@pytest.fixture
def depths(make_world: Callable[..., Any]) -> Any:
    """Two depths of unfreezing: the deeper one is better, slower and moves more weights."""
    w = make_world()
    for label, skill, trained, seconds, speed in (
        ("head", 1.0, 800, 10.0, 400.0),
        ("all", 1.9, 12345, 30.0, 100.0),
    ):
        w.arm(label, skill, [] if label == "head" else ["flip"])
        for seed in w.seeds:
            timings = {"train": seconds + seed, "images_per_s": speed - seed}
            w.finish(label, seed, trainable_parameters=trained, flops=6_000_000, timings=timings)
    return w


def costs(text: str) -> dict[str, list[str]]:
    """First cell of each row of the table → the others."""
    section = text.partition("## Costs")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_depth_can_be_read_against_accuracy_seconds_and_parameters(depths: Any) -> None:
    found = costs(markdown(build(depths.study, depths.plan, depths.store)))
    sizes = ["parameters", "of them trained", "GFLOPs per image", "epochs"]
    assert found["arm"] == [
        "heavy % (n = 200)",
        *sizes,
        "train s",
        "× baseline's",
        "images/s",
        "peak memory MB",
    ]
    # means over seeds 0 to 4
    base = "**head** (baseline)"
    assert found[base][1:] == ["12,345", "800", "0.0060", "10.0", "12.0", "–", "398", "300"]
    assert found["all"][1:] == ["12,345", "12,345", "0.0060", "10.0", "32.0", "2.67", "98", "300"]
    accuracies = [float(found[arm][0].split()[0]) for arm in (base, "all")]
    assert accuracies[0] < accuracies[1]


def test_without_times_sizes_and_operations_stay(depths: Any) -> None:
    document = build(depths.study, depths.plan, depths.store)
    found = costs(markdown(document, cost=False))
    assert found["all"][1:] == ["12,345", "12,345", "0.0060", "10.0"]
    sizes = "parameters,trained_parameters,flops,epochs,epochs_sd,epochs_seeds"
    for name in ("arms", "costs"):
        assert tables(document, cost=False)[name].splitlines()[0].endswith(sizes)
        head = tables(document)[name].splitlines()[0]
        assert head.removesuffix(
            ",train_seconds,train_seconds_sd,train_seconds_seeds,time_ratio"
            ",images_per_s,images_per_s_sd,images_per_s_seeds,peak_memory_mb"
        ).endswith(sizes)


def test_what_older_records_do_not_say_is_a_dash(make_world: Callable[..., Any]) -> None:
    w = make_world()
    w.arm("only", 1.0)
    for seed in w.seeds:
        w.finish("only", seed, trainable_parameters=None, flops=None, timings={"train": 1.0}, memory={})
    found = costs(markdown(build(w.study, w.plan, w.store)))
    assert found["**only** (baseline)"][1:] == ["12,345", "–", "–", "10.0", "1.0", "–", "–", "–"]
