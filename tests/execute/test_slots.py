from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import machine_in, write_study

from bench import registry
from bench.errors import UserError
from bench.execute import Job, Place, slots
from bench.execute.local import Local, _Worker
from bench.execute.look import Gpu, gpus
from bench.execute.records import base, ended, write_killed
from bench.execute.slots import (
    CONTEXT_MB,
    PROBES,
    Rooms,
    about,
    choose,
    remember_peaks,
    remembered_peaks,
    share_out,
    worth,
)
from bench.machine import Machine
from bench.plan import Trial
from bench.run.planning import prepare
from bench.store import Record, Store


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(prepare(write_study(tmp_path), machine_in(tmp_path)).runs[0])


def local(folder: Path, workers: int = 0) -> Machine:
    return machine_in(folder, executor="local", workers=workers)


def on_gpu(job: Job, reserved_mb: float, **changes: object) -> Record:
    fields = base(job, Place(Path(), Path())) | {
        "machine": {"device": "cuda"},
        "memory": {"peak_mb": reserved_mb / 2, "reserved_mb": reserved_mb},
    }
    return Record(**(fields | {"status": "done"} | changes))


def test_a_cpu_has_a_worker_for_each_core_or_what_is_asked(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 6)
    setting = Place(tmp_path, tmp_path)
    assert choose(local(tmp_path), setting, [job]) == ([""] * 6, None)
    assert choose(local(tmp_path, workers=3), setting, [job]) == ([""] * 3, None)
    assert choose(local(tmp_path), setting, [job], smoked=True) == ([""], None)


def test_threads_of_a_trial_take_cores_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path)
    study.write_text(study.read_text().replace("batch_size = 32", "batch_size = 32\ncpu_threads = 4"))
    wide = Job(prepare(study, machine_in(tmp_path)).runs[0])
    for cores, workers in ((8, 2), (7, 1), (2, 1)):
        monkeypatch.setattr(slots, "cores", lambda cores=cores: cores)
        assert len(choose(local(tmp_path), Place(tmp_path, tmp_path), [wide])[0]) == workers


def test_gpus_are_shared_out_by_measured_memory_in_turns() -> None:
    gpus = [Gpu("0", 24_000), Gpu("1", 10_000)]
    # 3,000 + 700 = 3,700 MB each: six fit the first, four are enough; two fit the second.
    assert CONTEXT_MB == 700
    assert share_out(gpus, 3_000) == ["0", "1", "0", "1", "0", "0"]


def test_a_trial_that_hardly_fits_has_a_gpu_for_itself_and_an_unknown_one_too() -> None:
    assert share_out([Gpu("3", 8_000)], 7_900) == ["3"]
    assert share_out([Gpu("3", 80_000), Gpu("5", 80_000)], None) == ["3", "5"]


def test_a_gpu_that_lets_one_process_in_has_one_worker() -> None:
    assert share_out([Gpu("0", 80_000, exclusive=True), Gpu("1", 80_000)], 60_000) == ["0", "1"]
    assert share_out([Gpu("0", 80_000, exclusive=True)], 1_000) == ["0"]


def test_workers_asked_for_go_round_the_gpus(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots.look, "gpus", pytest.fail)  # no memory needs to be known
    found, rooms = choose(local(tmp_path, workers=3), Place(tmp_path, tmp_path, "cuda"), [job])
    assert (found, rooms) == (["0", "1", "0"], None), "and stay as many"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5,GPU-7")
    assert slots.look.names() == ["GPU-5", "GPU-7"]


def test_memory_is_known_from_trials_that_need_the_same(job: Job, tmp_path: Path) -> None:
    trial, place = job.run.trial, Place(tmp_path, tmp_path, "cuda")

    def workers(record: Record | None, asked: Trial = trial) -> int:
        if record is not None:
            Store(tmp_path).write(record, history=[], predictions={})
        return len(Rooms(place, [Gpu("0", 8_000)]).slots([asked]))

    def other(**changes: object) -> Trial:
        return replace(trial, recipe=trial.recipe.model_copy(update=changes))

    assert workers(None) == 1, "not known"
    assert workers(on_gpu(job, 1_000, machine={"device": "cpu"})) == 1
    # 1,000 + 700 = 1,700 MB: four in 7,600 of 8,000 MB
    assert workers(on_gpu(job, 1_000)) == 4
    adam = trial.recipe.optimizer
    faster = adam.model_copy(update={"params": adam.params | {"lr": 0.5}})
    assert workers(None, other(optimizer=faster)) == 4, "a rate needs no memory"
    assert workers(None, replace(trial, data_fingerprint="larger")) == 1
    assert adam.name == "adam"
    sgd = adam.model_copy(update={"name": "sgd", "params": registry.optimizers["sgd"].parameters({})})
    for changes in ({"optimizer": sgd}, {"balance": "upsample-static"}, {"graph": True}, {"batch_size": 16}):
        assert workers(None, other(**changes)) == 1, changes


def test_what_a_probe_measured_is_remembered_in_the_cache(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots.look, "gpus", lambda: [Gpu("0", 8_000)])
    setting = Place(tmp_path / "results", tmp_path / "cache", "cuda")
    remember_peaks(setting.cache, {"other": 1.0})
    remember_peaks(setting.cache, {about(job.run.trial): 3_000.0})
    assert remembered_peaks(setting.cache) == {"other": 1.0, about(job.run.trial): 3_000.0}
    # 3,000 + 700 = 3,700 MB: two in 7,600 MB
    assert choose(local(tmp_path), setting, [job])[0] == ["0", "0"]
    (setting.cache / PROBES).write_text("[]")
    assert remembered_peaks(setting.cache) == {}


def worker_in_a_thread(place: Place, slot: str, beside: bool) -> _Worker:
    """Ends each job as done at once."""
    ours, theirs = multiprocessing.Pipe()

    def serve() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                theirs.send((True, ended(theirs.recv(), "done", "")))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return _Worker(thread, ours, slot)  # type: ignore[arg-type]


def test_workers_are_chosen_again_when_the_first_trial_has_shown_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = prepare(write_study(tmp_path, seeds=5), machine_in(tmp_path)).runs
    jobs = [Job(run) for run in runs if run.arm == "none"]
    place = Place(tmp_path / "results", tmp_path / "cache", "cuda")
    rooms = Rooms(place, [Gpu("0", 8_000)])
    monkeypatch.setattr(rooms._store, "read", lambda id: on_gpu(jobs[0], 3_000))
    monkeypatch.setattr("bench.execute.local._spawn", worker_in_a_thread)
    executor = Local(["0"], place, rooms=rooms)
    ends = executor.run(jobs, lambda event: None)
    before = executor.workers
    assert next(ends).kind == "done"
    assert (before, executor.workers) == (1, 2), "nothing was known at first"
    assert [event.kind for event in ends] == ["done"] * 4
    assert len(executor._crew) == 2
    assert list(executor.run([], lambda event: None)) == []


def test_an_idle_worker_beyond_the_slots_is_let_go(tmp_path: Path) -> None:
    class Pipe:
        closed = False

        def close(self) -> None:
            self.closed = True

    executor = Local(["0"], Place(tmp_path, tmp_path))
    pipes = [Pipe(), Pipe()]
    executor._crew = [_Worker(None, pipes[0], "0"), _Worker(None, pipes[1], "0", {"a": object()})]  # type: ignore[arg-type]
    assert executor._free_slots() == []
    assert [pipe.closed for pipe in pipes] == [True, False], "the one at work keeps the slot"


def recorded(job: Job, reserved_mb: float, gang: int, images_per_s: float) -> Record:
    """Of a trial with recorded steps that took turns with so many."""
    recipe = job.run.trial.recipe.model_copy(update={"graph": True})
    machine: dict[str, object] = {"device": "cuda"} | ({"gang": gang} if gang > 1 else {})
    done = {"recipe": recipe.model_dump(mode="json"), "timings": {"images_per_s": images_per_s}}
    return on_gpu(job, reserved_mb, machine=machine, **done)


def test_trials_take_turns_as_memory_allows_and_as_long_as_it_pays(job: Job, tmp_path: Path) -> None:
    recipe = job.run.trial.recipe.model_copy(update={"graph": True})
    trial, place = replace(job.run.trial, recipe=recipe), Place(tmp_path, tmp_path, "cuda")
    gpus = [Gpu("0", 8_000), Gpu("1", 6_000)]

    def room(*records: Record, gang: int = 0, asked: Trial = trial) -> tuple[int, list[str]]:
        rooms = Rooms(place, gpus, gang)
        for record in records:
            rooms._learn(record)
        return rooms.seats([asked]), rooms.slots([asked])

    assert room() == (1, ["0", "1"]), "nothing is known"
    remember_peaks(place.cache, {about(trial): 1_000.0})
    assert room() == (1, ["0", "1"]), "memory is, but not what one does by itself"
    alone = recorded(job, 1_000, 1, 12_000)
    # 5,700 - 700 = 5,000 MB of the smaller one: five of 1,000 MB; doubled once, then as it pays
    assert room(alone) == (2, ["0", "1"])
    both = recorded(job, 1_900, 2, 20_000)
    assert room(alone, both) == (4, ["0", "1"]), "and what two reserve together is not what one does"
    assert room(alone, both, recorded(job, 3_500, 4, 21_000)) == (2, ["0", "1"])
    slow = recorded(job, 1_900, 2, 12_500)
    # 1,000 + 700 = 1,700 MB: four processes on one, three on the other
    assert room(alone, slow) == (1, ["0", "1", "0", "1", "0", "1", "0"])
    assert room(alone, both, gang=1)[0] == 1
    assert room(gang=3)[1] == ["0", "1"], "a person who asks gets turns, not processes"
    assert room(on_gpu(job, 1_000), asked=job.run.trial)[0] == 1, "its steps are not recorded"


def test_what_nobody_measured_is_tried_once_what_it_is_compared_with_was() -> None:
    assert worth({}, 8) == 1
    assert worth({"a": {1: [10.0]}}, 8) == 2
    assert worth({"a": {1: [10.0]}}, 1) == 1
    assert worth({"a": {1: [10.0]}, "b": {2: [90.0]}}, 8) == 2, "other trials are no measure"
    assert worth({"a": {1: [10.0, 10.0], 2: [11.0], 4: [11.1]}}, 8) == 2
    assert worth({"a": {1: [10.0], 2: [18.0], 4: [30.0], 8: [45.0]}}, 8) == 8


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_gpus_are_looked_at_by_a_process_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conductor's own torch never begins with CUDA."""

    def begin() -> None:
        raise AssertionError("a context was opened")

    monkeypatch.setattr(torch.cuda, "_lazy_init", begin)
    assert gpus() == []
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a GPU cannot be opened"):
        gpus()


def test_a_dead_workers_trial_is_recorded_without_a_context(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*given: object) -> None:
        raise AssertionError("a context was opened")

    monkeypatch.setattr(torch.cuda, "get_device_name", begin)
    write_killed(job, Place(tmp_path, tmp_path, "cuda"), "its worker process ended with code -9")
    record = Store(tmp_path).read(job.run.trial.id)
    assert record is not None
    assert record.machine["device"] == "cuda"
