"""Scores of the clinic decide a study, are told of every arm and class, and equal scikit-learn's."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as oracle
from studies import text
from worlds import CLASSES, HEAVY_KEY, World, answers

from bench import metrics
from bench.errors import UserError
from bench.judge.evidence import Evidence
from bench.judge.family import wanted_scores
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.registry import metrics as registry
from bench.report import build, files
from bench.run.foresight import undefined, unknown_classes
from bench.store import Predictions
from bench.study.read import parse
from bench.study.smoke import smoke

MAKE = Callable[..., World]
SCORES = ("sensitivity", "specificity(monocyte)", "ppv(monocyte, prevalence = 0.02)", "quadratic_kappa")
ARMS = "[arms]\nnone = {}\nflips = { augment = ['flip'] }"
PRIMARY = "heavy.sensitivity(basophil, platelet)"


@pytest.fixture
def asked(make_world: MAKE) -> World:
    w = make_world(seeds=(0, 1, 2), images=300)
    w.extra = {"primary": PRIMARY, "scores": SCORES}
    w.arm("a", 0.6)
    w.arm("b", 2.2, ["flip"])
    w.finish_all()
    return w


def values(w: World, arm: str, score: str) -> list[float]:
    said = [w.store.predictions(w.id(arm, seed))[HEAVY_KEY] for seed in w.seeds]
    return [metrics.score_of(score, one.probabilities, one.labels, CLASSES) for one in said]


def test_scores_of_a_class_equal_scikit_learns():
    said = answers(1, "x", 0.8, 300)
    P, labels, called = said.probabilities, said.labels, said.probabilities.argmax(1)
    truth, positive = labels == 1, P[:, 1].astype(float)
    false, true, _ = oracle.roc_curve(truth, positive, drop_intermediate=False)
    expected = {
        "sensitivity(monocyte)": oracle.recall_score(truth, called == 1),
        "specificity(monocyte)": oracle.recall_score(truth, called == 1, pos_label=False),
        "ppv(monocyte)": oracle.precision_score(truth, called == 1),
        "npv(monocyte)": oracle.precision_score(truth, called == 1, pos_label=False),
        "roc_auc(monocyte)": oracle.roc_auc_score(truth, positive),
        "sensitivity(monocyte, specificity = 0.9)": true[false <= 0.1].max(),
        "specificity(monocyte, sensitivity=0.9)": (1 - false[true >= 0.9]).max(),
        'sensitivity("basophil", platelet)': oracle.recall_score(~truth, called != 1),
        "quadratic_kappa": oracle.cohen_kappa_score(labels, called, weights="quadratic"),
    }
    for score, value in expected.items():
        found = metrics.score_of(score, P, labels, CLASSES)
        assert found == pytest.approx(value, abs=1e-9), score
        phi = metrics.per_item(score, said, CLASSES)
        assert phi is not None
        assert phi.mean() == pytest.approx(value, abs=1e-9), score


def test_a_score_of_the_clinic_decides_and_is_told_with_its_interval(asked: World):
    document = build(asked.study, asked.plan, asked.store)
    (finding,) = document.findings
    assert (finding.metric, finding.verdict[:5]) == (PRIMARY, "helps")
    a, b = (np.mean(values(asked, arm, PRIMARY.partition(".")[2])) for arm in "ab")
    assert finding.effect is not None
    assert finding.effect.mean == pytest.approx(b - a)
    rows = {(row.set, row.score, row.arm): row for row in document.asked}
    each = [f"sensitivity({name})" for name in CLASSES]
    told = [*each, *SCORES[1:]]
    assert list(dict.fromkeys(score for of, score, _ in rows if of == "local")) == told
    assert {score for of, score, _ in rows if of == "heavy"} == {*told, PRIMARY.partition(".")[2]}
    labels = answers(0, HEAVY_KEY, 0, 300).labels
    for (of, score, arm), row in rows.items():
        assert row.value is not None
        if of == "heavy":
            assert row.value.mean == pytest.approx(np.mean(values(asked, arm, score))), score
        if score in each:
            assert of != "heavy" or row.items == (labels == each.index(score)).sum()
        assert (row.effect is None) == (arm == "a")
    assert any(row.value and row.value.interval for row in rows.values())


def test_report_and_page_have_the_table_and_the_curves(asked: World):
    made = files(asked.study, asked.plan, asked.store, ("md", "csv", "html"))
    assert "## Scores asked for" in made["report.md"]
    assert "sensitivity(basophil, platelet)" in made["tables/asked.csv"]
    drawn = [name for name in made if re.match(r"figures/(roc|precision)-", name)]
    assert len(drawn) == 2 * 4, "of each class, and of the two together"
    svg = made["figures/roc-monocyte.svg"]
    assert svg.count("<path") == 3, "two arms, and the baseline behind the other"
    said = [values(asked, arm, "sensitivity(monocyte, specificity = 0.9)") for arm in "ab"]
    assert f"b {100 * np.mean(said[1]):.0f}" in re.sub(r"\.\d %", "", svg)
    assert made["report.html"].count("Scores asked for") >= 2
    assert made == files(asked.study, asked.plan, asked.store, ("md", "csv", "html"))


def test_nothing_is_told_that_was_not_asked_for(make_world: MAKE):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5)
    w.finish_all()
    made = files(w.study, w.plan, w.store, ("md", "csv", "html"))
    assert not [name for name in made if "roc" in name or "asked" in name]
    assert "asked for" not in made["report.md"]


def test_arms_that_differ_on_negatives_alone_are_alike_in_sensitivity(make_world: MAKE):
    """Few errors are counted among the images that a score is about, not among all."""
    w = make_world(seeds=(0, 1, 2))
    w.extra = {"primary": "heavy.sensitivity(basophil)"}
    w.arm("a", 1.0)
    w.arm("b", 1.1)
    labels = np.arange(300) % 3
    for arm in "ab":
        for seed in w.seeds:
            called = labels.copy()
            # 60 monocytes are platelets to b; four basophils differ
            called[np.flatnonzero(labels == 1)[: 60 * (arm == "b")]] = 2
            called[np.flatnonzero(labels == 0)[: 4 * (arm == "b") + seed % 2]] = 1
            said = Predictions(np.eye(3, dtype=np.float16)[called], labels, np.arange(300, dtype=np.uint64))
            w.keep(arm, seed, dict.fromkeys(w.keys().values(), said))
    (finding,) = build(w.study, w.plan, w.store).findings
    assert finding.verdict == "inconclusive"
    assert "disagree on 5 images only" in finding.detail


def test_a_diverged_seed_counts_as_chance_of_that_score(asked: World):
    asked.diverge("b", 2)
    study = asked.study
    outcomes = read_outcomes(study, asked.plan, asked.store)
    evidence = Evidence(study, outcomes, asked.store, wanted_scores(study))
    lost = next(o for o in outcomes["b"] if o.state == "diverged")
    for score, chance in (
        ("sensitivity(basophil)", 1 / 3),
        ("sensitivity(basophil, platelet)", 2 / 3),
        ("specificity(monocyte)", 2 / 3),
        ("ppv(monocyte, prevalence = 0.02)", 0.02),
        ("quadratic_kappa", 0.0),
    ):
        row = evidence.rows.row(lost, Measure("score", "heavy", score))
        assert row is not None
        assert row == pytest.approx(np.full(len(row), chance)), score
    assert registry["ppv(monocyte)"].traits["chance"](3) is None, "unknown: it takes no part"


# -- asking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("sensitivity", "needs a class: sensitivity(CLASS)"),
        ("accuracy(x)", "accuracy takes no class"),
        ("sensitivty(x)", 'did you mean "sensitivity"'),
        ("sensitivity()", "at least 1 item"),
        ("sensitivity(x, specificity = 1.5)", "less than 1"),
        ("sensitivity(x, prevalence = 0.1)", "no level prevalence; known: specificity"),
        ("sensitivity(x, y=, z)", "with commas between"),
        ("sensitivity(x", "with brackets around"),
        ("ppv(x) y", "with brackets around"),
    ],
)
def test_what_cannot_be_asked_says_why(written: str, problem: str):
    assert problem in registry.problem(written)
    assert written not in registry
    if "(" in written:
        with pytest.raises(UserError, match=re.escape(problem)):
            registry[written]


def test_a_study_may_ask_and_its_mistakes_are_told():
    study = parse(
        text(ARMS, top="primary = 'local.ppv(b, prevalence = 0.1)'\nscores = ['sensitivity', 'auc']"),
        name="x",
        file="x.toml",
    )
    assert study.scores == ("sensitivity", "auc")
    small = smoke(study)
    assert (small.primary, small.scores) == ("local.accuracy", study.scores)
    wrong = "primary = 'local.sensitivity'\nscores = ['worst_recall', 'nll', 'ppv(']"
    with pytest.raises(UserError) as caught:
        parse(text(ARMS, top=wrong), name="x", file="x.toml")
    said = str(caught.value)
    assert "needs a class: sensitivity(CLASS)" in said
    assert said.count("is no share with an interval") == 2
    assert "with brackets around the class" in said


def test_a_class_that_is_not_there_is_told_before_the_first_trial():
    labels = np.array([0, 0, 1, 1])
    asked = [
        "local.sensitivity(plate)",
        "local.sensitivity(platelet)",
        "local.ppv(basophil)",
        "local.roc_auc(basophil, monocyte, platelet)",
        "heavy.sensitivity(nothing)",
    ]
    said = list(undefined(asked, "test", labels, CLASSES))
    assert len(said) == 3
    assert 'no class of the study; did you mean "platelet"' in said[0]
    assert 'sensitivity(platelet) is undefined: this set has images of 2 classes, "basophil"' in said[1]
    assert "all 3 classes are positive" in said[2]
    study = parse(text(ARMS, top="scores = ['ppv(plate)']"), name="x", file="x.toml")
    (known,) = unknown_classes(study, CLASSES)
    assert known == 'ppv(plate): "plate" is no class of the study; did you mean "platelet"?'
    assert list(unknown_classes(study, ["plate", "b"])) == []
    assert registry.of_each("ppv", ["a b", "c, d"]) == ["ppv(a b)", 'ppv("c, d")']
    assert registry.of_each("auc", ["a"]) == ["auc"]
    assert "sensitivity" not in metrics.versions(), "stored nowhere, so no record lacks it"
