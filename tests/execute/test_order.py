from __future__ import annotations

from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench.execute import Job
from bench.execute.order import next_for
from bench.run.planning import prepare

ARMS = """
small = { model = { name = "custom_cnn", widths = [2] } }
flips = { augment = ["flip"] }
"""


@pytest.fixture
def waiting(tmp_path: Path) -> list[Job]:
    """Two seeds of none, small and flips, seed by seed; ``none`` and ``flips`` share a model."""
    runs = prepare(write_study(tmp_path, seeds=2, arms=ARMS), machine_in(tmp_path)).runs
    return [Job(run) for run in sorted(runs, key=lambda run: run.trial.replicate.seed)]


def names(jobs: list[Job]) -> list[str]:
    return [f"{job.run.arm} {job.run.trial.replicate.seed}" for job in jobs]


def test_a_fresh_worker_takes_the_first(waiting: list[Job]) -> None:
    assert names([next_for(None, waiting)]) == ["none 0"]
    assert names(waiting) == ["small 0", "flips 0", "none 1", "small 1", "flips 1"]


def test_a_worker_takes_the_model_it_has_within_the_replicate_at_the_front(waiting: list[Job]) -> None:
    last = next_for(None, waiting)
    taken = []
    while waiting:
        last = next_for(last, waiting)
        taken.append(last)
    assert names(taken) == ["flips 0", "small 0", "small 1", "none 1", "flips 1"]
