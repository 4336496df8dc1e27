from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench.execute import Event, Job, Setting, local
from bench.run import prepare
from bench.store import Store


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    study = write_study(tmp_path, seeds=3)
    study.write_text(study.read_text().replace("steps = 2", "steps = 2000"))
    return [Job(run) for run in prepare(study, machine_in(tmp_path)).runs if run.arm == "none"]


def test_a_killed_worker_costs_one_trial_and_is_replaced(tmp_path: Path, jobs: list[Job]) -> None:
    setting = Setting(tmp_path / "results", tmp_path / "cache")
    killed: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "started" and not killed:
            # The worker that started this trial is our only child of that name.
            killed.append(next(iter(_workers())))
            threading.Timer(0.5, os.kill, (killed[0], signal.SIGKILL)).start()

    executor = local.Local([""], setting)
    ends = list(executor.run(jobs, listen))
    executor.close()
    assert [event.kind for event in ends] == ["failed", "done", "done"]
    record = Store(setting.results).read(ends[0].trial)
    assert record is not None
    assert (record.status, record.cause) == ("failed", "killed")
    assert "-9" in record.message


def test_giving_up_half_way_ends_the_workers(tmp_path: Path, jobs: list[Job]) -> None:
    setting = Setting(tmp_path / "results", tmp_path / "cache")
    ends = local.Local(["", ""], setting).run(jobs, lambda event: None)
    next(ends)
    ends.close()
    until = time.monotonic() + 15
    while _workers() and time.monotonic() < until:
        time.sleep(0.1)
    assert _workers() == []


def test_workers_live_from_batch_to_batch_until_the_executor_closes(tmp_path: Path, jobs: list[Job]) -> None:
    executor = local.Local(["", ""], Setting(tmp_path / "results", tmp_path / "cache"))
    assert _workers() == [], "nothing is spawned before there is a job"
    assert len(list(executor.run(jobs[:1], lambda event: None))) == 1
    first = _workers()
    assert len(first) == 1, "one job needs one worker"
    assert len(list(executor.run(jobs[1:], lambda event: None))) == 2
    assert set(first) < set(_workers())
    executor.close()
    assert _workers() == []


def _workers() -> list[int]:
    import multiprocessing

    return [p.pid for p in multiprocessing.active_children() if p.name == "bench-worker" and p.pid]


def test_workers_end_with_a_conductor_that_is_killed(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=2)
    study.write_text(study.read_text().replace("steps = 2", "steps = 20000"))
    command = [sys.executable, "-m", "bench", "run", str(study), "--results", str(tmp_path / "r")]
    running = subprocess.Popen([*command, "--executor", "local", "--workers", "2"], stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    until = time.monotonic() + 120
    while time.monotonic() < until and len(_spawned(children)) < 2:
        time.sleep(0.1)
    workers = _spawned(children)
    assert len(workers) == 2
    time.sleep(1)  # into their imports
    running.kill()
    running.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until and any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers):
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers)
    assert Store(tmp_path / "r").ids() == []


def _spawned(children: Path) -> list[int]:
    """Workers among a process's children."""
    pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
