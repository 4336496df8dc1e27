from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import Scripted, labels
from tiny import HIDDEN, machine_in, write_study

from bench.claims import Claims, Presence, new_owner
from bench.errors import UserError
from bench.execute import Event, Job, Place
from bench.execute.records import claim, write_failure, write_killed
from bench.execute.work import work
from bench.progress.board import Board
from bench.progress.terminal import Terminal
from bench.run import joining
from bench.run.conductor import Ending, Options, run_study
from bench.run.crew import Crew
from bench.run.planning import Planning, prepare
from bench.store import Store, equal_view

LEASE_S = 600.0


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [Job(run) for run in prepare(write_study(tmp_path, seeds=2), machine_in(tmp_path)).runs]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Presence]:
    """Another run at work in the same folder."""
    with Presence(tmp_path / "results", LEASE_S) as presence:
        yield presence


def place_of(presence: Presence, folder: Path) -> Place:
    return Place(folder / "results", folder / "cache", owner=presence.owner)


def crew_in(folder: Path) -> tuple[Crew, Scripted]:
    presence = Presence(folder / "results", 1.0)  # polls often; nobody beats for it
    hands = Crew(place_of(presence, folder), machine_in(folder), Terminal(), presence)
    hands._executor = executor = Scripted(lambda job: "done")
    return hands, executor


def go(study: Path, folder: Path, options: Options | None = None) -> Ending:
    return run_study(study, machine_in(folder), options or Options(), Terminal(quiet=True))


def owner_that_ended() -> str:
    code = "from bench.claims import new_owner; print(new_owner())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


# -- a crew among others -------------------------------------------------------------------------------------


def test_what_another_run_has_claimed_is_waited_for_and_counts_when_it_is_recorded(
    jobs: list[Job], tmp_path: Path, other: Presence, capsys: pytest.CaptureFixture[str]
) -> None:
    hands, executor = crew_in(tmp_path)
    first = jobs[0].run.trial.id
    assert other.take(first)

    def work_there() -> None:
        while not executor.batches:
            time.sleep(0.01)
        work(jobs[0], place_of(other, tmp_path), lambda event: None)
        other.claims.release(first)

    thread = threading.Thread(target=work_there)
    thread.start()
    assert hands.run("s", jobs) == []
    thread.join()
    assert [labels(batch) for batch in executor.batches] == [["none 1 #1", "flips 0 #1", "flips 1 #1"]]
    assert (hands.by_others, hands.ran) == ({first}, 3)
    assert "4/4 ● none s0  by another run" in capsys.readouterr().err
    assert hands.presence.claims.names() == set(), "it let go of its own"


def test_what_is_waited_for_is_told(jobs: list[Job], tmp_path: Path, other: Presence) -> None:
    hands, _ = crew_in(tmp_path)
    assert other.take(jobs[0].run.trial.id)
    hands._elsewhere = {job.run.trial.id: job for job in jobs[:2]}
    expected = f"waiting for 2 trials of other runs ({other.owner.partition('.')[0]}, process {os.getpid()})"
    assert hands._waited_for() == expected


@pytest.mark.parametrize(
    ("name", "awaited"),
    [(joining.REPORT, "the report"), (joining.FOLDER, "the study's folder"), ("search-t", "search.db")],
)
def test_whose_writing_is_waited_for_is_told(
    tmp_path: Path, other: Presence, monkeypatch: pytest.MonkeyPatch, name: str, awaited: str
) -> None:
    said: list[str] = []

    @contextlib.contextmanager
    def waiting(what: Callable[[], str]) -> Iterator[None]:
        said.append(what())
        other.claims.release(name)
        yield

    terminal = Terminal(quiet=True)
    monkeypatch.setattr(terminal, "waiting", waiting)
    assert other.take(name)
    with Presence(tmp_path / "results", LEASE_S) as presence, joining.having(name, presence, terminal, "t"):
        pass
    host = other.owner.partition(".")[0]
    assert said == [f"t: waiting for {awaited}, which {host}, process {os.getpid()} writes"]


def test_what_is_waited_for_is_told_as_it_is_by_then(
    jobs: list[Job], tmp_path: Path, other: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, _ = crew_in(tmp_path)
    ids = [job.run.trial.id for job in jobs[:3]]
    assert all(map(other.take, ids))
    told: list[str] = []

    def later(_: float) -> None:
        told.append(screen.board.waits.partition(" of")[0])
        work(jobs[len(told) - 1], place_of(other, tmp_path), lambda event: None)
        other.claims.release(ids[len(told) - 1])

    monkeypatch.setattr("bench.run.crew.time.sleep", later)
    with hands.terminal.trials(Board("t", 3)) as screen:
        hands._elsewhere = {job.run.trial.id: job for job in jobs[:3]}
        assert hands._wait(screen, []) == []
        assert (told, screen.board.waits) == (
            [f"waiting for {n}" for n in ("3 trials", "2 trials", "1 trial")],
            "",
        )


def test_a_trial_that_another_run_lets_go_runs_here(jobs: list[Job], tmp_path: Path, other: Presence) -> None:
    hands, executor = crew_in(tmp_path)
    first = jobs[0].run.trial.id
    assert other.take(first)
    executor.script = lambda job: other.claims.release(first) or "done"
    assert hands.run("s", jobs) == []
    assert [labels(batch) for batch in executor.batches][1:] == [["none 0 #1"]]
    assert (hands.by_others, hands.ran) == (set(), 4)


def test_what_the_dead_had_claimed_runs_at_once(jobs: list[Job], tmp_path: Path) -> None:
    hands, executor = crew_in(tmp_path)
    assert Claims(tmp_path / "results", owner_that_ended()).take(jobs[0].run.trial.id)
    assert hands.run("s", jobs) == []
    assert len(executor.batches) == 1
    assert len(executor.batches[0]) == 4


def test_a_failure_of_another_run_is_told_and_one_of_its_machine_is_left_to_the_next_plan(
    jobs: list[Job], tmp_path: Path, other: Presence
) -> None:
    hands, executor = crew_in(tmp_path)
    there = place_of(other, tmp_path)
    for job, cause in zip(jobs, ("error", "interrupted"), strict=False):
        assert claim(job, there)
        write_failure(job, there, cause, "so it goes")  # type: ignore[arg-type]
    other.claims.sweep()
    executor.script = lambda job: "done"
    for job in jobs[:2]:
        hands._elsewhere[job.run.trial.id] = job
    (line,) = hands.run("s", jobs[2:])
    assert "none s0: error: so it goes, by another run" in line
    assert hands.by_others == {job.run.trial.id for job in jobs[:2]}


def test_one_is_stopped_while_it_waits_for_another(jobs: list[Job], tmp_path: Path, other: Presence) -> None:
    hands, _ = crew_in(tmp_path)
    assert other.take(jobs[0].run.trial.id)
    hands.after_each = lambda: threading.Timer(0.1, hands.stop).start()
    with pytest.raises(KeyboardInterrupt, match="3 of 4 trials ended, 1 is left"):
        hands.run("s", jobs)
    hands.close()
    assert other.claims.names() == {jobs[0].run.trial.id}


# -- a worker among others -----------------------------------------------------------------------------------


def test_a_worker_begins_nothing_that_is_another_runs_or_was_done_meanwhile(
    jobs: list[Job], tmp_path: Path, other: Presence
) -> None:
    mine = Presence(tmp_path / "results", LEASE_S)
    job, events = jobs[0], list[Event]()
    assert other.take(job.run.trial.id)
    assert work(job, place_of(mine, tmp_path), events.append).kind == "elsewhere"
    assert events == [], "not even begun"
    assert work(job, place_of(other, tmp_path), events.append).kind == "done"
    other.claims.release(job.run.trial.id)
    assert work(job, place_of(mine, tmp_path), events.append).kind == "elsewhere"
    assert work(replace(job, attempt=2), place_of(mine, tmp_path), events.append).kind == "done"


@pytest.mark.parametrize("when", ["while it trains", "when it writes"])
def test_a_worker_whose_claim_was_lost_leaves_no_trace(
    jobs: list[Job], tmp_path: Path, other: Presence, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that was stopped for longer than its lease, and wakes."""
    mine, job = Presence(tmp_path / "results", LEASE_S), jobs[0]
    id, store = job.run.trial.id, Store(tmp_path / "results")
    monkeypatch.setattr("bench.execute.work.LOOKS_S", 0.0 if when == "while it trains" else 1e9)

    def meanwhile(event: Event) -> None:
        if event.kind != "started":
            return
        assert other.claims.take_over(id, mine.owner)
        assert work(job, place_of(other, tmp_path), lambda event: None).kind == "done"
        other.claims.release(id)
        (store.trial_dir(id) / "checkpoint.pt").write_bytes(b"the sleeper's")
        seen.extend(sorted((path.name, path.stat()) for path in store.trial_dir(id).glob("*.*[!t]")))

    seen: list[tuple[str, os.stat_result]] = []
    assert work(job, place_of(mine, tmp_path), meanwhile).kind == "elsewhere"
    after = sorted((path.name, path.stat()) for path in store.trial_dir(id).iterdir())
    assert [(name, at.st_mtime_ns, at.st_ino) for name, at in after] == [
        (name, at.st_mtime_ns, at.st_ino) for name, at in seen
    ]


def test_nobody_buries_a_trial_that_another_run_has_taken_over(
    jobs: list[Job], tmp_path: Path, other: Presence
) -> None:
    mine, job = Presence(tmp_path / "results", LEASE_S), jobs[0]
    assert claim(job, place_of(mine, tmp_path)) == job
    assert other.claims.take_over(job.run.trial.id, mine.owner)
    assert write_killed(job, place_of(mine, tmp_path), "its worker died").kind == "elsewhere"
    assert Store(tmp_path / "results").read(job.run.trial.id) is None


def test_of_added_sets_a_worker_scores_those_that_nobody_scored_meanwhile(
    tmp_path: Path, other: Presence
) -> None:
    go(write_study(tmp_path), tmp_path)
    run = prepare(write_study(tmp_path, hidden=HIDDEN), machine_in(tmp_path)).runs[0]
    job = Job(run, missing=run.sets)
    (left,) = [scored for scored in run.sets if scored.name == "other-lab"]
    found = claim(job, place_of(other, tmp_path))
    assert found is not None
    assert found.missing == (left,)
    assert work(job, place_of(other, tmp_path), lambda event: None).kind == "done"
    assert claim(job, place_of(other, tmp_path)) is None


# -- whole runs ----------------------------------------------------------------------------------------------


def test_a_run_that_joins_shares_the_trials_of_one_that_is_there(tmp_path: Path, other: Presence) -> None:
    study = write_study(tmp_path, seeds=2)
    jobs = [Job(run) for run in prepare(study, machine_in(tmp_path)).runs]
    endings = []
    assert other.take(jobs[0].run.trial.id)
    thread = threading.Thread(target=lambda: endings.append(go(study, tmp_path)))
    thread.start()
    while len(Store(tmp_path / "results").ids()) < 3:
        time.sleep(0.01)
    work(jobs[0], place_of(other, tmp_path), lambda event: None)
    other.claims.release(jobs[0].run.trial.id)
    thread.join()
    (ending,) = endings
    assert (ending.ran, ending.elsewhere, dict(ending.counts), ending.exit_code) == (3, 1, {"done": 4}, 0)
    go(write_study(tmp_path / "alone", seeds=2), tmp_path / "alone")
    shared, alone = (Store(folder / "results").records() for folder in (tmp_path, tmp_path / "alone"))
    assert list(map(equal_view, shared)) == list(map(equal_view, alone))


def test_what_another_study_did_not_score_is_scored_in_the_same_run(tmp_path: Path, other: Presence) -> None:
    """Its trial is the same, its hidden sets are not."""
    bare = Job(prepare(write_study(tmp_path, name="bare"), machine_in(tmp_path)).runs[0])
    study = write_study(tmp_path, hidden=HIDDEN)
    endings = []
    assert other.take(bare.run.trial.id)
    thread = threading.Thread(target=lambda: endings.append(go(study, tmp_path)))
    thread.start()
    while not Store(tmp_path / "results").ids():
        time.sleep(0.01)
    work(bare, place_of(other, tmp_path), lambda event: None)
    other.claims.release(bare.run.trial.id)
    thread.join()
    assert dict(endings[0].counts) == {"done": 2}


def test_two_texts_of_one_study_are_never_run_at_once(tmp_path: Path, other: Presence) -> None:
    study = write_study(tmp_path)
    joining.join(Planning(study, machine_in(tmp_path), smoked=False), other)
    assert go(study, tmp_path).exit_code == 0, "the same text joins"
    study.write_text(study.read_text().replace("Does a flip help?", "Does it?"))
    with pytest.raises(UserError, match="runs tiny from another text of its file"):
        go(study, tmp_path)
    other.__exit__()
    assert go(study, tmp_path).exit_code == 0


def test_looks_are_declared_by_all_who_join_or_by_none(tmp_path: Path, other: Presence) -> None:
    study = write_study(tmp_path, seeds=3)
    study.write_text("looks = [2, 3]\n" + study.read_text())
    joining.join(Planning(study, machine_in(tmp_path), smoked=False), other)
    with pytest.raises(UserError, match="with another --until"):
        go(study, tmp_path, Options(until_decided=True))


def test_a_lost_file_of_a_trial_that_another_run_has_is_its_business(tmp_path: Path, other: Presence) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    store = Store(tmp_path / "results")
    first = store.ids()[0]
    part = store.trial_dir(first) / ".predictions.npz.01234567.part"
    part.write_bytes(b"begun")
    os.utime(part, (1, 1))
    (store.trial_dir(first) / "history.jsonl").unlink()
    assert other.take(first)
    assert go(study, tmp_path).ran == 0
    assert store.read(first) is not None
    assert part.exists()
    other.claims.release(first)
    assert go(study, tmp_path).ran == 1
    assert not part.exists()


def test_the_folder_of_claims_is_told_where_it_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ".running").write_text("")
    with pytest.raises(UserError, match=r"\.running is no folder\n +delete it"):
        go(write_study(tmp_path), tmp_path)
    assert new_owner() != new_owner()


def test_what_one_run_has_tried_again_the_others_do_not(
    tmp_path: Path, other: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    store, first = Store(tmp_path / "results"), Job(prepare(study, machine_in(tmp_path)).runs[0])
    record = store.read(first.run.trial.id)
    assert record is not None
    store.write(record.model_copy(update={"status": "failed", "cause": "error"}), history=[], predictions={})
    there, endings, again = place_of(other, tmp_path), list[Ending](), replace(first, attempt=2)
    assert claim(again, there)
    options = Options(retry=("error",))
    thread = threading.Thread(target=lambda: endings.append(go(study, tmp_path, options)))
    waited = threading.Event()
    monkeypatch.setattr(Crew, "_waited_for", lambda hands: waited.set() or "waiting")
    thread.start()
    assert waited.wait(60)
    write_failure(again, there, "error", "so it goes again")
    other.claims.release(first.run.trial.id)
    thread.join()
    assert (endings[0].ran, endings[0].exit_code) == (0, 1)
    assert "so it goes again, by another run" in endings[0].failures[0]
