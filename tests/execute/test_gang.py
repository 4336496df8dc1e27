"""Trials that take turns in one process are those that run one after the other, to the bit."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import machine_in, write_study

from bench.execute import Event, Job, Place
from bench.execute import work as working
from bench.execute.inline import Inline
from bench.execute.jobs import spent
from bench.execute.local import Local, _attend, _Worker
from bench.execute.order import lonely, may_join
from bench.plan import Trial
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store, equal_view
from bench.train import checkpoint
from bench.train.turns import Turns
from bench.trial import Result, Surroundings, trial_turns

ARMS = """\
mixed = { augment = ["randaugment", "mixup"], ema = 0.9, schedule = "cosine" }
[arms.short]
augment = ["flip"]
optimizer = { name = "sgd", lr = 0.5 }
stages = [{ train = "all", epochs = 6, patience = 1 }]
"""
STAGES = """\
  { train = "head", steps = 5, eval_every = 2 },
  { train = "all", epochs = 3, lr_scale = 0.5, patience = 2 },
"""
QUIET = lambda event: None  # noqa: E731


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three arms that draw, average and stop differently."""
    study = write_study(tmp_path, arms=ARMS.replace("flips", "mixed"))
    text = study.read_text().replace('{ train = "all", steps = 2 }', STAGES).replace("flips", "mixed")
    study.write_text(text.replace("dense = 8", "dense = 8, dropout = 0.5"))
    return [Job(run) for run in prepare(study, machine_in(tmp_path)).runs]


def place(folder: Path, name: str) -> Place:
    return Place(folder / name, folder / "cache")


def what_came_of(at: Place, job: Job) -> tuple[Any, ...]:
    """All that a trial left but what it cost."""
    store, id = Store(at.results), job.run.trial.id
    record = store.read(id)
    assert record is not None
    costs = ("seconds", "images_per_s")
    history = [{k: v for k, v in entry.items() if k not in costs} for entry in store.history(id)]
    said = {key: (p.probabilities.tobytes(), p.ids.tobytes()) for key, p in store.predictions(id).items()}
    with np.errstate(all="ignore"):
        return equal_view(record), history, said, store.weights_path(id).read_bytes()


def test_a_gang_leaves_what_its_trials_leave_one_by_one(tmp_path: Path, jobs: list[Job]) -> None:
    alone, gang = place(tmp_path, "alone"), place(tmp_path, "gang")
    assert [event.kind for event in Inline(alone).run(jobs, QUIET)] == ["done"] * 3
    told: list[Event] = []
    assert [event.kind for event in Inline(gang, 3).run(jobs, told.append)] == ["done"] * 3
    assert [event.kind for event in told[:3]] == ["started"] * 3
    assert len({event.arm for event in told if event.kind == "epoch"}) == 3
    order = [event.arm for event in told if event.kind == "epoch"]
    assert order != sorted(order, key=order.index), "they took turns"
    assert all(what_came_of(alone, job) == what_came_of(gang, job) for job in jobs)
    records = [Store(gang.results).read(job.run.trial.id) for job in jobs]
    assert len({stage["epochs"] for record in records if record for stage in record.training[-1:]}) > 1
    marks = [[r.machine.get("gang") for r in Store(at.results).records()] for at in (alone, gang)]
    assert marks == [[None] * 3, [3] * 3]


def test_a_gang_whose_images_do_not_fit_streams_them_to_each(tmp_path: Path, jobs: list[Job]) -> None:
    kept = place(tmp_path, "kept")
    list(Inline(kept).run(jobs, QUIET))
    streaming = replace(place(tmp_path, "streamed"), resident_bytes=1)
    assert [event.kind for event in Inline(streaming, 3).run(jobs, QUIET)] == ["done"] * 3
    assert all(what_came_of(kept, job) == what_came_of(streaming, job) for job in jobs)
    assert all(record.memory["streamed_mb"] > 0 for record in Store(streaming.results).records())


def test_a_gang_that_was_stopped_goes_on_one_by_one_and_the_other_way_round(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    whole = place(tmp_path, "whole")
    list(Inline(whole).run(jobs, QUIET))
    for name, first, then in (("gang first", 3, 1), ("gang last", 1, 2)):
        at, executor = place(tmp_path, name), Inline(place(tmp_path, name), first)
        evaluated: list[str] = []

        def listen(
            event: Event, seen: list[str] = evaluated, stops: Inline = executor, after: int = 3 * first
        ) -> None:
            seen.append(event.kind)
            if seen.count("epoch") == after:
                stops.stop()

        ends = list(executor.run(jobs, listen))
        assert {event.cause for event in ends} <= {"interrupted", ""}
        assert any(event.cause == "interrupted" for event in ends)
        assert all(event.kind in ("done", "failed") for event in Inline(at, then).run(jobs, QUIET))
        assert all(what_came_of(at, job)[1:] == what_came_of(whole, job)[1:] for job in jobs)


def test_one_that_diverges_is_a_result_and_leaves_the_others_as_they_are(
    tmp_path: Path, jobs: list[Job]
) -> None:
    recipe = jobs[2].run.trial.recipe
    wild = recipe.optimizer.model_copy(update={"params": recipe.optimizer.params | {"lr": 1e30}})
    trial = replace(jobs[2].run.trial, id="d" * 16, recipe=recipe.model_copy(update={"optimizer": wild}))
    jobs[2] = Job(replace(jobs[2].run, trial=trial))
    alone, gang = place(tmp_path, "alone"), place(tmp_path, "gang")
    list(Inline(alone).run(jobs[:2], QUIET))
    ends = {event.arm: event.kind for event in Inline(gang, 3).run(jobs, QUIET)}
    assert ends == {"none": "done", "mixed": "done", "short": "diverged"}
    assert all(what_came_of(alone, job) == what_came_of(gang, job) for job in jobs[:2])


def breaking(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
    """Let the arm ``mixed`` break after two turns, so many times."""
    left = [times]

    def turns(trial: Trial, scored: Sequence[Any], where: Surroundings) -> Turns[Result]:
        steps = trial_turns(trial, scored, where)
        if not trial.recipe.ema or not left[0]:
            return (yield from steps)
        left[0] -= 1
        for _ in range(2):
            next(steps)
            yield
        raise error

    monkeypatch.setattr(working, "trial_turns", turns)


def test_where_one_breaks_all_are_handed_back_without_a_record(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, RuntimeError("CUDA out of memory"), 1)
    at = place(tmp_path, "gang")
    ends = {event.arm: event for event in Inline(at, 3).run(jobs, QUIET)}
    assert all(event.kind == "failed" and event.apart and spent(event, at) for event in ends.values())
    assert {arm: event.cause for arm, event in ends.items()} == {"none": "", "mixed": "oom", "short": ""}
    assert ends["none"].text == "mixed broke beside it"
    assert ends["mixed"].text == "RuntimeError: CUDA out of memory"
    assert Store(at.results).records() == []


@pytest.mark.parametrize(("times", "failures"), [(1, 0), (2, 1)])
def test_they_run_again_each_by_itself_and_that_is_said(
    times: int,
    failures: int,
    tmp_path: Path,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    breaking(monkeypatch, ValueError("a bug"), times)
    ending = run_study(tmp_path / "tiny.toml", machine_in(tmp_path, gang=3), Options(), Terminal())
    said = capsys.readouterr().err
    assert "mixed broke beside it; runs again by itself, when the others are through" in said
    assert "ValueError: a bug; runs again by itself" in said
    assert len(ending.failures) == failures
    records = Store(tmp_path / "results").records()
    assert [record.status for record in records].count("done") == 3 - failures
    assert all("gang" not in record.machine for record in records)
    assert {record.attempts for record in records} == {1}, "none of them was to blame"


def test_who_takes_turns_with_whom(jobs: list[Job]) -> None:
    one, other, third = jobs
    assert may_join(one, [], 1, "cpu")
    assert may_join(one, [other], 2, "cpu")
    assert not may_join(one, [other, third], 2, "cpu"), "there is no room"
    assert not may_join(replace(one, apart=True), [other], 2, "cpu")
    assert not may_join(one, [replace(other, alone=True)], 2, "cpu")
    assert "launches" in lonely(one, "cuda")
    recorded = [
        Job(
            replace(
                job.run,
                trial=replace(job.run.trial, recipe=job.run.trial.recipe.model_copy(update={"graph": True})),
            )
        )
        for job in (one, other)
    ]
    assert may_join(recorded[0], recorded[1:], 2, "cuda")
    foreign = replace(one, run=replace(one.run, trial=replace(one.run.trial, code=("another file",))))  # type: ignore[arg-type]
    assert not may_join(foreign, [other], 2, "cpu"), "a process has one study's components at hand"


class Pipe:
    """A conductor that sends so many jobs at a time, and reads all that is said."""

    def __init__(self, *batches: list[Job]) -> None:
        self.batches, self.said = deque(deque(batch) for batch in batches), list[tuple[bool, Event]]()

    def poll(self) -> bool:
        return bool(self.batches and self.batches[0])

    def recv(self) -> Job:
        while self.batches and not self.batches[0]:
            self.batches.popleft()
        if not self.batches:
            raise EOFError
        return self.batches[0].popleft()

    def send(self, news: tuple[bool, Event]) -> None:
        self.said.append(news)

    @property
    def ends(self) -> Iterator[Event]:
        return (event for last, event in self.said if last)


def test_a_worker_takes_jobs_while_others_train_and_ends_with_its_pipe(
    tmp_path: Path, jobs: list[Job]
) -> None:
    pipe = Pipe(jobs[:2], jobs[2:])
    _attend(pipe, place(tmp_path, "r"), lambda: False, True)
    assert [event.kind for event in pipe.ends] == ["done"] * 3
    assert {r.machine["gang"] for r in Store(tmp_path / "r").records() if "gang" in r.machine} == {2}


def test_a_worker_whose_device_may_be_broken_begins_nothing(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, RuntimeError("an illegal memory access"), 1)
    pipe = Pipe(jobs[:2], jobs[2:])
    _attend(pipe, place(tmp_path, "r"), lambda: False, True)
    ends = list(pipe.ends)
    assert all(event.apart for event in ends)
    assert ends[-1].text == "its worker made room for a fresh one"
    assert "started" not in [event.kind for _, event in pipe.said if event.arm == "short"]


class Process:
    exitcode = -9

    def join(self) -> None:
        pass

    kill = join


def test_of_a_gang_whose_worker_died_or_hung_only_the_late_one_is_to_blame(
    tmp_path: Path, jobs: list[Job]
) -> None:
    executor = Local([""], place(tmp_path, "r"), timeout_s=5.0, gang=3)
    assert executor.workers == 3

    def worker(count: int, **for_s: float) -> _Worker:
        found = _Worker(Process(), None, "")  # type: ignore[arg-type]
        for job in jobs[:count]:
            found.take(job)
            found.since[job.run.trial.id] = time.monotonic() - for_s.get(job.run.arm, 0.0)
        executor._crew = [found]
        return found

    assert [(e.apart, e.cause) for e in executor._bury(worker(3))] == [(True, "")] * 3
    assert [(e.apart, e.cause) for e in executor._bury(worker(1))] == [(False, "killed")]
    worker(3, mixed=14.0)
    assert list(executor._overdue()) == [], "three took turns, each has three times as long"
    worker(3, mixed=16.0)
    ends = {event.arm: event for event in executor._overdue()}
    assert {arm: (e.apart, e.cause) for arm, e in ends.items()} == {
        "mixed": (False, "timeout"), "none": (True, ""), "short": (True, ""),
    }  # fmt: skip
    assert executor._crew == []
    assert "mixed beside it took longer than 5 s" in ends["none"].text
