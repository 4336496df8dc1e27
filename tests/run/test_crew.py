from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from scripted import Script, Scripted, labels
from tiny import machine_in, write_study

from bench.claims import Presence, at_work
from bench.errors import UserError
from bench.execute import Job, Place
from bench.progress.terminal import Terminal
from bench.run.crew import Crew, Patience, _heeding_signals, crew
from bench.run.planning import prepare
from bench.store import Store


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [Job(run) for run in prepare(write_study(tmp_path, seeds=2), machine_in(tmp_path)).runs]


def crew_with(script: Script, folder: Path, max_failures: int | None = None) -> tuple[Crew, Scripted]:
    (folder / "results").mkdir(exist_ok=True)
    presence = Presence(folder / "results", lease_s=600.0)
    setting = Place(folder / "results", folder / "cache", owner=presence.owner)
    patience = Patience(max_failures=max_failures)
    hands = Crew(setting, machine_in(folder), Terminal(quiet=True), presence, patience)
    executor = Scripted(script)
    hands._executor = executor
    return hands, executor


def test_a_killed_trial_gets_two_more_attempts_when_the_others_are_through(
    jobs: list[Job], tmp_path: Path
) -> None:
    hands, executor = crew_with(lambda job: "killed" if job.run.arm == "flips" else "done", tmp_path)
    failures = hands.run("s", jobs)
    assert [labels(batch) for batch in executor.batches] == [
        ["none 0 #1", "none 1 #1", "flips 0 #1", "flips 1 #1"],
        ["flips 0 #2", "flips 1 #2"],
        ["flips 0 #3", "flips 1 #3"],
    ]
    assert len(failures) == 2
    assert "killed: so it goes" in failures[0]
    assert f"bench show {jobs[2].run.trial.id}" in failures[0]


def test_out_of_memory_is_tried_once_more_alone(jobs: list[Job], tmp_path: Path) -> None:
    hands, executor = crew_with(lambda job: "oom" if job.run.arm == "flips" else "done", tmp_path)
    assert len(hands.run("s", jobs)) == 2
    assert [labels(batch) for batch in executor.batches[1:]] == [["flips 0 #2"], ["flips 1 #2"]]
    assert all(batch[0].alone for batch in executor.batches[1:])
    assert executor.batches[1][0].run.trial == jobs[2].run.trial, "nothing of the trial is changed"


def test_out_of_memory_of_the_only_worker_is_final(jobs: list[Job], tmp_path: Path) -> None:
    hands, executor = crew_with(lambda job: "oom", tmp_path)
    executor.workers = 1
    assert len(hands.run("s", jobs)) == 4
    assert len(executor.batches) == 1


def test_an_error_is_not_tried_again(jobs: list[Job], tmp_path: Path) -> None:
    hands, executor = crew_with(lambda job: "error", tmp_path)
    assert len(hands.run("s", jobs)) == 4
    assert len(executor.batches) == 1


def test_those_that_took_turns_with_one_that_broke_run_by_themselves(jobs: list[Job], tmp_path: Path) -> None:
    def script(job: Job) -> str:
        if job.apart or job.run.trial.replicate.seed == 1:
            return "done"
        return "apart oom" if job.run.arm == "flips" else "apart "

    hands, executor = crew_with(script, tmp_path)
    assert hands.run("s", jobs) == []
    assert [labels(batch) for batch in executor.batches[1:]] == [["flips 0 #1"], ["none 0 #1"]]
    assert [batch[0].alone for batch in executor.batches[1:]] == [True, False], (
        "memory did not suffice for one"
    )


def test_one_that_others_took_along_is_no_failure_of_a_run_that_stops(
    jobs: list[Job], tmp_path: Path
) -> None:
    hands, _ = crew_with(lambda job: hands.stop() or "apart ", tmp_path)  # type: ignore[func-returns-value]
    with pytest.raises(KeyboardInterrupt, match="0 of 4 trials ended"):
        hands.run("s", jobs)
    assert hands._failed == 0


def test_who_asks_for_turns_hears_why_there_are_none(
    jobs: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path / "results", tmp_path / "cache", "cuda")
    hands = Crew(place, machine_in(tmp_path, gang=4), Terminal(), Presence(place.results))
    hands._say_lonely(jobs)
    hands._say_lonely(jobs)
    said = capsys.readouterr().err
    assert said.count("gang = 4: without graph = true trials of one process wait for each other's") == 1
    Crew(place, machine_in(tmp_path), Terminal(), hands.presence)._say_lonely(jobs)
    assert capsys.readouterr().err == ""
    machine = machine_in(tmp_path, executor="ray", gang=2, device="cpu")
    with crew(machine, hands.presence, Terminal(), keep_weights=False, smoked=False):
        assert "gang = 2: with --executor ray trials take no turns" in capsys.readouterr().err


def test_too_many_failures_end_the_run_with_all_of_them(jobs: list[Job], tmp_path: Path) -> None:
    hands, _ = crew_with(lambda job: "error", tmp_path, 2)
    with pytest.raises(UserError) as stopped:
        hands.run("s", jobs)
    text = str(stopped.value)
    assert text.startswith(
        "stopped after 2 failed trials (--max-failures 2); 2 of 4 trials ended, 2 are left"
    )
    assert text.count("error: so it goes") == 2


def test_failures_are_counted_over_the_batches_of_a_run(jobs: list[Job], tmp_path: Path) -> None:
    hands, _ = crew_with(lambda job: "error", tmp_path, 3)
    hands.run("s", jobs[:2])
    with pytest.raises(UserError, match="3 failed trials"):
        hands.run("s", jobs[2:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_running_trial_end_and_begins_no_other(
    number: signal.Signals, jobs: list[Job], tmp_path: Path
) -> None:
    def script(job: Job) -> str:
        os.kill(os.getpid(), number)
        return "done"

    hands, executor = crew_with(script, tmp_path)
    before = signal.getsignal(number)
    with _heeding_signals(hands):
        with pytest.raises(KeyboardInterrupt, match="1 of 4 trials ended, 3 are left"):
            hands.run("s", jobs)
        with pytest.raises(KeyboardInterrupt):
            hands.run("s", jobs)  # a search's next generation
    assert len(executor.batches) == 1
    assert signal.getsignal(number) is before


def test_a_second_signal_stops_at_once(jobs: list[Job], tmp_path: Path) -> None:
    seen = []

    def script(job: Job) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("first")
        os.kill(os.getpid(), signal.SIGINT)
        return "done"

    hands, _ = crew_with(script, tmp_path)
    with _heeding_signals(hands), pytest.raises(KeyboardInterrupt, match="cut off"):
        hands.run("s", jobs)
    assert seen == ["first"]


def test_a_trial_cut_by_the_signal_is_no_failure(jobs: list[Job], tmp_path: Path) -> None:
    def script(job: Job) -> str:
        hands.stop()
        return "interrupted"

    hands, _ = crew_with(script, tmp_path)
    with pytest.raises(KeyboardInterrupt, match="0 of 4 trials ended, 4 are left"):
        hands.run("s", jobs)


def test_a_run_says_how_far_it_is_while_it_runs_and_not_afterwards(jobs: list[Job], tmp_path: Path) -> None:
    said = []
    store = Store(tmp_path / "results")

    def script(job: Job) -> str:
        hands._told_at = -10.0  # whatever it told within the last second
        said.append(at_work(store.root))
        return "done"

    hands, _ = crew_with(script, tmp_path)
    with hands.presence:
        hands.run("s", jobs)
    assert (said[1][0]["title"], said[1][0]["ended"], said[1][0]["total"]) == ("s", 1, 4)
    assert at_work(store.root) == []


def test_a_run_that_waits_says_for_whom_also_when_it_is_stopped(jobs: list[Job], tmp_path: Path) -> None:
    store, seen = Store(tmp_path / "results"), []
    with Presence(store.root) as other:
        assert other.take(jobs[0].run.trial.id)
        hands, _ = crew_with(lambda job: "done", tmp_path)
        with hands.presence:

            def look(_: float) -> None:
                seen.extend(run for run in at_work(store.root) if run.get("waits"))
                hands._told_at = -10.0
                if seen:
                    hands.stop()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("bench.run.crew.time.sleep", look)
                stopped = "3 of 4 trials ended, 1 is left, 1 of them other runs have"
                with pytest.raises(KeyboardInterrupt, match=stopped):
                    hands.run("s", jobs)
    assert seen[0]["waits"].startswith("waiting for 1 trial of other runs (")


def test_a_crew_of_one_runs_in_this_process(jobs: list[Job], tmp_path: Path) -> None:
    machine, terminal = machine_in(tmp_path), Terminal(quiet=True)
    with (
        Presence(machine.results) as presence,
        crew(machine, presence, terminal, keep_weights=False, smoked=False) as hands,
    ):
        assert hands.run("s", jobs[:1]) == []
        assert hands.run("s", []) == []
    record = Store(machine.results).read(jobs[0].run.trial.id)
    assert record is not None
    assert record.status == "done"
