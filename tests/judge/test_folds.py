"""The report of a cross-validation."""

import os
from pathlib import Path

import numpy as np
import pytest

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.plan import fingerprint
from bench.recipe import Corrupted, Shifted
from bench.report import build, markdown
from bench.study.read import Claim

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "folds.md"
FOLDS = range(5)


@pytest.fixture
def folded(make_world):
    """Five folds; one hidden set that all models score, and one that is corrupted of each fold's images."""
    w = make_world(folds=5, seeds=(0,), images=80)
    for label, skill, augment in [
        ("none", 1.0, []),
        ("randaugment", 1.9, ["randaugment"]),
        ("blur", 0.9, ["blur"]),
    ]:
        w.arm(label, skill, augment)
    keys = w.keys
    w.keys = lambda fold=None: keys(fold) | {"wrecked": fingerprint(["wrecked", fold])}
    w.extra = {
        "hidden": {"heavy": Shifted(kind="synthetic"), "wrecked": Corrupted(kind="corrupted")},
        "primary": "wrecked.accuracy",
    }
    w.claims = (
        Claim(
            says="RandAugment helps at home", better=("randaugment",), than=("none",), metric="local.accuracy"
        ),
        Claim(
            says="RandAugment helps elsewhere",
            better=("randaugment",),
            than=("none",),
            metric="heavy.accuracy",
        ),
        Claim(says="It closes the gap", better=("randaugment",), than=("none",), metric="gap.heavy"),
    )
    w.finish_all()
    return w


def right(world, arm: str, fold: int, name: str) -> np.ndarray:
    """Which images (N,) a fold's trial gets right, straight from the stored predictions."""
    said = world.store.predictions(world.id(arm, 0, fold))[world.keys(fold)[name]]
    return (said.probabilities.argmax(axis=1) == said.labels).astype(float)


def differences(world, name: str) -> list[np.ndarray]:
    """randaugment − none on each fold's images (N,)."""
    return [right(world, "randaugment", fold, name) - right(world, "none", fold, name) for fold in FOLDS]


def test_the_report_of_a_cross_validation_reads_as_agreed(folded):
    text = markdown(build(folded.study, folded.plan, folded.store))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "set UPDATE_GOLDEN=1 to accept the new text, and read its diff"


@pytest.mark.parametrize(("set_name", "key"), [("local", "test"), ("wrecked", "wrecked")])
def test_a_set_of_each_folds_own_images_is_one_number_per_fold(folded, set_name: str, key: str):
    document = build(folded.study, folded.plan, folded.store)
    effect = next(arm for arm in document.arms if arm.label == "randaugment").effects[set_name]
    D = np.array([d.mean() for d in differences(folded, key)])
    # by hand: t of 4 degrees of freedom, variance (1/5 + 1/4) · var(D)
    half = 2.776445 * np.sqrt((1 / 5 + 1 / 4) * D.var(ddof=1))
    assert (effect.mean, effect.low) == pytest.approx((D.mean(), D.mean() - half), rel=1e-5)


def test_a_hidden_set_that_every_model_scores_keeps_its_images(folded):
    document = build(folded.study, folded.plan, folded.store)
    effect = next(arm for arm in document.arms if arm.label == "randaugment").effects["heavy"]
    expected = stats.two_way(np.stack(differences(folded, "heavy")), inflation=1 + 5 / 4)
    assert (effect.low, effect.high) == pytest.approx((expected.low, expected.high))


def test_a_gap_to_images_of_the_fold_is_one_number_per_fold(folded):
    document = build(folded.study, folded.plan, folded.store)
    gap = next(arm for arm in document.arms if arm.label == "randaugment").gap
    means = {
        name: np.array([right(folded, "randaugment", fold, name).mean() for fold in FOLDS])
        for name in ("test", "wrecked")
    }
    D = means["test"] - means["wrecked"]
    half = 2.776445 * np.sqrt((1 / 5 + 1 / 4) * D.var(ddof=1))
    assert (gap.mean, gap.interval.high) == pytest.approx((D.mean(), D.mean() + half), rel=1e-5)


def test_a_gap_to_images_that_every_model_scores_adds_their_item_term(folded):
    evidence = Evidence(
        folded.study,
        read_outcomes(folded.study, folded.plan, folded.store),
        folded.store,
        {"test": ["accuracy"], "heavy": ["accuracy"]},
    )
    found = evidence.contrast("randaugment", "none", Measure("gap", "heavy"))
    hidden = stats.two_way(np.stack(differences(folded, "heavy")))
    D = np.array([a.mean() - b.mean() for a, b in zip(
        differences(folded, "test"), differences(folded, "heavy"), strict=True
    )])  # fmt: skip
    assert found.test.mean == pytest.approx(D.mean())
    # by hand: folds (1/5 + 1/4) · var(D), images as in the hidden set alone
    assert found.test.seed_variance == pytest.approx((1 / 5 + 1 / 4) * D.var(ddof=1))
    assert found.test.item_variance == pytest.approx(hidden.item_variance)
    assert found.test.interaction == pytest.approx(hidden.interaction)
    assert (found.seeds, found.reason) == (5, "")


def test_images_on_which_arms_disagree_are_counted_over_all_folds(folded):
    evidence = Evidence(
        folded.study,
        read_outcomes(folded.study, folded.plan, folded.store),
        folded.store,
        {"wrecked": ["accuracy"]},
    )
    found = evidence.contrast("randaugment", "none", Measure("score", "wrecked"))
    assert found.disagreements == sum((d != 0).sum() for d in differences(folded, "wrecked"))
    assert found.seeds == 5


def test_every_folds_set_is_named_with_its_key(folded):
    sets = build(folded.study, folded.plan, folded.store).provenance.sets
    assert [name for name, *_ in sets] == [
        *(f"local, fold {fold}" for fold in FOLDS), "heavy", *(f"wrecked, fold {fold}" for fold in FOLDS),
    ]  # fmt: skip
    assert len({key for _, key, *_ in sets}) == 11


def test_a_missing_fold_leaves_the_others(make_world):
    w = make_world(folds=5, seeds=(0,), images=80, extra={"primary": "local.accuracy"})
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    for fold in FOLDS:
        w.finish("a", 0, fold)
        if fold != 2:
            w.finish("b", 0, fold)
    finding = build(w.study, w.plan, w.store).findings[0]
    assert finding.seeds == 4
    assert finding.effect is not None
