"""What a GPU must keep of what holds on a CPU. ``GPU_TESTS_ON=cpu`` rehearses these tests there."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FLIPS, machine_in, write_study

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.errors import StopAsked
from bench.execute import Event, Job, Place
from bench.execute.inline import Inline
from bench.execute.local import Local
from bench.execute.work import work
from bench.recipe import Choice
from bench.registry import augmentations
from bench.run.planning import prepare
from bench.store import Store
from bench.streams import stream
from bench.train import checkpoint

DEVICE = os.environ.get("GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
QUIET = lambda event: None  # noqa: E731
NEEDED: dict[str, dict[str, Any]] = {
    "one-of": {"choices": ["rotate", "cutmix"]},
    "chain": {"steps": ["flip", "blur", "mixup"]},
}
TOLERANCE = 1e-3
"""Of pixels in [0, 1]: the bar for an operation on a GPU."""


def jobs(folder: Path, arms: str = FLIPS, **changes: Any) -> list[Job]:
    """Trials of a study of ``none`` and ``arms``, their recipe changed."""
    study = write_study(folder, arms=arms)
    study.write_text(study.read_text().replace("steps = 2", "steps = 12, eval_every = 3"))
    runs = prepare(study, machine_in(folder)).runs
    recipes = [run.trial.recipe.model_copy(update=changes) for run in runs]
    return [
        Job(replace(run, trial=replace(run.trial, recipe=recipe)))
        for run, recipe in zip(runs, recipes, strict=True)
    ]


def place(folder: Path, name: str) -> Place:
    return Place(folder / name, folder / "cache", DEVICE)


def losses(at: Place, job: Job) -> list[float]:
    return [entry["train_loss"] for entry in Store(at.results).history(job.run.trial.id)]


@pytest.mark.parametrize("name", [component.name for component in augmentations if component.name != "timm"])
def test_an_augmentation_shows_the_same_pictures_as_on_a_cpu(name: str) -> None:
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(8)
    choice = Choice(name=name, params=NEEDED.get(name, {}))
    found = []
    for device in ("cpu", DEVICE):
        made = build([choice], size_px=32, channels=3, device=device)
        found.append(made(images.to(device), targets.to(device), stream(0, "augment")))
    (here, rows), (there, same) = found
    # on an edge one pixel may fall to either side; a wrong operation moves far more than one in a thousand
    apart = (there.cpu() - here).abs() > TOLERANCE
    assert apart.float().mean() <= TOLERANCE
    torch.testing.assert_close(same.cpu(), rows, atol=1e-5, rtol=0)


def test_a_deterministic_trial_ends_with_the_same_bits_twice(tmp_path: Path) -> None:
    (job, *_) = jobs(tmp_path, deterministic=True)
    said = []
    for name in ("one", "two"):
        assert work(job, place(tmp_path, name), QUIET).kind == "done"
        store = Store(tmp_path / name)
        said.append({key: p.probabilities for key, p in store.predictions(job.run.trial.id).items()})
    assert losses(place(tmp_path, "one"), job) == losses(place(tmp_path, "two"), job)
    assert all(np.array_equal(said[0][key], said[1][key]) for key in said[0])


@pytest.mark.parametrize("graph", [False, True])
def test_an_interrupted_trial_goes_on_where_it_was(
    graph: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    (job, *_) = jobs(tmp_path, deterministic=True, graph=graph)
    seen: list[Event] = []

    def listen(event: Event) -> None:
        seen.append(event)
        if [e.kind for e in seen].count("epoch") == 3:
            raise StopAsked

    with pytest.raises(StopAsked):
        work(job, place(tmp_path, "stopped"), listen)
    assert work(job, place(tmp_path, "stopped"), QUIET).kind == "done"
    assert work(job, place(tmp_path, "whole"), QUIET).kind == "done"
    parted, whole = (losses(place(tmp_path, name), job) for name in ("stopped", "whole"))
    assert parted == pytest.approx(whole, rel=1e-5)


def test_two_workers_share_a_device_and_record_what_they_reserved(tmp_path: Path) -> None:
    at = place(tmp_path, "packed")
    executor = Local(["0", "0"] if DEVICE == "cuda" else ["", ""], at)
    assert [event.kind for event in executor.run(jobs(tmp_path), QUIET)] == ["done"] * 2
    executor.close()
    for record in Store(at.results).records():
        assert record.memory["peak_mb"] > 0
        assert DEVICE == "cpu" or record.memory["reserved_mb"] >= record.memory["peak_mb"]


def test_trials_that_take_turns_end_as_one_by_one(tmp_path: Path) -> None:
    """Each with its own stream, generator and recording, on one copy of the images."""
    arms = 'mixed = { augment = ["randaugment", "mixup"], ema = 0.9 }\nflips = { augment = ["flip"] }'
    together = jobs(tmp_path, arms, deterministic=True, graph=True)
    for name, gang in (("alone", 1), ("gang", 3)):
        ends = Inline(place(tmp_path, name), gang).run(together, QUIET)
        assert [event.kind for event in ends] == ["done"] * 3
    assert {r.machine.get("gang") for r in Store(tmp_path / "gang").records()} == {3}
    for job in together:
        parted, whole = (losses(place(tmp_path, name), job) for name in ("gang", "alone"))
        assert parted == pytest.approx(whole, rel=1e-5)


def test_a_trial_that_runs_out_of_memory_says_so_and_the_next_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*given: object) -> None:
        torch.empty(1 << 50, dtype=torch.uint8, device=DEVICE)

    one, other = jobs(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("bench.execute.work.trial_turns", hungry)
        assert work(one, place(tmp_path, "r"), QUIET).cause == "oom"
    assert work(other, place(tmp_path, "r"), QUIET).kind == "done"


def test_compiled_training_ends_near_ordinary_training(tmp_path: Path) -> None:
    if DEVICE == "cpu":
        pytest.skip("tests/train/test_compiled.py compiles on a CPU")
    found = []
    for name in ("plain", "compiled"):
        (job, *_) = jobs(tmp_path, deterministic=True, compile=name == "compiled")
        at = place(tmp_path, name)
        assert work(job, at, QUIET).kind == "done"
        record = Store(at.results).read(job.run.trial.id)
        assert record is not None
        assert [stage.get("compiled") for stage in record.training] == [name == "compiled" or None]
        found.append(losses(at, job))
    assert found[1] == pytest.approx(found[0], rel=1e-2)
