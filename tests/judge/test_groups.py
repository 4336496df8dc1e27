"""Where it is known which images are of one patient, patients are what intervals count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worlds import World, answers

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.plan import fingerprint
from bench.recipe import Corrupted, External
from bench.report import build, markdown

PATIENTS = {"test": 24, "heavy": 16}
LOCAL, HEAVY = Measure("score", "test"), Measure("score", "heavy")


def patient_of(name: str, images: int) -> np.ndarray:
    """Patients of unequal numbers of images."""
    every = np.arange(PATIENTS[name])
    more = np.random.default_rng(len(name)).choice(
        every, images - len(every), p=(every + 1) / (every + 1).sum()
    )
    return np.concatenate([every, more]).astype(np.int32)


def finish(w: World, *, but: str = "") -> World:
    """Two arms with the patients of every image stored; of the set ``but`` none are known."""
    for label in w.skills:
        for seed, fold in w.replicates():
            said = {}
            for name, key in w.keys(fold).items():
                made = answers(
                    seed + 100 * (fold or 0), key, w.skills[label] - 0.7 * (name == "heavy"), w.images
                )
                said[key] = made if name == but else replace(made, groups=patient_of(name, w.images))
            w.keep(label, seed, said, fold)
    return w


@pytest.fixture
def grouped(make_world) -> World:
    w = make_world()
    w.arm("none", 1.0)
    w.arm("better", 1.9)
    return finish(w)


def evidence(w: World) -> Evidence:
    scores = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
    wanted = dict.fromkeys(("test", "heavy"), scores)
    return Evidence(w.study, read_outcomes(w.study, w.plan, w.store), w.store, wanted)


def right(w: World, arm: str, name: str, fold: int | None = None) -> np.ndarray:
    """Answers (S, N), straight from the stored predictions."""
    said = [w.store.predictions(w.id(arm, seed, fold))[w.keys(fold)[name]] for seed in w.seeds]
    return np.stack([(p.probabilities.argmax(axis=1) == p.labels).astype(float) for p in said])


def by_patient(d: np.ndarray, name: str) -> np.ndarray:
    return np.stack([stats.by_group(row, patient_of(name, d.shape[1])) for row in d])


def test_an_effect_is_that_over_images_and_its_interval_that_over_patients(grouped: World):
    d = right(grouped, "better", "heavy") - right(grouped, "none", "heavy")
    found = evidence(grouped).contrast("better", "none", HEAVY).test
    assert isinstance(found, stats.Interval)
    assert (found.items, found.mean) == (16, pytest.approx(d.mean()))
    expected = stats.two_way(by_patient(d, "heavy"))
    assert (found.item_variance, found.interaction) == pytest.approx(
        (expected.item_variance, expected.interaction)
    )
    assert found.seed_variance == pytest.approx(stats.two_way(d).seed_variance), "seeds are as they were"


def test_an_arms_own_interval_is_over_patients_too(grouped: World):
    found = evidence(grouped).mean("better", "test")
    expected = stats.two_way(by_patient(right(grouped, "better", "test"), "test"))
    assert found is not None
    assert (found.items, found.low) == (24, pytest.approx(expected.low))


@pytest.mark.parametrize("score", ["balanced_accuracy", "macro_f1", "auc"])
def test_other_scores_leave_one_patient_out(grouped: World, score: str):
    rows = []
    for seed in grouped.seeds:
        phi = []
        for arm in ("better", "none"):
            p = grouped.store.predictions(grouped.id(arm, seed))[grouped.keys()["heavy"]]
            phi.append(
                stats.pseudo_values(score, p.probabilities, p.labels, patient_of("heavy", len(p.labels)))[1]
            )
        rows.append(phi[0] - phi[1])
    found = evidence(grouped).contrast("better", "none", Measure("score", "heavy", score)).test
    assert isinstance(found, stats.Interval)
    assert (found.items, found.half_width()) == (
        16,
        pytest.approx(stats.two_way(np.stack(rows)).half_width()),
    )


def test_a_gap_has_patients_on_either_side(grouped: World):
    found = evidence(grouped).contrast("better", "none", Measure("gap", "heavy")).test
    sides = [
        by_patient(right(grouped, "better", name) - right(grouped, "none", name), name)
        for name in ("test", "heavy")
    ]
    expected = stats.difference_of_gaps(*sides)
    assert isinstance(found, stats.Interval)
    assert (found.items, found.mean, found.low) == (
        16,
        pytest.approx(expected.mean),
        pytest.approx(expected.low),
    )


def test_patients_on_whom_arms_disagree_are_counted_not_their_images(grouped: World):
    d = right(grouped, "better", "heavy") - right(grouped, "none", "heavy")
    apart = (d != 0).any(axis=0)
    found = evidence(grouped).contrast("better", "none", HEAVY)
    assert found.disagreements == len(set(patient_of("heavy", d.shape[1])[apart])) < apart.sum()


def test_under_ten_patients_no_verdict_is_possible_and_the_reason_names_groups(make_world, monkeypatch):
    monkeypatch.setitem(PATIENTS, "heavy", 9)
    w = make_world()
    w.arm("none", 1.0)
    w.arm("better", 1.9)
    found = evidence(finish(w)).contrast("better", "none", HEAVY)
    assert found.reason == "too few errors: the arms disagree on 9 groups only, 10 needed"
    assert evidence(w).contrast("better", "none", LOCAL).reason == ""


def test_images_of_one_patient_have_a_mean_and_no_interval(make_world, monkeypatch):
    monkeypatch.setitem(PATIENTS, "heavy", 1)
    w = make_world()
    w.arm("none", 1.0)
    w.arm("better", 1.9)
    seen = evidence(finish(w))
    found = seen.contrast("better", "none", HEAVY)
    assert (found.test, found.reason) == (None, "a class has fewer than 2 groups")
    assert seen.contrast("better", "none", Measure("score", "heavy", "balanced_accuracy")).test is None
    assert seen.gap("better", "heavy") is None
    assert seen.mean("better", "test") is not None


def test_a_diverged_trial_is_chance_on_every_patient(grouped: World):
    grouped.diverge("better", 2)
    for score, chance in (("accuracy", 1 / 3), ("balanced_accuracy", 1 / 3), ("auc", 0.5)):
        seen = evidence(grouped)
        row = seen.rows.row(seen.outcomes["better"][2], Measure("score", "heavy", score))
        assert row is not None
        assert row.tolist() == pytest.approx([chance] * 16)
        assert seen.contrast("better", "none", Measure("score", "heavy", score)).test is not None


def test_folds_average_their_images_and_count_patients(make_world):
    w = make_world(folds=4, seeds=(0,), images=60)
    w.arm("none", 1.0)
    w.arm("better", 1.9)
    seen = evidence(finish(w))
    d = [right(w, "better", "test", fold)[0] - right(w, "none", "test", fold)[0] for fold in range(4)]
    found = seen.contrast("better", "none", LOCAL)
    assert isinstance(found.test, stats.Interval)
    expected = stats.fold_interval(np.array([row.mean() for row in d]), 1 / 3)
    assert (found.test.mean, found.test.variance) == pytest.approx((expected.mean, expected.variance))
    assert found.disagreements == sum(len(set(patient_of("test", 60)[row != 0])) for row in d)


def test_predictions_whose_images_have_other_patients_are_not_compared(grouped: World):
    said = grouped.store.predictions(grouped.id("better", 0))
    moved = {key: replace(p, groups=np.roll(p.groups, 1)) for key, p in said.items()}
    grouped.keep("better", 0, moved)
    unreadable = evidence(grouped).rows.unreadable
    assert unreadable == {grouped.id("better", 0): "its predictions are of other images"}


def test_the_clean_score_of_a_corrupted_set_stays_one_of_images(make_world):
    w = make_world(images=60)
    w.arm("none", 1.0)
    keys = w.keys
    w.keys = lambda fold=None: keys(fold) | {"heavy": fingerprint("copies")}
    w.extra = {"hidden": {"heavy": Corrupted(kind="corrupted")}}
    seen = evidence(finish(w))
    accuracy, balanced = seen.rows.clean(seen.outcomes["none"][0], "heavy")
    p = w.store.predictions(w.id("none", 0))[w.keys()["test"]]
    hit = p.probabilities.argmax(axis=1) == p.labels
    assert accuracy == pytest.approx(hit.mean())
    assert balanced == pytest.approx(np.mean([hit[p.labels == k].mean() for k in range(3)]))


def test_the_report_says_what_its_items_are(grouped: World):
    text = markdown(build(grouped.study, grouped.plan, grouped.store))
    assert "over new seeds and new groups; n: " in text
    assert "On local, heavy groups count where images do elsewhere, so there new groups." in text
    assert "± is half the 95 % interval over new seeds and new groups" in text
    assert "- Set local: 200 images of 24 groups, which are the items of its intervals, key" in text
    assert "- Set heavy: 200 images of 16 groups, which are the items of its intervals, key" in text


def test_groups_are_called_as_the_study_calls_them(grouped: World):
    study = grouped.study
    named = study.model_copy(update={"data": study.data.model_copy(update={"groups": "patient"})})
    assert "over new seeds and new patients; n: " in markdown(build(named, grouped.plan, grouped.store))
    coded = study.model_copy(update={"data": study.data.model_copy(update={"groups": "PID 2"})})
    assert "over new seeds and new groups; n: " in markdown(build(coded, grouped.plan, grouped.store))


def test_a_report_on_images_of_nobody_in_particular_says_that_they_are_taken_as_independent(make_world):
    w = make_world()
    w.arm("none", 1.0)
    w.arm("better", 1.9)
    real = w.data.model_copy(update={"source": "folder:cells"})
    w.extra = {
        "data": real,
        "hidden": {
            "heavy": Corrupted(kind="corrupted"),
            "named": External(kind="external", source="folder:x", groups="folder"),
            "other": External(kind="external", source="folder:y"),
        },
    }
    keys = w.keys
    w.keys = lambda fold=None: keys(fold) | {name: fingerprint(name) for name in ("named", "other")}
    said = "images are taken as independent, since `groups` does not say which belong to one patient"
    text = markdown(build(w.study, w.plan, w.store))
    assert f"- local, heavy, other: {said}" in text
    w.extra["data"] = real.model_copy(update={"groups": "folder"})
    assert f"- other: {said}" in markdown(build(w.study, w.plan, w.store))
    w.extra = {}
    assert said not in markdown(build(w.study, w.plan, w.store)), "drawings are independent"
