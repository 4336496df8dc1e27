"""Splits that do not fit a GPU are streamed to it. ``GPU_TESTS_ON=cpu`` rehearses these tests on a CPU."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import HIDDEN, machine_in, write_study

from bench.data.images import Samples
from bench.data.resident import Resident, Rows
from bench.data.streamed import Streamed
from bench.execute import Event, Job, Place
from bench.execute.work import work
from bench.run.planning import prepare
from bench.store import Store

DEVICE = os.environ.get("GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def samples(count: int) -> Samples:
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Samples(images, np.arange(count) % 2, np.arange(count, dtype=np.uint64))


def test_every_batch_that_is_streamed_arrives_whole_while_the_device_is_busy() -> None:
    """Two hundred batches in a row through three buffers, none of them waited for."""
    given = samples(1000)
    here, away = Resident(given, DEVICE), Streamed(given, DEVICE)
    rng = np.random.default_rng(1)
    places = [rng.integers(0, 1000, 256) for _ in range(200)]
    wanted = [Rows(each, torch.from_numpy(each).to(DEVICE)) for each in places]
    heavy = torch.rand(1024 if DEVICE == "cuda" else 8, 1024, device=DEVICE)
    wrong = torch.zeros((), device=DEVICE)
    for rows, images in away.batches(wanted):
        heavy = (heavy @ heavy.T @ heavy).softmax(0)  # so that the host runs ahead
        wrong += (images != here.batch(rows.index)).sum()
    assert int(wrong) == 0


@pytest.mark.parametrize("graph", [False, True])
def test_a_trial_whose_images_are_streamed_ends_as_with_resident_ones(graph: bool, tmp_path: Path) -> None:
    """With a recorded step too: its input is filled from what arrives."""
    study = write_study(tmp_path, hidden=HIDDEN)
    study.write_text(study.read_text().replace("steps = 2", "steps = 12, eval_every = 3"))
    (run, *_) = prepare(study, machine_in(tmp_path)).runs
    changes: dict[str, Any] = {"deterministic": True, "graph": graph}
    recipe = run.trial.recipe.model_copy(update=changes)
    job = Job(replace(run, trial=replace(run.trial, recipe=recipe)))
    said, told = [], []
    for name, room in (("resident", 0), ("streamed", 1)):
        place = Place(tmp_path / name, tmp_path / "cache", DEVICE, resident_bytes=room)
        notes: list[Event] = []
        assert work(job, place, notes.append).kind == "done"
        store = Store(place.results)
        record = store.read(job.run.trial.id)
        assert record is not None
        assert [stage.get("graphed", False) for stage in record.training] == [graph and DEVICE == "cuda"]
        losses = [entry["train_loss"] for entry in store.history(job.run.trial.id)]
        said.append([losses, store.predictions(job.run.trial.id)])
        told.append(record.memory.get("streamed_mb", 0))
    assert told[0] == 0 < told[1]
    assert said[0][0] == said[1][0]
    for key, one in said[0][1].items():
        assert np.array_equal(one.probabilities, said[1][1][key].probabilities)
