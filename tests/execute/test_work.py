from __future__ import annotations

import errno
import itertools
import math
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import machine_in, write_study
from torch import Tensor

from bench.errors import StopAsked, raise_stop
from bench.execute import Event, Job, Place
from bench.execute.records import write_killed
from bench.execute.work import Gang, work
from bench.run.planning import prepare
from bench.store import Store, equal_view
from bench.train import checkpoint
from bench.train.graph import Step


class MuteError(Exception):
    def __str__(self) -> str:
        return str(1 // 0)


OWN = """\
import os

import torch

from bench.registry import augmentations, metrics


class Step:
    def prepare(self, space):
        return self

    def __call__(self, images, targets, rng):
        {body}
        return images, targets


@augmentations.register("odd")
def odd():
    return Step()


@metrics.register("sorts")
def sorts():
    def score(probabilities, labels):
        labels.sort()
        probabilities[:] = 0
        return 0.5

    return score
"""


def of_own(folder: Path, body: str) -> list[Job]:
    """Two jobs of a study with code of its own: an arm whose augmentation does ``body``, and one without."""
    (folder / "u.py").write_text(OWN.format(body=body))
    study = write_study(folder, arms='odd = { augment = ["odd"] }\nflips = { augment = ["flip"] }')
    study.write_text(f'uses = ["u.py"]\n{study.read_text()}')
    return [Job(run) for run in prepare(study, machine_in(folder)).runs]


def test_what_a_component_does_to_torch_and_to_labels_reaches_no_other_arm_and_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)"
    quiet, spoilt = ({}, {})
    (tmp_path / "plain").mkdir()
    plain = prepare(write_study(tmp_path / "plain"), machine_in(tmp_path / "plain")).runs
    place = Place(tmp_path / "quiet", tmp_path / "cache")
    for run in plain:
        assert work(Job(run), place, lambda event: None).kind == "done"
        quiet[run.trial.id] = Store(place.results).predictions(run.trial.id)
    place = Place(tmp_path / "spoilt", tmp_path / "cache")
    for job in of_own(tmp_path, body)[::-1] + of_own(tmp_path, body):
        work(job, place, lambda event: None)
        assert torch.get_default_dtype() == torch.float32
        if job.run.trial.id in quiet:
            spoilt[job.run.trial.id] = Store(place.results).predictions(job.run.trial.id)
    assert quiet.keys() == spoilt.keys()
    for id, said in quiet.items():
        for key, one in said.items():
            assert (one.labels == spoilt[id][key].labels).all()
            assert (one.probabilities == spoilt[id][key].probabilities).all()


def test_a_components_own_error_of_the_system_is_its_own(tmp_path: Path) -> None:
    odd = next(job for job in of_own(tmp_path, "open('/nowhere/at/all')") if job.run.arm == "odd")
    event = work(odd, Place(tmp_path / "results", tmp_path / "cache"), lambda event: None)
    assert event.cause == "error"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    study = write_study(tmp_path)
    study.write_text(study.read_text().replace("steps = 2", "steps = 8, eval_every = 2"))
    return Job(prepare(study, machine_in(tmp_path)).runs[0])


def stop_after(evaluations: int, events: list[Event]) -> object:
    def listen(event: Event) -> None:
        events.append(event)
        if [e.kind for e in events].count("epoch") > evaluations:
            raise StopAsked

    return listen


@pytest.mark.parametrize("killed", [False, True])
def test_a_job_that_was_interrupted_or_killed_continues_and_leaves_no_checkpoint(
    killed: bool, tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    setting, plain = (Place(tmp_path / name, tmp_path / "cache") for name in ("results", "plain"))
    id, events = job.run.trial.id, list[Event]()
    with pytest.raises(StopAsked):
        work(job, setting, stop_after(2, events))  # type: ignore[arg-type]
    kept = setting.results / "trials" / id / "checkpoint.pt"
    assert kept.exists()
    if killed:
        write_killed(job, setting, "its worker process ended with code -9")
        assert kept.exists()
    events.clear()
    assert work(job, setting, events.append).kind == "done"
    assert not kept.exists()
    told = [event.text for event in events if event.kind in ("epoch", "note")]
    assert told[0] == f"continues from {kept}"
    assert len(told) == 1 + 2, "two of four evaluations were left"
    work(job, plain, lambda event: None)
    continued, whole = (Store(each.results).read(id) for each in (setting, plain))
    assert continued is not None
    assert whole is not None
    assert equal_view(continued) == equal_view(whole)


def test_a_trial_that_failed_by_itself_starts_again(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results")
    kept = store.trial_dir(job.run.trial.id) / "checkpoint.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    write_killed(job, Place(store.root, tmp_path), "out of luck")
    assert kept.exists()
    record = store.read(job.run.trial.id)
    assert record is not None
    store.write(record.model_copy(update={"cause": "error"}), history=[], predictions={})
    assert not kept.exists()


def test_stopping_a_trial_time_and_again_uses_up_no_attempt(tmp_path: Path, job: Job) -> None:
    setting = Place(tmp_path / "results", tmp_path / "cache")
    store, id = Store(setting.results), job.run.trial.id
    seen = []
    for _ in range(5):
        before = store.read(id)
        attempt = before.attempts + 1 if before else 1  # as the conductor counts
        event = work(replace(job, attempt=attempt), setting, lambda event: None, stop=lambda: True)
        record = store.read(id)
        assert record is not None
        seen.append((event.cause, record.attempts))
        assert record.traceback == ""
    # four evaluations, one a run; the fifth finds nothing left to train
    assert seen == [("interrupted", 1)] * 4 + [("", 2)]
    assert "stopped in stage 1 after epoch" not in event.text


def test_a_worker_whose_recording_failed_is_spent_and_another_is_not(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU nobody knows what a broken recording left behind."""

    class Broken:
        def aside(self, step: Step, images: Tensor, targets: Tensor) -> Tensor:
            return step(images, targets)

        def record(self, doing: Callable[[], None]) -> Callable[[], None]:
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("bench.train.stepper.recorder_for", lambda device, note: Broken())
    assert not work(job, Place(tmp_path / "plain", tmp_path / "cache"), lambda event: None).spent
    recipe = job.run.trial.recipe.model_copy(update={"graph": True})
    recorded = replace(job, run=replace(job.run, trial=replace(job.run.trial, recipe=recipe)))
    end = work(recorded, Place(tmp_path / "graph", tmp_path / "cache"), lambda event: None)
    assert (end.kind, end.spent) == ("done", True)


def test_before_its_first_trial_on_a_gpu_a_worker_tells_cublas_to_repeat_its_sums(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen: list[str | None] = []

    def trial_turns(*given: object) -> None:
        seen.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        raise KeyError

    monkeypatch.setattr("bench.execute.work.trial_turns", trial_turns)
    monkeypatch.setattr("bench.execute.records.provenance.machine", lambda device: {"device": device})
    for device in ("cpu", "cuda"):
        assert work(job, Place(tmp_path / device, tmp_path, device), lambda event: None).cause == "error"
    assert seen == [None, ":4096:8"]
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


@pytest.fixture
def heeding() -> Iterator[None]:
    """SIGINT is heeded, as by the command line."""
    before = signal.signal(signal.SIGINT, raise_stop)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize(
    ("raised", "cause", "told"),
    [
        (SystemExit(0), "error", "SystemExit: 0"),
        (KeyboardInterrupt("mine"), "error", "KeyboardInterrupt: mine"),
        (GeneratorExit("left"), "error", "GeneratorExit: left"),
        (type("Own", (BaseException,), {})("mine"), "error", "Own: mine"),
        (MuteError(), "error", "MuteError, which cannot be told: its text raises ZeroDivisionError"),
        (OSError(errno.ESTALE, "Stale file handle"), "interrupted", "Stale file handle"),
        (FileNotFoundError(errno.ENOENT, "gone"), "interrupted", "gone"),
        (
            ValueError("\x1b]0;mine\x07\x1b[31mred \u202e turned"),
            "error",
            r"\x1b]0;mine\x07\x1b[31mred \u202e turned",
        ),
        (ValueError("x" * 100_000), "error", "… 96012 characters …"),
    ],
    ids=[
        "sys.exit",
        "no Ctrl-C",
        "GeneratorExit",
        "BaseException",
        "mute",
        "stale",
        "gone",
        "escapes",
        "long",
    ],
)
def test_whatever_a_component_raises_is_a_record_that_steers_no_terminal(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch, raised: BaseException, cause: str, told: str
) -> None:
    def broken(*_: object) -> None:
        raise raised

    monkeypatch.setattr("bench.execute.work.trial_turns", broken)
    place = Place(tmp_path / "results", tmp_path / "cache")
    event = work(job, place, lambda event: None)
    assert (event.kind, event.cause) == ("failed", cause)
    record = Store(place.results).read(job.run.trial.id)
    assert record is not None
    assert told in record.message
    for text, most in ((event.text, 450), (record.message, 4100), (record.traceback, 40_100)):
        assert len(text) < most
        assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("body", ["raise KeyboardInterrupt", "os.kill(os.getpid(), 2)"])
def test_only_a_signal_stops_a_run(tmp_path: Path, body: str) -> None:
    jobs = of_own(tmp_path, body)
    gang = Gang(Place(tmp_path / "results", tmp_path / "cache"), lambda event: None, beside=True)
    for job in jobs:
        gang.begin(job)
    ended: list[Event] = []
    if "kill" in body:
        with pytest.raises(StopAsked):
            deque(itertools.chain.from_iterable(gang.turn() for _ in range(10)), 0)
        gang.close()
        return
    while gang.jobs:
        ended += gang.turn()
    assert {(event.arm, event.cause, event.apart) for event in ended} >= {("odd", "error", True)}
    odd = next(job for job in jobs if job.run.arm == "odd")
    assert work(odd, Place(tmp_path / "results", tmp_path / "cache"), lambda event: None).cause == "error"
