from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import HIDDEN, machine_in, write_study

from bench.errors import UserError
from bench.execute import Event, Executor, Job, Place
from bench.execute.inline import Inline
from bench.run.planning import prepare
from bench.store import Store, equal_view

pytest.importorskip("ray", reason="needs the extra bench[ray]")

from bench.execute.actors import Actors
from bench.execute.ray import TOKEN, Cluster, Ray, _look

QUIET = lambda event: None  # noqa: E731


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def ray(folder: Path) -> Iterator[Ray]:
    """A cluster of two workers on this machine; it takes ten seconds to start."""
    import ray

    (folder / "results").mkdir()
    # GPUs that are not there: only trials that ask for one are given one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", functools.partial(ray.init, num_gpus=2))
        executor = Ray(Cluster(workers=2), Place(folder / "results", folder / "cache"), timeout_s=60)
    yield executor
    executor.close()


def jobs_of(folder: Path, steps: int = 2, seeds: int = 1, name: str = "tiny") -> list[Job]:
    study = write_study(folder, seeds=seeds, hidden=HIDDEN, name=name)
    study.write_text(study.read_text().replace("steps = 2", f"steps = {steps}"))
    return [Job(run) for run in prepare(study, machine_in(folder)).runs]


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The first test: Ray connects once at a time."""
    with pytest.raises(UserError, match="Could not find any running Ray"):
        Ray(Cluster("auto"), Place(tmp_path, tmp_path))


def test_inline_and_ray_give_equal_records_and_the_same_bits(ray: Ray, folder: Path) -> None:
    """Of inline and local tests/run/test_conductor.py says the same."""
    jobs, place = jobs_of(folder, steps=8, seeds=2), Place(folder / "inline", folder / "cache")
    assert ray.workers == 2
    executors: tuple[Executor, ...] = (ray, Inline(place))
    for executor in executors:
        assert [event.kind for event in executor.run(jobs, QUIET)] == ["done"] * 4
    first, second = Store(ray._place.results), Store(place.results)
    for id in [job.run.trial.id for job in jobs]:
        by_ray, other = first.read(id), second.read(id)
        assert by_ray is not None
        assert other is not None
        assert equal_view(by_ray) == equal_view(other)
        assert first.history(id)[-1]["val_loss"] == second.history(id)[-1]["val_loss"]
        for key, predictions in first.predictions(id).items():
            assert np.array_equal(predictions.probabilities, second.predictions(id)[key].probabilities)


def test_news_of_a_trial_comes_in_order(ray: Ray, folder: Path) -> None:
    events: list[Event] = []
    job = jobs_of(folder, steps=8, name="news")[0]
    (end,) = ray.run([job], events.append)
    assert end.kind == "done"
    assert [event.kind for event in events] == ["started"] + ["epoch"] * 8
    assert [event.at["epoch"] for event in events[1:]] == list(range(1, 9))


class Seeing:
    """Stands in for a worker on a GPU: its process sees the GPU it saw first, as torch would."""

    first = ""

    def work(self, job: Job, place: Place, mailbox: object, key: str) -> Event:
        import ray

        (granted,) = ray.get_gpu_ids()
        self.first = self.first or os.environ["CUDA_VISIBLE_DEVICES"]
        cause = "oom" if job.attempt > 1 else ""
        text = f"{os.getpid()} sees {self.first}, granted {granted}"
        return Event("failed" if cause else "done", job.run.trial.id, "", 0, text, cause=cause)


def test_sixty_trials_on_two_gpus_are_each_on_the_one_that_they_were_granted(
    ray: Ray, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[Seeing.__module__])
    monkeypatch.setattr(ray, "_place", replace(ray._place, device="cuda"))
    monkeypatch.setattr(ray, "_actors", Actors(ray._ray, Seeing))
    (one, *_) = jobs_of(folder, name="seeing")

    def numbered(number: int, attempt: int = 1) -> Job:
        trial = replace(one.run.trial, id=f"{attempt}-{number}")
        return Job(replace(one.run, trial=trial), attempt=attempt)

    ends = [event.text.split() for event in ray.run([numbered(i) for i in range(60)], QUIET)]
    assert sum(seen.strip(",") == granted for _, _, seen, _, granted in ends) == 60
    assert {granted for *_, granted in ends} == {"0", "1"}
    assert len({pid for pid, *_ in ends}) == 2, "a process each, kept"
    broken = [event.text.split()[0] for event in ray.run([numbered(i, attempt=2) for i in range(4)], QUIET)]
    assert len(set(broken)) == 4, "nothing works in a process after a CUDA error"
    assert {pid for pid, *_ in ends} & set(broken)
    alone = replace(numbered(9), alone=True)
    assert [event.kind for event in ray.run([alone], QUIET)] == ["done"]
    assert ray._actors is not None
    ray._actors.dismiss()


def test_a_lost_worker_costs_the_trial_it_was_on(ray: Ray, folder: Path) -> None:
    jobs = jobs_of(folder, steps=4000, name="lost")[:2]

    def listen(event: Event) -> None:
        if event.kind == "epoch" and event.trial == jobs[0].run.trial.id and not killed:
            killed.append(event.trial)
            for pid in workers_at_work():
                os.kill(pid, signal.SIGKILL)

    killed: list[str] = []
    ends = list(ray.run(jobs, listen))
    assert killed
    assert {event.cause for event in ends} == {"killed"}
    record = Store(ray._place.results).read(killed[0])
    assert record is not None
    assert "its Ray worker was lost" in record.message
    again = [replace(job, attempt=2) for job in jobs_of(folder, name="short")]
    assert [event.kind for event in ray.run(again, QUIET)] == ["done"] * 2, "Ray has started others"


def test_what_takes_too_long_is_ended(ray: Ray, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "_timeout_s", 1.0)
    (end,) = ray.run(jobs_of(folder, steps=100_000, name="slow")[:1], QUIET)
    assert (end.kind, end.cause) == ("failed", "timeout")
    assert end.text == "timeout: took longer than 1 s (--timeout)"


def test_asked_to_stop_a_running_trial_leaves_a_checkpoint_and_no_other_begins(
    ray: Ray, folder: Path
) -> None:
    """The last test of this cluster: it stays stopped."""
    jobs = jobs_of(folder, steps=5000, seeds=3, name="stopped")

    def listen(event: Event) -> None:
        if event.kind == "epoch":
            ray.stop()

    ends = list(ray.run(jobs, listen))
    assert 1 <= len(ends) <= 2
    assert {event.cause for event in ends} == {"interrupted"}
    for event in ends:
        assert (Store(ray._place.results).trial_dir(event.trial) / "checkpoint.pt").exists()
    assert list(ray.run(jobs, QUIET)) == []


def workers_at_work() -> list[int]:
    """Processes of Ray that run a trial."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_task" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_workers_end_with_a_conductor_that_is_killed(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=2)
    study.write_text(study.read_text().replace("steps = 2", "steps = 200000"))
    command = [sys.executable, "-m", "bench", "run", str(study), "--results", str(tmp_path / "r")]
    running = subprocess.Popen(
        [*command, "--executor", "ray", "--workers", "2"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: len(workers_at_work()) == 2, 120)
    running.kill()
    running.wait()
    wait_for(lambda: not workers_at_work(), 30)
    assert Store(tmp_path / "r").ids() == []


def wait_for(what: object, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_node_must_see_the_results_of_the_conductor(tmp_path: Path) -> None:
    setting = Place(tmp_path / "results", tmp_path / "cache")
    assert "does not see" in _look(setting, "abc")
    setting.results.mkdir()
    (setting.results / f"{TOKEN}-abc").write_text("abc")
    assert _look(setting, "abc") == ""
    (setting.results / f"{TOKEN}-def").write_text("abc")
    assert "something else" in _look(setting, "def")
    (tmp_path / "file").write_text("in the way")
    assert "cannot write" in _look(replace(setting, cache=tmp_path / "file"), "abc")
