"""The whole report: what it is a function of, and that nothing goes missing in it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from bench.planned import PlannedArm, PlannedTrial
from bench.recipe import Data
from bench.report import build, markdown, write_report
from bench.store import Store
from bench.study.read import Arm, Claim, Ensemble, Folds

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "report.md"
World = Callable[..., object]


def _report(world, **options) -> str:
    return markdown(build(world.study, world.plan, world.store), **options)


def test_the_report_reads_as_agreed(world):
    text = _report(world)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "set UPDATE_GOLDEN=1 to accept the new text, and read its diff"


def test_made_twice_it_is_the_same_to_the_byte(world):
    first = write_report(world.study, world.plan, world.store)
    before = {path: path.read_bytes() for path in first.parent.rglob("*") if path.is_file()}
    write_report(world.study, world.plan, Store(world.store.root))
    assert before == {path: path.read_bytes() for path in first.parent.rglob("*") if path.is_file()}
    assert first == world.store.root / "tiny" / "report.md"
    there = {path.stem for path in (first.parent / "tables").iterdir() if path.suffix == ".csv"}
    usual = "arms claims classes costs evidence hidden noise prediction results scores settings trials"
    assert " ".join(sorted(there)) == usual


def test_without_costs_equal_results_make_equal_reports(make_world):
    texts = []
    for factor in (1.0, 3.0):
        w = make_world(claims=(Claim(says="fast", better=("b",), than=("a",), metric="cost.seconds"),))
        w.arm("a", 1.0)
        w.arm("b", 1.9, ["flip"])
        for label in ("a", "b"):
            for seed in w.seeds:
                slow = factor if label == "b" else 1.0
                w.finish(
                    label,
                    seed,
                    timings={"train": slow * (10.0 + seed % 2)},
                    memory={"peak_mb": 100 * factor},
                    machine={"device_name": f"CPU {factor}"},
                    commit=f"{factor}",
                    attempts=int(factor),
                )
        texts.append((_report(w), _report(w, cost=False)))
    assert texts[0][0] != texts[1][0]
    assert texts[0][1] == texts[1][1]
    assert not re.search("train s|Machine|Commit|CPU|memory", texts[0][1])


def test_reordering_the_arms_of_a_study_changes_nothing(world):
    before = _report(world)
    first, *rest = world.skills
    world.skills = {label: world.skills[label] for label in [first, *reversed(rest)]}
    world.recipes = {label: world.recipes[label] for label in world.skills}
    assert sorted(_report(world).splitlines()) == sorted(before.splitlines())


def test_relabelling_the_arms_relabels_the_report(make_world):
    texts = []
    for labels in (("p", "q", "r"), ("zeta", "yota", "xeno")):
        w = make_world()
        for label, skill in zip(labels, (1.0, 1.3, 1.9), strict=True):
            w.arm(label, skill, [f"op{skill}"])
        w.finish_all()
        texts.append(_report(w))
    swap = dict(zip(("p", "q", "r"), ("zeta", "yota", "xeno"), strict=True))
    assert re.sub(r"\b[pqr]\b(?! =)", lambda m: swap[m[0]], texts[0]) == texts[1]


def test_every_state_of_a_trial_looks_different(make_world):
    w = make_world(seeds=(0, 1, 2, 3, 4, 5, 6))
    w.arm("base", 1.0)
    w.arm("arm", 1.5, ["flip"])
    w.finish_all(but=[("arm", s) for s in range(1, 7)])
    w.diverge("arm", 1)
    w.fail("arm", 2, "killed", "worker ended with code -9")
    stale = w.record("arm", 3, versions={"model:custom_cnn": 0})
    w.store.write(stale.model_copy(update={"id": "0" * 16}), history=[], predictions={})
    w.finish("arm", 4)
    (w.store.trial_dir(w.id("arm", 4)) / "record.json").write_text('{"schema_ver')
    w.fail("arm", 5, "oom")
    document = build(w.study, w.plan, w.store)
    row = document.arms[1].seeds
    assert str(row) == "1/7, 1 diverged, 1 failed (killed), 1 failed (oom), 1 stale, 1 damaged, 1 not run"
    states = {note.seed: (note.state, note.text) for note in document.notes}
    assert states[1] == ("diverged", "loss is nan (stage 1, step 34, lr 0.1)")
    assert states[2] == ("failed (killed)", "worker ended with code -9")
    assert states[3] == ("stale", f"trial {'0' * 16} ran with other component versions")
    assert states[4] == ("damaged", "its record is not a whole JSON table")
    assert states[5] == ("failed (oom)", "oom")
    assert states[6] == ("not run", "")


def test_a_study_that_has_not_run_has_a_report_too(make_world):
    w = make_world(claims=(Claim(says="x", better=("b",), than=("a",), metric="heavy.accuracy"),))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    text = _report(w)
    assert "| b | not scored | not scored | – | not run yet |" in text
    assert "0/5, 5 not run" in text
    assert "- **inconclusive** — x" in text


def test_a_single_arm_is_described_and_not_compared(make_world):
    w = make_world()
    w.arm("only", 1.0)
    w.finish_all()
    assert "One arm only: nothing is compared." in _report(w)


HOSTILE = [
    "a|b",
    "<script>alert(1)</script>",
    "new\nline",
    "x" * 300,
    "y" * 150 + "z" * 150,
    "[a](http://b)",
    "# h `c`",
]


def test_hostile_names_stay_names(make_world):
    w = make_world()
    w.arm("base", 1.0)
    for i, label in enumerate(HOSTILE):
        w.arm(label, 1.1 + 0.1 * i, ["flip"])
    w.extra = {"question": "Is | <b>this</b>\n## a heading?"}
    w.finish_all()
    w.fail(HOSTILE[0], 0, "error", "| <img src=x onerror=y> |\n| more |")
    text = _report(w)
    assert not re.search(r"<(script|img|b)\b", text)
    assert "\n## a heading" not in text
    assert r"\[a\](http://b)" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table
    assert max(len(line) for line in tables[0].splitlines()) < 300


def test_two_long_names_that_differ_in_the_middle_are_told_apart(make_world):
    w = make_world()
    w.arm("base", 1.0)
    for middle in "PQ":
        w.arm("l" * 100 + middle + "l" * 100, 1.2 if middle == "P" else 1.8, [middle])
    w.finish_all()
    table = _report(w).partition("\n## ")[0]
    rows = re.findall(r"^\| (l+…l+[^|]*) \| \d", table, flags=re.M)
    assert len(rows) == len(set(rows)) == 2


def test_what_is_not_judged_is_said(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    w.extra = {"ensembles": {"b-x5": Ensemble(arm="b")}, "folds": Folds(kind="folds", k=5)}
    assert "ensembles" in _report(w).partition("## Not judged")[2].partition("##")[0]
    w.extra = {}
    assert "Not judged yet" not in _report(w)


def test_the_baseline_again_is_a_row_and_no_comparison(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    repeats = [10_000 + seed for seed in w.seeds]
    for seed in repeats:
        w.finish("a", seed)
    trials = tuple(PlannedTrial(id=w.id("a", seed), seed=seed, sets=w.keys()) for seed in repeats)
    w.extra = {"aa": True}
    plain, plan = w.plan, w.plan.model_copy(update={"again": PlannedArm(label="a", trials=trials)})
    document = build(w.study, plan, w.store)
    assert document.again is not None
    assert document.again.finding is not None
    assert (document.again.finding.verdict, document.again.seeds.done) == ("noise floor", len(repeats))
    first = [w.store.read(trial.id).scores[trial.sets["heavy"]]["accuracy"] for trial in plain.arms[0].trials]
    second = [w.store.read(trial.id).scores[trial.sets["heavy"]]["accuracy"] for trial in trials]
    assert document.again.finding.effect.mean == pytest.approx(fmean(second) - fmean(first))
    without = build(w.study, plain, w.store)
    assert without.again is None
    assert replace(document, again=None, looked=without.looked) == without, "outside the family"
    assert (document.looked[0].trials, without.looked[0].trials) == (15, 10), "it looked all the same"
    assert "| a again (A/A) |" in markdown(document)


def test_what_differs_beside_the_declared_settings_is_said(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.arm("c", 1.6, ["rotate"])
    for label, changes in {
        "a": {},
        "b": {"training": [{"train": "head", "epochs": 10, "steps": 310}], "parameters": 24690},
        "c": {},
    }.items():
        for seed in w.seeds:
            w.finish(label, seed, **changes)
    study = w.study
    larger = Arm(label="c", recipe=w.recipes["c"], data=Data(source="synthetic", size_px=64))
    study = study.model_copy(update={"arms": (*study.arms[:2], larger)})
    document = build(study, w.plan, w.store)
    assert dict(document.confounds) == {
        "b": "3.1× the training steps, 3.1× the steps per epoch, 2× the parameters",
        "c": "input of 64 instead of 32 px",
    }
    assert ("c", "data.size_px", "32", "64") in [tuple(vars(change).values()) for change in document.changes]
    assert ("batch_size", "64") in document.fixed
    assert "data.size_px" not in dict(document.fixed)


def test_trials_of_different_devices_are_marked(make_world):
    w = make_world(claims=(Claim(says="fast", better=("b",), than=("a",), metric="cost.seconds"),))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    for seed in w.seeds:
        w.finish("a", seed)
        w.finish("b", seed, machine={"device_name": "Example GPU"})
    document = build(w.study, w.plan, w.store)
    assert document.cost_confounds == ("trials ran on different kinds of device: Example CPU, Example GPU",)
    assert document.claims[0].outcome == "inconclusive"
    assert document.claims[0].pairs[0].detail == "more than one kind of device: Example CPU, Example GPU"


def test_trials_that_took_turns_are_marked_and_their_seconds_not_compared(make_world):
    w = make_world(claims=(Claim(says="fast", better=("b",), than=("a",), metric="cost.seconds"),))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    for seed in w.seeds:
        w.finish("a", seed)
        w.finish("b", seed, machine={"device_name": "Example CPU", "gang": 4})
    document = build(w.study, w.plan, w.store)
    (said,) = document.cost_confounds
    assert said.startswith(f"{len(w.seeds)} of {2 * len(w.seeds)} trials took turns with others")
    assert "at most 4 of them: their seconds" in said
    assert document.claims[0].outcome == "inconclusive"
    detail = document.claims[0].pairs[0].detail
    assert detail == "more than one kind of device: Example CPU, Example CPU (4 at once)"


def test_smoke_runs_and_drawn_images_are_called_what_they_are(world):
    text = markdown(build(world.study, world.plan.model_copy(update={"smoke": True}), world.store))
    assert "**Smoke run.**" in text
    assert "**Synthetic data.**" in text
    assert "Smoke run" not in _report(world)


def test_scores_without_readable_predictions_are_shown_and_not_compared(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    w.finish_all()
    (w.before_checksums("b", 0) / "predictions.npz").write_bytes(b"PK torn")
    document = build(w.study, w.plan, w.store)
    assert document.findings[0].seeds == 4
    assert document.arms[1].accuracies[0].seeds == 5
    assert [(note.arm, note.seed, note.state) for note in document.notes] == [("b", 0, "done, not compared")]


@pytest.mark.parametrize("harm", ["gone", "another's", "a flipped byte"])
def test_a_trial_that_lost_its_predictions_is_missing_as_for_a_run(make_world, harm):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    w.finish_all(but=[("b", 0)])
    without = build(w.study, w.plan, w.store)
    w.finish("b", 0)
    file, other = (w.store.trial_dir(w.id("b", s)) / "predictions.npz" for s in (0, 1))
    content = bytearray(other.read_bytes() if harm == "another's" else file.read_bytes())
    content[len(content) // 2] ^= harm == "a flipped byte"
    file.unlink()
    if harm != "gone":
        file.write_bytes(content)
    document = build(w.study, w.plan, Store(w.store.root))
    (note,) = document.notes
    why = "its predictions.npz is gone or damaged; bench run mends it"
    assert (note.arm, note.seed, note.state, note.text, note.id) == ("b", 0, "damaged", why, w.id("b", 0))
    assert document.findings == without.findings
    assert document.arms[1].scores == without.arms[1].scores
    assert str(document.arms[1].seeds) == "4/5, 1 damaged"
    assert "(4/5)" in markdown(document)


def test_a_set_that_was_never_scored_says_so(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    w.finish_all()
    keys = w.keys
    w.keys = lambda fold=None: keys(fold) | {"other": "d" * 64}
    w.extra = {"hidden": w.study.hidden | {"other": w.study.hidden["heavy"]}}
    document = build(w.study, w.plan, w.store)
    assert document.sets == ("local", "heavy", "other")
    assert document.arms[0].accuracies[2] is None
    assert document.notes[0].text == "not scored on other"
    assert "| not scored |" in markdown(document)


def test_the_package_is_light_until_a_report_is_made():
    script = """
import sys, bench.report
print([m for m in ("torch", "pandas", "numpy", "scipy", "jinja2") if m in sys.modules])
import bench.judge.assemble, bench.report.text, bench.report.spreadsheet
bench.report.text.template("report.md.j2")
print([m for m in ("torch", "pandas") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_looks_at_hidden_sets_are_counted_from_the_studys_own_records(make_world):
    claims = (
        Claim(says="gap", better=("b",), than=("a",), metric="gap.heavy"),
        Claim(says="home", better=("b",), than=("a",), metric="local.accuracy"),
    )
    w = make_world(seeds=(0, 1, 2), claims=claims)
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all(but=[("b", 2)])
    w.fail("b", 2, "oom")
    again = PlannedArm(label="a", trials=w.plan.arms[0].trials[:1])
    w.arm("c", 9.0)  # a record that is no trial of this study
    w.finish("c", 0)
    w.skills.pop("c")
    w.recipes.pop("c")
    plan = w.plan.model_copy(update={"again": again})
    (row,) = build(w.study, plan, w.store).looked
    assert (row.set, row.key, row.arms, row.trials) == ("heavy", w.keys()["heavy"], 3, 5), (
        "a trial counts once"
    )
    assert f"| heavy | {row.key[:12]} | 3 | 5 | 2 |" in markdown(build(w.study, plan, w.store))
