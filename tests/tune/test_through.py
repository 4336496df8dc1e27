"""Tuning through the whole house: real trials, real reports, killed conductors."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import machine_in

from bench.commands import clean
from bench.commands.plan import plan_text
from bench.commands.report import Wanted, reports
from bench.errors import StopAsked, UserError
from bench.execute import work as working
from bench.frame import results
from bench.plan import Trial
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.run import conductor
from bench.run.conductor import Ending, Options, run_study
from bench.store import Store
from bench.trial import Result, trial_turns

STUDY = """\
question = "Which optimizer, each at its best?"
seeds = 2

[data]
source = "synthetic"
size_px = 16
n_images = 120

[hidden.worn]
kind = "corrupted"
images = 12

[recipe]
model = { name = "custom_cnn", widths = [8], dense = 16 }
batch_size = 16
stages = [{ train = "all", epochs = 4 }]

optimizer = { name = "adam", lr = 1e-2 }

[arms]
adam = {}
sgd = { optimizer = { name = "sgd", lr = 1e-1 } }

[tune]
candidates = 4
finalists = 0
shared = true
[tune.space]
"optimizer.lr" = { around = "recipe", times = 10, log = true }
"""
KILLS = int(os.environ.get("BENCH_CHAOS_KILLS", "2"))


def write(folder: Path, text: str = STUDY, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "tuned.toml").write_text(text)
    return folder / "tuned.toml"


def go(study: Path, folder: Path, options: Options | None = None) -> Ending:
    return run_study(study, machine_in(folder), options or Options(), Terminal(quiet=True))


def ledger(ending: Ending) -> str:
    text = ending.report.read_text()
    return text[text.index("## Tuning") : text.index("## What else differed")]


def test_a_study_is_tuned_and_then_trained(tmp_path: Path) -> None:
    ending = go(write(tmp_path), tmp_path)
    assert (ending.ran, dict(ending.counts)) == (8 + 6, {"done": 6})
    plan = read_plan_file(tmp_path / "results" / "tuned" / "plan.json")
    store = Store(tmp_path / "results")
    for search in plan.searches:
        records = [store.read(candidate.trials[0].id) for candidate in search.candidates]
        assert {(r.role, r.seed, bool(r.scores)) for r in records if r} == {("tune", 20000, False)}
        best = max(range(4), key=lambda i: (records[i].validation["accuracy"], -records[i].validation["nll"]))
        assert search.chosen == best
        assert not store.weights_path(search.candidates[best].trials[0].id).exists(), "candidates keep none"
        arm = next(arm for arm in plan.arms if arm.label == search.arm)
        trained = store.read(arm.trials[0].id)
        assert trained is not None
        assert trained.recipe["optimizer"]["lr"] == search.values["optimizer.lr"]
    text = ledger(ending)
    assert "Each got 4 candidates (sobol: the same points for every arm" in text
    assert "| **adam** (baseline) | 4/4 | optimizer.lr " in text
    assert "Δ worn.accuracy with the baseline's values" in text
    assert (tmp_path / "results" / "tuned" / "search.db").is_file()
    assert len((tmp_path / "results/tuned/tables/candidates.csv").read_text().splitlines()) == 9
    again = go(tmp_path / "tuned.toml", tmp_path)
    assert again.ran == 0
    assert again.report.read_text() == ending.report.read_text()


def test_finalists_alone_choose_and_a_study_from_before_them_is_told_what_is_new(tmp_path: Path) -> None:
    without = go(write(tmp_path), tmp_path)
    assert "The candidates themselves chose: none was trained again with fresh seeds." in ledger(without)
    study = write(tmp_path, **{"finalists = 0": "finalists = 2\nfinal_seeds = 2"})
    plan = plan_text(study, machine_in(tmp_path), smoked=False)
    assert "2 arms × 4 candidates and 2 finalists × 2 seeds for optimizer.lr" in plan
    assert "the searches of 2 arms had ended without finalists, which are to run now" in plan
    ending = go(study, tmp_path)
    assert ending.ran >= 8, "two arms, two finalists, two seeds"
    text = ledger(ending)
    assert "The best 2 of an arm were trained again with 2 fresh seeds and splits" in text
    assert "images, " in text
    assert "standard errors" in text
    assert " over candidate " in text
    store = Store(tmp_path / "results")
    for search in read_plan_file(tmp_path / "results" / "tuned" / "plan.json").searches:
        means = {}
        for finalist in search.finalists:
            records = [store.read(trial.id) for trial in finalist.trials]
            assert [(r.role, r.seed) for r in records if r] == [("tune", 1020000), ("tune", 1020001)]
            means[finalist.number] = [sum(r.validation["accuracy"] for r in records if r) / 2]
        assert means[search.chosen] == max(means.values())
    assert "had ended" not in plan_text(study, machine_in(tmp_path), smoked=False)
    assert go(study, tmp_path).ran == 0


def test_a_plan_of_arms_that_are_all_tuned_first_has_no_empty_heading(tmp_path: Path) -> None:
    text = plan_text(write(tmp_path), machine_in(tmp_path), smoked=False)
    assert "\n\nadam  is tuned first\nsgd   is tuned first\n" in text
    assert "\n\n\n" not in text


def test_more_candidates_keep_the_ones_there_are(tmp_path: Path) -> None:
    go(write(tmp_path), tmp_path)
    go(write(tmp_path, **{"candidates = 4": "candidates = 5"}), tmp_path)
    tuned = [record for record in Store(tmp_path / "results").records() if record.role == "tune"]
    assert len(tuned) == 10


def test_what_went_wrong_in_a_search_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate at the edge of its range, a diverged candidate, an arm whose candidates all failed."""

    def breaking(trial: Trial, *rest: object) -> Result:
        if trial.role == "tune" and trial.recipe.optimizer.name == "lion":
            raise RuntimeError("a bug of Lion")
        return trial_turns(trial, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(working, "trial_turns", breaking)
    arms = 'sgd = { optimizer = { name = "sgd", lr = 1e-1 } }\nlion = { optimizer = "lion" }\n'
    own = '[tune.arms.sgd]\n"optimizer.lr" = { low = 1e-9, high = 1e20, log = true }\n'
    own += '[tune.arms.adam]\n"optimizer.lr" = { low = 1e-6, high = 5e-3, log = true }\n'
    text = STUDY.replace('sgd = { optimizer = { name = "sgd", lr = 1e-1 } }\n', arms) + own
    ending = go(write(tmp_path, text, **{"candidates = 4": "candidates = 12"}), tmp_path)
    text = ledger(ending)
    plan = read_plan_file(tmp_path / "results" / "tuned" / "plan.json")
    adam, sgd, lion = plan.searches
    assert (
        f"**adam**: optimizer.lr = {adam.values['optimizer.lr']:g} lies at the high edge of its range" in text
    )
    assert "better may lie beyond; widen the range" in text
    assert "diverged |" in text
    assert "loss is " in text
    assert sgd.values["optimizer.lr"] < 1e3
    assert "| lion | 0/12, 12 failed | nothing | – |" in text
    assert "**lion**: no candidate finished, so it was trained with its recipe's own values" in text
    assert "a bug of Lion" in text
    assert lion.chosen is None
    differed = ending.report.read_text().partition("## What else differed")[2].partition("## ")[0]
    assert "- lion: also whether it was tuned: none of its 12 candidates finished" in differed
    assert ending.exit_code == 0, "a failed candidate is a result of the search"


@pytest.mark.parametrize("part", ["record.json", "history.jsonl", "predictions.npz"])
def test_a_candidate_that_lost_its_files_is_missing_until_it_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    study = write(tmp_path, STUDY.replace("shared = true", "").replace("seeds = 2", "seeds = 1"))
    ending, store = go(study, tmp_path), Store(tmp_path / "results")
    before, whole = ledger(ending), {*store.ids()}
    file = store.study_dir("tuned") / "plan.json"
    search = read_plan_file(file).searches[0]
    assert search.chosen is not None
    (lost,) = search.candidates[search.chosen].trials
    (store.trial_dir(lost.id) / part).unlink()
    reports(["tuned"], machine_in(tmp_path), Wanted(("md",)), reference=False)
    said = ledger(ending)
    assert "**adam**: record or files of 1 of its trained candidates are gone or damaged" in said
    assert "over candidate" not in next(line for line in said.splitlines() if line.startswith("| **adam"))
    assert (f"{lost.id}/{part}" in capsys.readouterr().err) == (part != "record.json")
    found = results(tmp_path / "results", "tuned")
    (status,) = set(found[found["trial"] == lost.id]["status"])
    assert status == ("not run" if part == "record.json" else "damaged")
    assert "1 arms done, 1 trials to run next" in plan_text(study, machine_in(tmp_path), smoked=False)
    assert go(study, tmp_path).ran == 1
    assert ledger(ending) == before
    assert {*store.ids()} == whole


def test_a_failed_candidate_is_tried_again_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> Result:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(working, "trial_turns", too_large)
        assert go(write(tmp_path), tmp_path).exit_code == 1, "the replicates fail as well"
    assert go(tmp_path / "tuned.toml", tmp_path).ran == 0
    ending = go(tmp_path / "tuned.toml", tmp_path, Options(retry=("oom",)))
    assert dict(ending.counts) == {"done": 6}
    assert "| **adam** (baseline) | 4/4 |" in ledger(ending)


def test_a_report_of_a_search_that_goes_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [5]

    def interrupted(*arguments: object) -> Result:
        left[0] -= 1
        if left[0] < 0:
            raise StopAsked
        return trial_turns(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(working, "trial_turns", interrupted)
    with pytest.raises(StopAsked):
        go(write(tmp_path), tmp_path)
    from bench.judge.used import as_used
    from bench.report import write_report

    store, folder = Store(tmp_path / "results"), tmp_path / "results" / "tuned"
    write_report(as_used(plan := read_plan_file(folder / "plan.json"), store), plan, store)
    text = (tmp_path / "results" / "tuned" / "report.md").read_text()
    assert "**adam**: 3 of 4 candidates have ended; the same bench run continues." in text


def test_tuning_by_shifted_validation_images(tmp_path: Path) -> None:
    shift = '\nmetric = "val_shift.accuracy"'
    text = STUDY + '[val_shift]\nkind = "corrupted"\nprofile = "micro-c"\nfamilies = ["jpeg"]\n'
    text = text.replace("images = 12\n", 'images = 12\nprofile = "micro-c"\nfamilies = ["defocus"]\n')
    ending = go(write(tmp_path, text, **{"candidates = 4": "candidates = 2" + shift}), tmp_path)
    assert "judged by val\\_shift.accuracy alone" in ledger(ending)
    store = Store(tmp_path / "results")
    tuned = [record for record in store.records() if record.role == "tune"]
    assert all(len(record.scores) == 1 for record in tuned)
    assert all(list(store.predictions(record.id)) == ["val", *record.scores] for record in tuned)


def test_ends_of_ranges_are_checked_before_anything_is_trained(tmp_path: Path) -> None:
    """A batch that is larger than the split, which only a later generation would propose."""
    space = '"batch_size" = { low = 8, high = 4000, log = true }\n"optimizer.lr" ='
    study = write(tmp_path, **{'"optimizer.lr" =': space, "shared = true": 'sampler = "tpe"\ngeneration = 1'})
    with pytest.raises(UserError, match=r"arm adam, \[tune\] batch_size: batch_size = 4000: an epoch has"):
        go(study, tmp_path)
    assert Store(tmp_path / "results").ids() == []


def test_the_database_is_made_again_when_nothing_is_left_to_run(tmp_path: Path) -> None:
    go(write(tmp_path), tmp_path)
    database = tmp_path / "results" / "tuned" / "search.db"
    database.unlink()
    assert go(tmp_path / "tuned.toml", tmp_path).ran == 0
    assert database.is_file()


def test_a_clean_of_stale_trials_leaves_what_a_study_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(write(tmp_path, **{"seeds = 2": "seeds = 2\naa = true"}), tmp_path)
    before = Store(tmp_path / "results").ids()
    monkeypatch.setattr(clean, "ROOMS", {"train": -1})
    clean.clean(machine_in(tmp_path), clean.Wanted(stale=True), delete=True)
    assert Store(tmp_path / "results").ids() == before


def test_a_probe_builds_arms_that_are_tuned_first(tmp_path: Path) -> None:
    from bench.commands.probe import probe

    costs = probe(write(tmp_path), machine_in(tmp_path), False, Terminal(quiet=True))
    assert [cost.arms for cost in costs] == [("adam",), ("sgd",)]


def test_tuning_and_cross_validation_do_not_go_together(tmp_path: Path) -> None:
    folds = 'replicates = { kind = "folds", k = 3 }'
    with pytest.raises(UserError, match="tuning must not see"):
        go(write(tmp_path, **{"seeds = 2": folds}), tmp_path)


def test_a_candidate_that_never_gets_a_record_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor.Crew, "run", lambda *_, **__: [])
    with pytest.raises(UserError, match="candidates end without a record"):
        go(write(tmp_path), tmp_path)


@pytest.mark.slow
def test_a_search_killed_at_random_ends_as_a_quiet_one(tmp_path: Path) -> None:
    """Kill -9 of the conductor, several times; long form: BENCH_CHAOS_KILLS=10."""
    quiet, torn = tmp_path / "quiet", tmp_path / "torn"
    text = STUDY.replace("candidates = 4", f'candidates = {6 + KILLS}\nsampler = "tpe"\ngeneration = 3')
    go(write(quiet, text), quiet)
    write(torn, text)
    lot = random.Random(0)
    total = 2 * (6 + KILLS) + 6
    for kill in range(KILLS):
        wanted = min(total - 1, (kill + 1) * total // (KILLS + 2) + lot.randint(0, 2))
        process = _start(torn)
        _wait(lambda: _records(torn) >= wanted, process)  # noqa: B023 - called at once
        time.sleep(lot.random() / 20)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert _records(torn) < total, "the last kill came too late to test anything"
    last = _start(torn)
    assert last.wait(timeout=120) == 0
    assert _shown(torn) == _shown(quiet)
    ids = [{record.id for record in Store(folder / "results").records()} for folder in (torn, quiet)]
    assert ids[0] == ids[1]


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {"BENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "run", "tuned.toml", "--executor", "inline", "--quiet"]
    return subprocess.Popen(command, cwd=folder, env=_environment(folder), start_new_session=True)


def _records(folder: Path) -> int:
    return len(list((folder / "results" / "trials").glob("*/record.json")))


def _wait(what: object, process: subprocess.Popen[bytes]) -> None:
    assert callable(what)
    until = time.monotonic() + 120
    while not what():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.01)


def _shown(folder: Path) -> str:
    command = [sys.executable, "-m", "bench", "report", "tuned", "--no-cost"]
    shown = subprocess.run(command, cwd=folder, env=_environment(folder), capture_output=True, check=True)
    return shown.stdout.decode()
