"""Heads trained on kept features of a frozen trunk. ``GPU_TESTS_ON=cpu`` rehearses these tests on a CPU."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import HIDDEN, machine_in, write_study

from bench.execute import Job, Place
from bench.execute.work import work
from bench.models import frozen
from bench.recipe import Stage
from bench.run.planning import prepare
from bench.store import Store

DEVICE = os.environ.get("GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("graph", [False, True])
def test_a_head_ends_alike_whether_features_are_kept_found_or_computed(
    graph: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a recorded step too: it sees features only."""
    (run, *_) = prepare(write_study(tmp_path, hidden=HIDDEN), machine_in(tmp_path)).runs
    stage = Stage(train="head", steps=24, eval_every=6)
    changes: dict[str, Any] = {"deterministic": True, "graph": graph, "augment": (), "stages": (stage,)}
    job = Job(replace(run, trial=replace(run.trial, recipe=run.trial.recipe.model_copy(update=changes))))
    monkeypatch.setattr(frozen, "_kept", OrderedDict())
    said, kept = [], []
    for name in ("kept", "found", "computed"):
        if name == "computed":
            for room in ("bench.trial", "bench.train.loop"):
                monkeypatch.setattr(f"{room}.frozen", lambda *_: None)
        place = Place(tmp_path / name, tmp_path / "cache", DEVICE)
        assert work(job, place, lambda event: None).kind == "done"
        store = Store(place.results)
        record = store.read(job.run.trial.id)
        assert record is not None
        assert [stage.get("graphed", False) for stage in record.training] == [graph and DEVICE == "cuda"]
        losses = [entry["train_loss"] for entry in store.history(job.run.trial.id)]
        said.append((losses, store.predictions(job.run.trial.id)))
        kept.append(record.memory.get("features_mb", 0.0))
    if DEVICE == "cpu":  # a GPU may find that features depend on the batch
        assert min(kept[:2]) > 0
    assert kept[2] == 0
    for losses, predictions in said[1:]:
        assert losses == said[0][0]
        for key, one in predictions.items():
            assert np.array_equal(one.probabilities, said[0][1][key].probabilities)
