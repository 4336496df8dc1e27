from __future__ import annotations

from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench.execute import Job, Place, slots
from bench.execute.records import base
from bench.execute.slots import (
    CONTEXT_MB,
    PROBES,
    Gpu,
    about,
    choose,
    most_of,
    peaks_of,
    remember_peaks,
    remembered_peaks,
    share_out,
)
from bench.machine import Machine
from bench.run.planning import prepare
from bench.store import Record, Store


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(prepare(write_study(tmp_path), machine_in(tmp_path)).runs[0])


def local(folder: Path, workers: int = 0) -> Machine:
    return machine_in(folder, executor="local", workers=workers)


def on_gpu(job: Job, peak_mb: float, **changes: object) -> Record:
    fields = base(job, Place(Path(), Path())) | {
        "machine": {"device": "cuda"},
        "memory": {"peak_mb": peak_mb},
    }
    return Record(**(fields | {"status": "done"} | changes))


def test_a_cpu_has_a_worker_for_each_core_or_what_is_asked(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_cores", lambda: 6)
    setting = Place(tmp_path, tmp_path)
    assert choose(local(tmp_path), setting, [job]) == [""] * 6
    assert choose(local(tmp_path, workers=3), setting, [job]) == [""] * 3
    assert choose(local(tmp_path), setting, [job], smoked=True) == [""]


def test_threads_of_a_trial_take_cores_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path)
    study.write_text(study.read_text().replace("batch_size = 32", "batch_size = 32\ncpu_threads = 4"))
    wide = Job(prepare(study, machine_in(tmp_path)).runs[0])
    for cores, workers in ((8, 2), (7, 1), (2, 1)):
        monkeypatch.setattr(slots, "_cores", lambda cores=cores: cores)
        assert len(choose(local(tmp_path), Place(tmp_path, tmp_path), [wide])) == workers


def test_gpus_are_shared_out_by_measured_memory_in_turns() -> None:
    gpus = [Gpu("0", 24_000), Gpu("1", 10_000)]
    # 1.2 × 2,500 + 700 = 3,700 MB each: six fit the first, four are enough; two fit the second.
    assert CONTEXT_MB == 700
    assert share_out(gpus, 2_500) == ["0", "1", "0", "1", "0", "0"]


def test_a_trial_that_hardly_fits_has_a_gpu_for_itself_and_an_unknown_one_too() -> None:
    assert share_out([Gpu("3", 8_000)], 7_900) == ["3"]
    assert share_out([Gpu("3", 80_000), Gpu("5", 80_000)], None) == ["3", "5"]


def test_workers_asked_for_go_round_the_gpus(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_gpus", lambda: [Gpu("0", 1.0), Gpu("1", 1.0)])
    assert choose(local(tmp_path, workers=3), Place(tmp_path, tmp_path, "cuda"), [job]) == ["0", "1", "0"]


def test_memory_is_known_from_trials_of_the_same_recipe_on_a_gpu(job: Job, tmp_path: Path) -> None:
    def most(*records: Record) -> float | None:
        return most_of([job.run.trial], peaks_of(records))

    assert most() is None
    assert most(on_gpu(job, 900), on_gpu(job, 1_200)) == 1_200
    on_cpu = on_gpu(job, 5_000, machine={"device": "cpu"})
    larger = on_gpu(job, 5_000, data={**base(job, Place(Path(), Path()))["data"], "size_px": 96})
    assert most(on_cpu, larger) is None


def test_what_a_probe_measured_is_remembered_in_the_cache(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_gpus", lambda: [Gpu("0", 8_000)])
    setting = Place(tmp_path / "results", tmp_path / "cache", "cuda")
    remember_peaks(setting.cache, {"other": 1.0})
    remember_peaks(setting.cache, {about(job.run.trial): 2_500.0})
    assert remembered_peaks(setting.cache) == {"other": 1.0, about(job.run.trial): 2_500.0}
    # 1.2 × 2,500 + 700 = 3,700 MB: two in 7,600 MB
    assert choose(local(tmp_path), setting, [job]) == ["0", "0"]
    (setting.cache / PROBES).write_text("[]")
    assert remembered_peaks(setting.cache) == {}


def test_finished_trials_decide_how_many_run_at_once(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_gpus", lambda: [Gpu("0", 8_000)])
    setting = Place(tmp_path / "results", tmp_path, "cuda")
    assert choose(local(tmp_path), setting, [job]) == ["0"]
    Store(setting.results).write(on_gpu(job, 1_000), history=[], predictions={})
    # 1.2 × 1,000 + 700 = 1,900 MB: four in 7,600 of 8,000 MB
    assert choose(local(tmp_path), setting, [job]) == ["0"] * 4
