"""Trials an hour of two workers against one, one thread each: the bar is 1.8 on two free cores.

Both train the same trials, after a first one that pays for imports and images. Whether two cores are free is
measured before and after: where they are not, the ratio says nothing and the test is skipped.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import machine_in, write_study

from bench.execute import Job, Place
from bench.execute.local import Local
from bench.run.planning import prepare

TRIALS = 8
FREE = 1.75
"""Cores' worth of time that two plain processes must get."""


def jobs(folder: Path) -> list[Job]:
    """One for each worker to begin with, and those that are measured; half a minute of work."""
    study = write_study(folder, seeds=(TRIALS + 2) // 2)
    text = study.read_text().replace("steps = 2", "steps = 400").replace("size_px = 16", "size_px = 32")
    study.write_text(text.replace("widths = [4], dense = 8", "widths = [16, 32], dense = 32"))
    return [Job(run) for run in prepare(study, machine_in(folder)).runs]


def seconds(folder: Path, workers: int) -> float:
    """Wall time of the trials that are measured."""
    every = jobs(folder)
    executor = Local([""] * workers, Place(folder / f"by-{workers}", folder / "cache", keep_weights=False))
    warm_up = [replace(job) for job in every[:2]]
    assert len(list(executor.run(warm_up, lambda event: None))) == 2
    begun = time.perf_counter()
    ends = list(executor.run(every[2:], lambda event: None))
    took = time.perf_counter() - begun
    executor.close()
    assert len(ends) == TRIALS
    assert {event.kind for event in ends} <= {"done", "diverged"}
    return took


def free_cores() -> float:
    """How much two processes that only count get done, in those that one gets done alone."""
    import multiprocessing

    context = multiprocessing.get_context("fork")

    def rounds(processes: int) -> float:
        with context.Pool(processes) as pool:
            return sum(pool.map(_count, [1.5] * processes))

    return rounds(2) / max(rounds(1), 1.0)


def _count(seconds: float) -> int:
    until, n = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        n += 1
    return n


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_two_workers_do_nearly_twice_the_trials_of_one(benchmark: Any, tmp_path: Path) -> None:
    before = free_cores()
    one, two = seconds(tmp_path, 1), seconds(tmp_path, 2)
    free = min(before, free_cores())
    told = f"{one / two:.2f} times the trials of one worker ({one:.1f} s, {two:.1f} s), {free:.2f} cores free"
    benchmark.extra_info.update(ratio=one / two, free_cores=free)
    benchmark.pedantic(lambda: None)
    print(f"\n{told}")
    if free < FREE:
        pytest.skip(told)
    assert one / two > 1.6, f"{told}; the bar is 1.8"
