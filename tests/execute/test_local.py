from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import machine_in, write_study

from bench.execute import Event, Job, Place, local
from bench.execute.jobs import spent
from bench.execute.work import work
from bench.plan import Run, Trial
from bench.run.planning import prepare
from bench.store import Store


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    study = write_study(tmp_path, seeds=3)
    study.write_text(study.read_text().replace("steps = 2", "steps = 800"))
    return [Job(run) for run in prepare(study, machine_in(tmp_path)).runs if run.arm == "none"]


def test_a_killed_worker_costs_one_trial_and_is_replaced(tmp_path: Path, jobs: list[Job]) -> None:
    setting = Place(tmp_path / "results", tmp_path / "cache")
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
    setting = Place(tmp_path / "results", tmp_path / "cache")
    ends = local.Local(["", ""], setting).run(jobs, lambda event: None)
    next(ends)
    ends.close()
    until = time.monotonic() + 15
    while _workers() and time.monotonic() < until:
        time.sleep(0.1)
    assert _workers() == []


def test_workers_live_from_batch_to_batch_until_the_executor_closes(tmp_path: Path) -> None:
    jobs = [Job(run) for run in prepare(write_study(tmp_path, seeds=3), machine_in(tmp_path)).runs][:3]
    executor = local.Local(["", ""], Place(tmp_path / "results", tmp_path / "cache"))
    assert _workers() == [], "nothing is spawned before there is a job"
    assert len(list(executor.run(jobs[:1], lambda event: None))) == 1
    first = _workers()
    assert len(first) == 1, "one job needs one worker"
    assert len(list(executor.run(jobs[1:], lambda event: None))) == 2
    assert set(first) < set(_workers())
    alone = replace(Job(_another(tmp_path)), alone=True)
    assert [event.kind for event in executor.run([alone], lambda event: None)] == ["done"]
    assert len(_workers()) == 1, "the others held memory"
    assert not set(first) & set(_workers())
    executor.close()
    assert _workers() == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what memory is a file's")
def test_workers_share_one_map_of_images_that_are_streamed(tmp_path: Path) -> None:
    """Two of them, and what they record is what one process with resident images does."""
    jobs = [Job(run) for run in prepare(write_study(tmp_path, seeds=2), machine_in(tmp_path)).runs]
    here, away = Place(tmp_path / "here", tmp_path / "cache"), Place(tmp_path / "away", tmp_path / "cache")
    for job in jobs:
        assert work(job, here, lambda event: None).kind == "done"
    executor = local.Local(["", ""], replace(away, resident_bytes=1))
    assert [event.kind for event in executor.run(jobs, lambda event: None)] == ["done"] * 4
    maps = [_images_mapped(pid) for pid in _workers()]
    executor.close()
    assert len(maps) == 2
    for own, shared in maps:
        assert own == 0, "no page of the images is a worker's own"
        assert shared > 0, "they are pages of the file"
    for job in jobs:
        one, other = (Store(place.results).read(job.run.trial.id) for place in (here, away))
        assert one is not None
        assert other is not None
        assert other.memory["streamed_mb"] > 0
        assert (one.scores, one.validation) == (other.scores, other.validation)
        said = [Store(place.results).predictions(job.run.trial.id) for place in (here, away)]
        assert all(np.array_equal(said[0][k].probabilities, said[1][k].probabilities) for k in said[0])
        files = [Store(place.results).weights_path(job.run.trial.id).read_bytes() for place in (here, away)]
        assert files[0] == files[1]


def _images_mapped(pid: int) -> tuple[int, int]:
    """Kilobytes of decoded images that a process has mapped: written by itself, and read from their file."""
    own = read = 0
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if not value.endswith(" kB") and "-" in line.split()[0]:
            inside = line.endswith("/images.npy") and "/cache/images/" in line
        elif inside and name == "Anonymous":
            own += int(value.split()[0])
        elif inside and name == "Rss":
            read += int(value.split()[0])
    return own, read


def test_what_takes_too_long_is_killed_and_the_next_trial_gets_a_fresh_worker(
    tmp_path: Path, jobs: list[Job]
) -> None:
    setting = Place(tmp_path / "results", tmp_path / "cache")
    executor = local.Local([""], setting, timeout_s=5)
    slow = write_study(tmp_path, name="slow")
    slow.write_text(slow.read_text().replace("steps = 2", "steps = 100000"))
    endless = Job(prepare(slow, machine_in(tmp_path)).runs[0])
    quick = Job(prepare(write_study(tmp_path, name="quick"), machine_in(tmp_path)).runs[0])
    ends = list(executor.run([endless, quick], lambda event: None))
    executor.close()
    assert [(event.kind, event.cause) for event in ends] == [("failed", "timeout"), ("done", "")]
    record = Store(setting.results).read(endless.run.trial.id)
    assert record is not None
    assert (record.cause, record.message) == ("timeout", "took longer than 5 s (--timeout)")


def test_asked_to_stop_running_trials_leave_checkpoints_and_no_other_begins(
    tmp_path: Path, jobs: list[Job]
) -> None:
    setting = Place(tmp_path / "results", tmp_path / "cache")
    executor = local.Local(["", ""], setting)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if {event.trial for event in events if event.kind == "epoch"} >= first:
            executor.stop()

    jobs = [Job(replace(job.run, trial=_longer(job.run.trial))) for job in jobs]
    first = {job.run.trial.id for job in jobs[:2]}
    ends = list(executor.run(jobs, listen))
    executor.close()
    assert [event.cause for event in ends] == ["interrupted"] * 2
    for event in ends:
        assert "continues from there" in event.text
        assert (Store(setting.results).trial_dir(event.trial) / "checkpoint.pt").exists()
    assert list(executor.run(jobs, listen)) == []


def test_a_cuda_error_or_a_stop_spends_a_worker_and_a_bug_on_a_cpu_does_not() -> None:
    cpu, cuda = (Place(Path(), Path(), device) for device in ("cpu", "cuda"))
    failed = {cause: Event("failed", "t", "a", 0, cause=cause) for cause in ("error", "oom", "interrupted")}
    assert [spent(event, cuda) for event in failed.values()] == [True, True, True]
    assert [spent(event, cpu) for event in failed.values()] == [False, False, True]
    assert not spent(Event("done", "t", "a", 0), cuda)
    assert spent(Event("done", "t", "a", 0, spent=True), cuda)


def _another(folder: Path) -> Run:
    """A run of another study."""
    return prepare(write_study(folder, seeds=1, name="another"), machine_in(folder)).runs[-1]


def _longer(trial: Trial) -> Trial:
    """The same, with more steps than any test waits for."""
    stages = (trial.recipe.stages[0].model_copy(update={"steps": 500_000, "eval_every": 50}),)
    return replace(trial, recipe=trial.recipe.model_copy(update={"stages": stages}))


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
