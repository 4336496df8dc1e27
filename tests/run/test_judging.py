"""Predictions of others become records and the same report; what is wrong with them is refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from elsewhere.tables import answered, predicted, write
from recomputation.__main__ import recompute
from tiny import machine_in, write_study
from typer.testing import CliRunner

import bench
from bench.cli import app
from bench.commands.show import trial
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run.conductor import Ending, Options, run_study
from bench.run.judging import Wanted, judge
from bench.store import Store

SETS = {"local": 60, "lab": 45}
ASKED = """\
question = "Does MixUp help at the other lab?"
primary = "lab.accuracy"
delta = { hidden = 2.0 }
scores = ["sensitivity(cat)"]
[[claims]]
says = "MixUp helps at home"
better = "mixup"
than = "plain"
metric = "local.accuracy"
"""


def judged(table: pd.DataFrame, folder: Path, asked: str = "", **wanted: object) -> Ending:
    file = write(table, folder / "mine.csv")
    if asked:
        file.with_suffix(".toml").write_text(asked)
    return judge([file], machine_in(folder), Wanted(**wanted), Terminal(quiet=True))  # type: ignore[arg-type]


def report_of(folder: Path, name: str = "mine") -> str:
    return (folder / "results" / name / "report.md").read_text()


def test_predictions_become_a_study_with_verdicts_claims_and_gates(tmp_path: Path) -> None:
    ending = judged(
        predicted(sets=SETS), tmp_path, ASKED, gates=("mixup: helps", "mixup: harmful on lab.accuracy")
    )
    assert (ending.exit_code, dict(ending.counts), ending.ran) == (3, {"done": 6}, 6)
    assert len(ending.gates) == 1
    assert ending.verdicts[0].startswith("mixup: helps")
    text = report_of(tmp_path)
    assert "Does MixUp help at the other lab?" in text
    assert "**supported** — MixUp helps at home" in text
    assert "Holm over 2 declared comparisons" in text
    assert "δ = 0.5 points locally, 2.0 on hidden sets" in text
    assert "sensitivity" in text


def test_every_number_of_its_report_is_what_its_records_say(tmp_path: Path) -> None:
    groups = predicted(("plain", "mixup", "noisy"), sets=SETS)
    groups["group"] = "p" + (groups.image.str.extract(r"(\d+)", expand=False).astype(int) // 3).astype(str)
    judged(groups, tmp_path, ASKED.replace('scores = ["sensitivity(cat)"]\n', ""))
    found = recompute(tmp_path / "results", "mine")
    assert [line for tally in found for line in tally.mismatched] == []
    assert [f"{tally.name}: {line}" for tally in found for line in tally.uncovered] == []
    assert sum(tally.covered for tally in found) > 1_000
    assert "of 20 groups, which are the items of its intervals" in report_of(tmp_path)


def test_the_report_tells_nothing_of_training_that_nobody_saw(tmp_path: Path) -> None:
    judged(predicted(sets=SETS), tmp_path)
    page = (tmp_path / "results" / "mine" / "report.html").read_text()
    for text in (report_of(tmp_path), page):
        assert "Trained elsewhere." in text
        assert "when the predictions were first judged" in text
        for word in (
            "adam",
            "Fixed in every arm",
            "What each arm changed",
            "GFLOPs",
            "96 px",
            "Costs",
            "validation",
        ):
            assert word not in text
    assert not (tmp_path / "results" / "mine" / "tables" / "costs.csv").exists()


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    judged(predicted(sets=SETS), tmp_path, ASKED)
    files = [path for path in sorted((tmp_path / "results").rglob("*")) if path.is_file()]
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.name == "record.json"
    }
    texts = {path: path.read_bytes() for path in files}
    assert judged(predicted(sets=SETS), tmp_path, ASKED).ran == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert {path: path.read_bytes() for path in files} == texts


def test_other_rows_under_the_same_name_are_judged_anew_and_what_changed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(predicted(sets=SETS), tmp_path, ASKED)
    more = predicted(("plain", "mixup", "noisy"), (0, 1, 2, 3), SETS)
    file = write(more, tmp_path / "mine.csv")
    ending = judge([file], machine_in(tmp_path), Wanted(), Terminal())
    told = capsys.readouterr().err
    assert ending.ran == 6
    assert "the arm noisy is new" in told
    assert "judged before with 3 seeds, now with 4" in told
    assert "declared after scores" in told  # noisy against plain came late
    changed = more.copy()
    changed.loc[changed.arm == "plain", ["p_cat", "p_dog", "p_owl"]] = [0.2, 0.3, 0.5]
    judge([write(changed, file)], machine_in(tmp_path), Wanted(), Terminal())
    assert "4 of 12 trials say something else than when they were judged before" in capsys.readouterr().err


def test_a_lost_prediction_is_written_again(tmp_path: Path) -> None:
    judged(predicted(), tmp_path)
    store = Store(tmp_path / "results")
    (store.trial_dir(store.ids()[0]) / "predictions.npz").unlink()
    assert judged(predicted(), tmp_path).ran == 1


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_copy_of_the_study_that_is_lost_or_damaged_is_written_again(
    tmp_path: Path, content: bytes | None
) -> None:
    copy = judged(predicted(), tmp_path).report.with_name("study.toml")
    before, report = copy.read_bytes(), report_of(tmp_path)
    copy.unlink()
    if content is not None:
        copy.write_bytes(content)
    assert judged(predicted(), tmp_path).ran == 0
    assert (copy.read_bytes(), report_of(tmp_path)) == (before, report)


def test_another_file_or_a_trained_study_of_that_name_is_left_alone(tmp_path: Path) -> None:
    judged(predicted(), tmp_path)
    other = write(predicted(), tmp_path / "elsewhere" / "mine.csv")
    with pytest.raises(UserError, match="already holds the study of another file of that name"):
        judge([other], machine_in(tmp_path), Wanted(), Terminal(quiet=True))
    run_study(write_study(tmp_path), machine_in(tmp_path), Options(), Terminal(quiet=True))
    with pytest.raises(UserError, match=r"trained here\n.*--name tiny-judged"):
        judge([other], machine_in(tmp_path), Wanted(name="tiny"), Terminal(quiet=True))
    assert "tiny" in report_of(tmp_path, "tiny")


def test_a_file_with_spaces_in_its_name_is_a_study_all_the_same(tmp_path: Path) -> None:
    file = write(predicted(), tmp_path / "my runs (2).csv")
    ending = judge([file], machine_in(tmp_path), Wanted(), Terminal(quiet=True))
    assert ending.report.parent.name == "my-runs-2"


def test_a_claim_that_comes_after_the_first_report_has_no_verdict(tmp_path: Path) -> None:
    judged(predicted(sets=SETS), tmp_path)
    judged(predicted(sets=SETS), tmp_path, ASKED)
    assert "declared after scores" in report_of(tmp_path)


def test_mistakes_of_the_table_and_of_what_is_asked_are_told_together(tmp_path: Path) -> None:
    table = predicted(sets=SETS).drop(index=[3])
    asked = ASKED + '[[claims]]\nsays = "?"\nbetter = "cutmix"\nthan = "plain"\n'
    with pytest.raises(UserError) as error:
        judged(table, tmp_path, asked)
    told = str(error.value)
    assert "arm plain, seed 0: local-003.png, 1 of 60 images of local" in told
    assert 'better = "cutmix"\n    no such arm' in told
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("seeds = 3", 'means nothing of predictions; known: baseline, claims'),
        ("questoin = 3", 'did you mean "question"?'),
        ('baseline = "x"', "no such arm"),
        ('primary = "moon.accuracy"', "no such metric"),
        ('primary = "local.ece"', "has a value, never a verdict"),
        ("local = 3", "must be the name of a set"),
        ('gates = ["mixup: faster on cost.seconds"]', "do not say what training cost"),
        ('[[claims]]\nsays = "?"\nbetter = "mixup"\nthan = "plain"\nmetric = "cost.epochs"', "training cost"),
        ('[[claims]]\nsays = "?"\nbetter = "mixup"\nexpect = "does not converge"', "training cost"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_predictions_is_refused(tmp_path: Path, asked: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        judged(predicted(), tmp_path, asked)
    assert says in str(error.value)


def test_without_probabilities_scores_of_them_are_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(answered(predicted()), tmp_path / "mine.csv")
    judge([file], machine_in(tmp_path), Wanted(), Terminal())
    assert "without probabilities there is no AUC, calibration or log loss" in capsys.readouterr().err
    scores = bench.results(tmp_path / "results").groupby("metric").value.count()
    assert (scores[["auc", "ece", "nll"]] == 0).all()
    assert (scores[["accuracy", "macro_f1"]] == 6).all()
    for metric in ("local.auc", "local.roc_auc(cat)", "local.sensitivity(cat, specificity = 0.9)"):
        with pytest.raises(UserError, match="needs probabilities"):
            judged(answered(predicted()), tmp_path, f"primary = '{metric}'")


def test_the_answers_that_were_given_are_those_that_are_judged(tmp_path: Path) -> None:
    """Rounded to float16 two classes may be as probable: the likelier one stays so."""
    table = predicted()
    table[["p_cat", "p_dog", "p_owl"]] = [0.33333, 0.33334, 0.33333]
    judged(table, tmp_path)
    found = bench.results(tmp_path / "results").query("metric == 'accuracy'").value
    assert found.dropna().unique().tolist() == [pytest.approx(1 / 3)]


def test_diverged_runs_count_as_chance_and_folds_are_replicates(tmp_path: Path) -> None:
    table = predicted(seeds=(0, 1, 2, 3))
    lost = (table.arm == "mixup") & (table.seed == 1)
    told = pd.DataFrame({"arm": ["mixup"], "seed": [1], "status": ["diverged"]})
    ending = judged(pd.concat([table[~lost], told]), tmp_path)
    assert dict(ending.counts) == {"done": 7, "diverged": 1}
    assert "unstable (1/4 diverged)" in report_of(tmp_path)

    folds = predicted(seeds=(0,))
    folds["fold"] = folds.groupby(["arm", "set"]).cumcount() % 4
    (tmp_path / "folds").mkdir()
    assert judged(folds, tmp_path / "folds").counts["done"] == 8
    assert "Cross-validation with 4 folds" in report_of(tmp_path / "folds")


def test_a_set_is_local_by_name_and_there_may_be_none(tmp_path: Path) -> None:
    table = predicted(sets={"home": 60, "lab": 45})
    judged(table, tmp_path / "named", 'local = "home"\n')
    assert "Locally" in report_of(tmp_path / "named")
    judged(table, tmp_path / "none")
    text = report_of(tmp_path / "none")
    assert "| arm | home % (n = 60) | lab % (n = 45) |" in text
    assert "Locally" not in text


def test_arms_in_an_order_have_a_trend(tmp_path: Path) -> None:
    table = predicted(("noisy", "plain", "mixup"), (0, 1, 2, 3), {"local": 150})
    judged(table, tmp_path, 'baseline = "plain"\nordered = [["noisy", "plain", "mixup"]]\n')
    (row,) = pd.read_csv(tmp_path / "results" / "mine" / "tables" / "ordered.csv").to_dict("records")
    assert (row["best"], row["levels"]) == ("mixup", "noisy, plain, mixup")
    assert row["line_low"] > 0
    assert "noisy" not in row["among"]


def test_copies_of_an_image_are_one_item(tmp_path: Path) -> None:
    table = predicted(sets={"local": 60, "heavy": 120})
    copy = table.image.str.extract(r"heavy-(\d+)", expand=False).fillna("0").astype(int)
    heavy = table["set"] == "heavy"
    table.loc[heavy, "image"] = "x" + (copy % 60).astype(str)
    table["condition"] = ("blur/" + (1 + copy // 60).astype(str)).where(heavy, "")
    judged(table, tmp_path)
    assert "Set heavy: 120 images" in report_of(tmp_path)
    noise = pd.read_csv(tmp_path / "results" / "mine" / "tables" / "noise.csv")
    assert noise.set_index("set").loc["heavy"].to_dict()["images"] == 60


def test_other_commands_know_a_judged_study(tmp_path: Path) -> None:
    judged(predicted(sets=SETS), tmp_path)
    machine, runner = machine_in(tmp_path), CliRunner()
    id = Store(machine.results).ids()[0]
    shown = trial(id, machine, as_json=False)
    assert "elsewhere (arm=" in shown
    assert "parameters  unknown" in shown
    at = ["--results", str(machine.results)]
    for command in (["report", "mine", "--check"], ["status"], ["compare", "mine/plain", "mine/mixup"]):
        found = runner.invoke(app, [*command, *at])
        assert found.exit_code == 0, found.output
    assert set(bench.results(machine.results).status) == {"done"}
    for wrong in (["export", id], ["predict", id, str(tmp_path)]):
        assert isinstance(runner.invoke(app, [*wrong, *at]).exception, UserError)


def test_a_study_cannot_train_what_was_trained_elsewhere(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    file.write_text(
        file.read_text().replace('name = "custom_cnn", widths = [4], dense = 8', 'name = "elsewhere"')
    )
    with pytest.raises(UserError, match="trained elsewhere: it cannot be trained here"):
        run_study(file, machine_in(tmp_path), Options(), Terminal(quiet=True))
    file.write_text(
        file.read_text().replace('"synthetic"', '"predictions:tiny.toml"').replace("n_images = 120\n", "")
    )
    with pytest.raises(UserError, match="these are predictions, not images"):
        run_study(file, machine_in(tmp_path), Options(), Terminal(quiet=True))


def test_the_command_ends_as_a_run_does(tmp_path: Path) -> None:
    for (arm, seed), part in predicted(sets=SETS).groupby(["arm", "seed"]):
        write(part, tmp_path / "runs" / f"{arm}-{seed}.csv")
    files = [str(path) for path in sorted((tmp_path / "runs").iterdir())]
    at, runner = ["--results", str(tmp_path / "results")], CliRunner()
    nameless = runner.invoke(app, ["judge", *files, *at])
    assert "--name NAME" in str(nameless.exception)
    found = runner.invoke(app, ["judge", str(tmp_path / "runs"), *at, "--gate", "plain: not harmful"])
    assert found.exit_code == 3
    assert found.stdout == f"{tmp_path / 'results' / 'runs' / 'report.md'}\n"
    assert "plain: harmful" in found.stderr  # the first file's arm is the baseline
    assert "gate does not hold" in found.stderr
    told = runner.invoke(app, ["judge", *files, "--name", "runs", *at, "--json"])
    assert json.loads(told.stdout.splitlines()[-1])["counts"] == {"done": 6}
