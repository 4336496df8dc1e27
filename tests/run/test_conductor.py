from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import FLIPS, HIDDEN, machine_in, write_study

from bench.errors import UserError
from bench.execute import Job, Place
from bench.execute import work as working
from bench.execute.records import cause_of, write_killed
from bench.plan import Plan
from bench.progress.terminal import Terminal
from bench.run import conductor
from bench.run.conductor import Ending, Options, run_study
from bench.run.planning import prepare
from bench.store import MOST_ATTEMPTS, Store, equal_view


def go(study: Path, folder: Path, options: Options = Options(), **settings: object) -> Ending:  # noqa: B008
    return run_study(study, machine_in(folder, **settings), options, Terminal(quiet=True))


def test_a_study_runs_from_file_to_report(tmp_path: Path) -> None:
    ending = go(write_study(tmp_path, seeds=2, hidden=HIDDEN), tmp_path)
    assert (ending.exit_code, ending.ran, dict(ending.counts)) == (0, 4, {"done": 4})
    report = ending.report.read_text()
    assert "Does a flip help?" in report
    assert "| **none** (baseline) |" in report
    assert "other-lab" in report
    assert {file.name for file in ending.report.parent.iterdir()} == {
        ".made.json",
        "study.toml",
        "declared.json",
        "figures",
        "plan.json",
        "report.html",
        "report.md",
        "tables",
    }


def test_a_run_ends_with_the_verdicts_of_its_report(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=2, hidden=HIDDEN)
    (line,) = go(study, tmp_path).verdicts
    expected = r"flips: inconclusive, \S+ \(too few errors\) points on other-lab\.accuracy"
    assert re.fullmatch(expected, line), line
    assert go(study, tmp_path).verdicts == (line,), "also when there was nothing to do"
    assert go(study, tmp_path, Options(smoke=True)).verdicts == (), "its numbers mean nothing"


def test_each_look_is_a_line_of_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, seeds=3)
    study.write_text("looks = [2, 3]\n" + study.read_text())
    run_study(study, machine_in(tmp_path), Options(until_decided=True), Terminal())
    lines = capsys.readouterr().err.splitlines()
    first = lines.index("look 1 of 2 after 2 seeds: continue with flips")
    assert lines[first + 1 :].index("look 2 of 2 after 3 seeds: undecided flips") > 0
    assert lines[-1] == "tiny: undecided after 3 seeds: flips"


def test_a_finished_study_has_nothing_to_do_and_the_same_report(tmp_path: Path) -> None:
    study = write_study(tmp_path, hidden=HIDDEN)
    first = go(study, tmp_path)
    before = first.report.read_bytes()
    second = go(study, tmp_path)
    assert (second.ran, second.exit_code) == (0, 0)
    assert second.report.read_bytes() == before


def test_a_stopped_study_continues_with_what_is_missing(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=2)
    go(study, tmp_path)
    store = Store(tmp_path / "results")
    gone = store.ids()[1]
    (store.trial_dir(gone) / "record.json").unlink()
    assert go(study, tmp_path).ran == 1
    assert store.read(gone) is not None


def test_a_record_cut_short_is_trained_again(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    file = next((tmp_path / "results" / "trials").glob("*/record.json"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    ending = go(study, tmp_path)
    assert (ending.ran, dict(ending.counts)) == (1, {"done": 2})


def test_another_study_shares_a_trial_that_is_the_same(tmp_path: Path) -> None:
    go(write_study(tmp_path), tmp_path)
    other = write_study(
        tmp_path, arms='rotated = { augment = ["rotate"] }\nflips = { augment = ["flip"] }', name="other"
    )
    assert go(other, tmp_path).ran == 1


def test_a_hidden_set_added_later_is_scored_from_weights_as_it_would_have_been(tmp_path: Path) -> None:
    later, at_once = tmp_path / "later", tmp_path / "at_once"
    go(write_study(later), later)
    ending = go(write_study(later, hidden=HIDDEN), later)
    assert (ending.ran, dict(ending.counts)) == (2, {"done": 2})
    go(write_study(at_once, hidden=HIDDEN), at_once)
    for id in Store(later / "results").ids():
        added, direct = (Store(folder / "results").predictions(id) for folder in (later, at_once))
        assert list(added) == list(direct)
        for key in direct:
            assert np.array_equal(added[key].probabilities, direct[key].probabilities)


def test_without_weights_an_added_set_waits_for_rescore(tmp_path: Path) -> None:
    go(write_study(tmp_path), tmp_path)
    for weights in (tmp_path / "results" / "trials").glob("*/weights.safetensors"):
        weights.unlink()
    study = write_study(tmp_path, hidden=HIDDEN)
    waiting = go(study, tmp_path)
    assert (waiting.ran, dict(waiting.counts)) == (0, {"unscored": 2})
    assert "not scored" in waiting.report.read_text()
    assert dict(go(study, tmp_path, Options(rescore=True)).counts) == {"done": 2}


def test_a_trial_that_breaks_is_a_record_with_its_traceback_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = working.trial_turns

    def breaks(trial, sets, setting):  # type: ignore[no-untyped-def]
        if trial.recipe.augment:
            raise RuntimeError("a bug")
        return train(trial, sets, setting)

    monkeypatch.setattr(working, "trial_turns", breaks)
    study = write_study(tmp_path)
    ending = go(study, tmp_path)
    assert (ending.exit_code, dict(ending.counts)) == (1, {"done": 1, "failed": 1})
    assert "flips s0: error: RuntimeError: a bug" in ending.failures[0]
    failed = [r for r in Store(tmp_path / "results").records() if r.status == "failed"]
    assert failed[0].cause == "error"
    assert "in breaks" in failed[0].traceback
    assert "a bug" in ending.report.read_text()
    monkeypatch.undo()
    assert (go(study, tmp_path).ran, go(study, tmp_path).exit_code) == (0, 1)
    retried = go(study, tmp_path, Options(retry=("error",)))
    assert (retried.ran, retried.exit_code) == (1, 0)
    assert {r.attempts for r in Store(tmp_path / "results").records()} == {1, 2}


def test_running_out_of_memory_is_told_from_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(working, "trial_turns", too_large)
    go(write_study(tmp_path), tmp_path)
    assert {r.cause for r in Store(tmp_path / "results").records()} == {"oom"}


def test_inline_and_local_workers_give_equal_records_and_the_same_bits(tmp_path: Path) -> None:
    stores = []
    for executor, workers in (("inline", 1), ("local", 2)):
        folder = tmp_path / executor
        go(write_study(folder, hidden=HIDDEN), folder, executor=executor, workers=workers)
        stores.append(Store(folder / "results"))
    first, second = stores
    assert first.ids() == second.ids()
    for id in first.ids():
        one, other = first.read(id), second.read(id)
        assert one is not None
        assert other is not None
        assert equal_view(one) == equal_view(other)
        assert first.history(id)[-1]["val_loss"] == second.history(id)[-1]["val_loss"]
        for key, predictions in first.predictions(id).items():
            assert np.array_equal(predictions.probabilities, second.predictions(id)[key].probabilities)


def test_a_smoke_run_keeps_to_its_own_folder(tmp_path: Path) -> None:
    ending = go(write_study(tmp_path, seeds=3, hidden=HIDDEN), tmp_path, Options(smoke=True))
    assert dict(ending.counts) == {"done": 2}
    assert ending.report == tmp_path / "results" / "smoke-runs" / "tiny" / "report.md"
    assert "Smoke run" in ending.report.read_text()
    assert not (tmp_path / "results" / "trials").exists()


def test_the_baseline_is_trained_again_where_the_study_wants_its_noise_floor(tmp_path: Path) -> None:
    file = write_study(tmp_path, seeds=2)
    file.write_text("aa = true\n" + file.read_text())
    ending = go(file, tmp_path)
    assert (ending.ran, dict(ending.counts)) == (6, {"done": 6})
    assert "| none again (A/A) |" in ending.report.read_text()
    assert go(file, tmp_path).ran == 0


def test_a_model_that_cannot_be_built_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    arms = f'a = {{ model = "mobilnetv2_035" }}\nb = {{ "stages.0.train" = "top:99" }}\n{FLIPS}'
    with pytest.raises(UserError) as refused:
        go(write_study(tmp_path, arms=arms), tmp_path)
    assert "arm a:" in str(refused.value)
    assert "mobilenetv2_035" in str(refused.value)
    assert "arm b:" in str(refused.value)
    assert "top:99" in str(refused.value)
    assert Store(tmp_path / "results").ids() == []


def test_two_files_of_one_name_do_not_share_a_folder(tmp_path: Path) -> None:
    go(write_study(tmp_path / "one"), tmp_path)
    with pytest.raises(UserError, match="already holds the study of another file"):
        go(write_study(tmp_path / "two"), tmp_path)


def test_a_study_that_moved_keeps_its_folder(tmp_path: Path) -> None:
    old = write_study(tmp_path / "one")
    go(old, tmp_path)
    new = write_study(tmp_path / "two")
    old.unlink()
    assert go(new, tmp_path).ran == 0


def test_trials_come_seed_by_seed_so_that_an_early_stop_leaves_pairs(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    plan = prepare(write_study(tmp_path, seeds=2), machine)
    jobs = conductor._jobs(plan, Store(machine.results), Options(), Terminal(quiet=True))
    assert [(j.run.arm, j.run.trial.replicate.seed) for j in jobs] == [
        ("none", 0),
        ("flips", 0),
        ("none", 1),
        ("flips", 1),
    ]


def test_what_the_machine_failed_runs_again_and_what_the_arm_failed_does_not(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    go(study, tmp_path)
    store = Store(tmp_path / "results")
    for cause, ran in (("killed", 1), ("interrupted", 1), ("error", 0), ("oom", 0)):
        record = store.records()[0]
        broken = record.model_copy(update={"status": "failed", "cause": cause, "scores": {}, "attempts": 1})
        store.write(broken, history=[], predictions={})
        assert go(study, tmp_path).ran == ran, cause
    broken = broken.model_copy(update={"cause": "killed", "attempts": MOST_ATTEMPTS})
    store.write(broken, history=[], predictions={})
    assert go(study, tmp_path).ran == 0


def test_a_failure_never_replaces_a_finished_trial(tmp_path: Path) -> None:
    """As when a worker dies that scores an added set."""
    machine = machine_in(tmp_path)
    study = write_study(tmp_path)
    go(study, tmp_path)
    store = Store(machine.results)
    run = prepare(study, machine).runs[0]
    before = store.read(run.trial.id)
    job = Job(run, missing=run.sets)
    event = write_killed(job, Place(machine.results, machine.cache), "it died")
    assert (event.kind, event.cause) == ("failed", "killed")
    assert store.read(run.trial.id) == before
    assert store.weights_path(run.trial.id).is_file()


def test_a_full_disk_is_the_machines_fault(tmp_path: Path) -> None:
    assert cause_of(OSError(errno.ENOSPC, "No space left on device")) == "interrupted"
    assert cause_of(RuntimeError("I/O error: No space left on device (os error 28)")) == "interrupted"
    assert cause_of(MemoryError()) == "oom"
    assert cause_of(ValueError("a bug")) == "error"


def test_looks_are_declared_before_the_first_score_and_stay(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=3, hidden=HIDDEN)
    study.write_text("looks = [2, 3]\n" + study.read_text())
    ending = go(study, tmp_path, Options(until_decided=True))
    assert dict(ending.counts) == {"done": 6}, "two seeds cannot decide, so the second look is taken"
    assert "Looked at after 2, 3 seeds" in ending.report.read_text()
    assert go(study, tmp_path).ran == 0, "without the option it goes on as declared"
    arms = ending.report.parent / "tables" / "arms.csv"
    before = arms.read_text()
    (tmp_path / "results" / "tiny" / "plan.json").unlink()
    assert go(study, tmp_path).ran == 0
    assert arms.read_text() == before, "declared.json has the looks too"
    assert "Looked at after 2, 3 seeds" in ending.report.read_text()


def test_a_lost_plan_costs_the_report_nothing(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=2, hidden=HIDDEN)
    report = go(study, tmp_path).report
    before = report.read_text()
    assert "- Images of " in before, "what became of them stands in the plan"
    report.with_name("plan.json").unlink()
    assert go(study, tmp_path).ran == 0
    assert report.read_text() == before


def test_a_set_that_cannot_be_scored_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where looks ask again and again what is missing."""
    study = write_study(tmp_path, seeds=3)
    study.write_text("looks = [2, 3]\n" + study.read_text())
    go(study, tmp_path, Options(until_decided=True))

    def broken(*_: object) -> None:
        raise RuntimeError("no such layer")

    monkeypatch.setattr(working, "score_from_weights", broken)
    study.write_text(study.read_text().replace("[recipe]", f"{HIDDEN}\n[recipe]"))
    ending = go(study, tmp_path)
    assert (ending.exit_code, len(ending.failures)) == (1, 6)
    assert all("not scored: RuntimeError: no such layer" in failure for failure in ending.failures)


@pytest.mark.parametrize("name", ["tiny", "decide"])
def test_looks_cannot_be_declared_once_a_comparison_was_scored(tmp_path: Path, name: str) -> None:
    """By this study or, its trials being the same, by another."""
    study = write_study(tmp_path, seeds=2, hidden=HIDDEN)
    study.write_text("looks = [2, 3]\n" + study.read_text())
    go(study, tmp_path)
    copy = study.rename(tmp_path / f"{name}.toml")
    with pytest.raises(UserError) as refused:
        go(copy, tmp_path, Options(until_decided=True))
    assert "must come before the first score" in str(refused.value)
    assert "holds scores of flips against none, with seeds from 0 on" in str(refused.value)
    assert "seeds = [100, 101, …], or run without --until decided" in str(refused.value)
    copy.write_text(copy.read_text().replace("seeds = 2", "seeds = [100, 101]"))
    ending = go(copy, tmp_path, Options(until_decided=True))
    assert (ending.ran, dict(ending.counts)) == (6, {"done": 6})
    records = Store(tmp_path / "results").records()
    assert {record.seed for record in records} == {0, 1, 100, 101, 102}
    assert "Looked at after 2, 3 seeds" in ending.report.read_text()
    assert go(copy, tmp_path).ran == 0


def test_looks_may_share_a_baseline_that_another_study_trained(tmp_path: Path) -> None:
    go(write_study(tmp_path, seeds=2, arms='flips = { augment = ["rotate"] }'), tmp_path)
    study = write_study(tmp_path, seeds=2, name="decide")
    study.write_text("looks = [2, 3]\n" + study.read_text())
    assert go(study, tmp_path, Options(until_decided=True)).ran == 4


@pytest.mark.parametrize("seeds", ["[3, 5]", "[4, 3]"])
def test_looks_count_seeds_up_from_the_first(tmp_path: Path, seeds: str) -> None:
    study = write_study(tmp_path)
    study.write_text(study.read_text().replace("seeds = 1", f"seeds = {seeds}"))
    with pytest.raises(UserError, match="counts seeds up from the first"):
        go(study, tmp_path, Options(until_decided=True))


def test_what_is_made_of_records_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders in the places of a report, an index and a database; the trials of the study are trained."""
    study = write_study(tmp_path)
    study.write_text(
        study.read_text()
        + "\n[tune]\ncandidates = 1\nfinalists = 0\n[tune.space]\nbatch_size = { choices = [16, 32] }\n"
    )
    results = tmp_path / "results"
    for taken in ("tiny/search.db/x", "tiny/report.md/x", "tiny/figures/effects.svg/x", "index.md/x"):
        (results / taken).mkdir(parents=True)
    ending = run_study(study, machine_in(tmp_path), Options(), Terminal())
    assert dict(ending.counts) == {"done": 2}
    said = capsys.readouterr().err
    assert said.count("search.db cannot be written, the run goes on without it") == 1
    assert [
        line.partition(" cannot be written: Is a directory; finished trials are kept")[0]
        for line in ending.failures
    ] == [str(results / "tiny/figures/effects.svg"), str(results / "index.md")]
    assert ending.exit_code == 1
    for taken in ("tiny/search.db", "tiny/report.md", "tiny/figures/effects.svg", "index.md"):
        (results / taken / "x").rmdir()
        (results / taken).rmdir()
    again = go(study, tmp_path)
    assert (again.exit_code, again.ran) == (0, 0)
    assert (results / "tiny" / "search.db").is_file()
    assert again.report.is_file()


def meanwhile(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
    """Do something when a run has read its study and before it trains."""
    before = conductor.check
    monkeypatch.setattr(conductor, "check", lambda *of: (deed(), before(*of)))


@pytest.mark.parametrize("new", ["batch_size = 9\n", "not TOML [", None])
def test_a_run_keeps_the_text_that_it_was_planned_from_whatever_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: str | None
) -> None:
    study = write_study(tmp_path)
    text = study.read_text()
    meanwhile(monkeypatch, lambda: study.write_text(new) if new else study.unlink())
    assert go(study, tmp_path).exit_code == 0
    assert (tmp_path / "results" / "tiny" / "study.toml").read_text() == text
    assert "batch size 9" not in (tmp_path / "results" / "tiny" / "report.md").read_text()


def test_records_that_are_gone_in_the_end_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, seeds=2)
    anew = conductor._Conduct.plan_anew

    def lose(self: conductor._Conduct) -> Plan:
        shutil.rmtree(next((tmp_path / "results" / "trials").iterdir()))
        return anew(self)

    monkeypatch.setattr(conductor._Conduct, "plan_anew", lose)
    ending = go(study, tmp_path)
    assert (ending.exit_code, dict(ending.counts)) == (1, {"done": 3, "missing": 1})
    assert ending.failures[0].startswith("1 trial has no record after all: moved or deleted from ")
