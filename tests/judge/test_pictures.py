"""What figures are made of, read from records: hand-worked numbers."""

import json
import math

import numpy as np
import pytest
from scipy.stats import t
from tuned import tuned

from bench.judge.pictures import MOST_ARMS, Confusion, gather
from bench.report import build
from bench.store import Predictions


def _gather(w, plan=None):
    plan = plan or w.plan
    return gather(w.study, plan, w.store, build(w.study, plan, w.store))


def _history(w, label, seed, lines):
    file = w.before_checksums(label, seed) / "history.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _two(make_world, **fields):
    w = make_world(**fields)
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    return w


def test_the_noise_band_is_that_of_equal_arms_with_the_spread_of_all_that_are_shown(make_world):
    w = _two(make_world)
    w.finish_all()

    def accuracies(arm: str, name: str) -> np.ndarray:
        scores = (w.store.read(w.id(arm, seed)).scores[w.keys()[name]] for seed in w.seeds)
        return np.array([score["accuracy"] for score in scores])

    for name in ("heavy", "test"):
        pooled = np.mean([accuracies(arm, name).var(ddof=1) for arm in ("a", "b")])
        expected = t.ppf(0.975, 8) * np.sqrt(pooled * 2 / 5)
        if name == "heavy":
            assert _gather(w).noise == pytest.approx(expected, rel=1e-3)
        (row,) = (row for row in build(w.study, w.plan, w.store).noise if row.key == w.keys()[name])
        assert row.luck == pytest.approx(expected, rel=1e-3)
    w.arm("c", 1.5, ["flip", "blur"])
    w.finish_all()
    three = [accuracies(arm, "heavy") for arm in "abc"]
    c = 2.5  # Dunnett 1964, two-sided 5 %, two arms beside the baseline, 12 degrees of freedom
    expected = c * np.sqrt(np.mean([one.var(ddof=1) for one in three]) * 2 / 5)
    assert _gather(w).noise == pytest.approx(expected, rel=5e-3)


def test_two_seeds_have_no_noise_band(make_world):
    w = _two(make_world, seeds=(0, 1))
    w.finish_all()
    assert _gather(w).noise is None


def test_folds_and_gaps_have_no_noise_band(make_world):
    w = _two(make_world, folds=3, seeds=(0,))
    w.finish_all()
    assert _gather(w).noise is None
    w = _two(make_world)
    w.finish_all()
    w.extra = {"primary": "gap.heavy"}
    assert _gather(w).noise is None


def test_a_curve_has_a_point_for_each_evaluation_and_says_where_stages_begin(make_world):
    w = _two(make_world, seeds=(0,))
    w.finish_all()
    _history(w, "a", 0, [
        {"stage": 1, "step": 10, "val_accuracy": 0.5},
        {"stage": 1, "step": 20, "val_accuracy": math.nan},
        {"stage": 2, "step": 30, "val_accuracy": 0.7},
        {"stage": 2, "step": 40, "note": "no accuracy"},
    ])  # fmt: skip
    (w.before_checksums("b", 0) / "history.jsonl").write_text('{"stage": 1, "st')
    (curve,) = _gather(w).curves
    assert (curve.arm, curve.seed, curve.fold) == ("a", 0, None)
    assert curve.points == ((10, 0.5), (30, 0.7))
    assert curve.stages == (20,)


def test_confusions_are_shares_of_the_true_class_over_all_seeds(make_world):
    w = _two(make_world, seeds=(0, 1))
    keys = w.keys()
    labels, ids = np.array([0, 0, 1, 1, 2, 2]), np.arange(6, dtype=np.uint64)
    for seed, answers in enumerate(([0, 1, 1, 1, 2, 0], [0, 0, 1, 2, 2, 0])):
        said = Predictions(np.eye(3, dtype=np.float16)[answers], labels, ids)
        for label in ("a", "b"):
            w.keep(label, seed, {keys["test"]: said, keys["heavy"]: said})
    confusion = _gather(w).confusions[0]
    assert confusion.arm == "a"
    assert confusion.shares == ((0.75, 0.25, 0.0), (0.0, 0.75, 0.25), (0.5, 0.0, 0.5))
    assert confusion.images == (4, 4, 4)
    assert confusion.worst() == ("platelet", "basophil", 0.5)


def test_a_perfect_arm_confuses_nothing():
    assert Confusion("a", ("x", "y"), ((1.0, 0.0), (0.0, 1.0)), (3, 3)).worst() is None


def test_torn_predictions_cost_their_matrix_and_no_more(make_world):
    w = _two(make_world, seeds=(0, 1, 2))
    w.finish_all()
    for seed in w.seeds:
        (w.store.trial_dir(w.id("a", seed)) / "predictions.npz").write_bytes(b"PK torn")
    pictures = _gather(w)
    assert [confusion.arm for confusion in pictures.confusions] == ["b"]


def test_of_very_many_arms_only_the_first_of_the_table_are_read(make_world):
    w = make_world(seeds=(0, 1), images=20)
    for i in range(MOST_ARMS + 6):
        w.arm(f"arm {i}", 1 + 0.05 * i, [f"op {i}"])
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    pictures = gather(w.study, w.plan, w.store, document)
    assert pictures.arms == tuple(arm.label for arm in document.arms[:MOST_ARMS])
    assert pictures.arms[0] == "arm 0"
    assert pictures.of == MOST_ARMS + 6
    assert {confusion.arm for confusion in pictures.confusions} == set(pictures.arms)


def test_candidates_lie_where_their_settings_are(make_world):
    w = _two(make_world, seeds=(0, 1))
    plan = tuned(w)
    w.finish_all()
    first, second = _gather(w, plan).searches
    assert (first.arm, second.arm) == ("a", "b")
    assert [(axis.setting, axis.low, axis.high, axis.log, axis.choices) for axis in first.axes] == [
        ("optimizer.lr", 1e-4, 1e-2, True, ()),
        ("schedule.name", 0, 1, False, ("constant", "cosine")),
    ]
    assert [(each.state, each.value, each.places, each.chosen) for each in first.tried] == [
        ("done", 0.5, (1e-3, 1.0), False),
        ("done", 0.6, (9e-3, 0.0), True),
        ("diverged", None, (2e-4, 0.0), False),
        ("missing", None, (4e-3, 1.0), False),
    ]
