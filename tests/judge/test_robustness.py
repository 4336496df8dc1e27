"""Corrupted sets in the report: families seen and unseen, on a study small enough to work out by hand."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bench import stats
from bench.judge.copies import count
from bench.judge.evidence import Evidence
from bench.judge.family import wanted_scores
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.judge.robustness import mean_ratio
from bench.recipe import Choice, Corrupted, Recipe
from bench.report import build, markdown, write_report
from bench.report.page import page
from bench.report.spreadsheet import tables
from bench.store import Predictions, Store
from bench.study.read import Claim

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "micro.md"
FAMILIES, SEVERITIES = ("defocus", "jpeg", "rotation"), (1, 3)
BASE, LOCAL, CLASSES = 12, 16, 3
KEYS = {"test": "a" * 64, "micro": "b" * 64, "mix": "c" * 64}
RIGHT = {
    "none": [
        {"clean": 9, "defocus": (9, 3), "jpeg": (9, 6), "rotation": (12, 9)},
        {"clean": 9, "defocus": (9, 3), "jpeg": (9, 6), "rotation": (12, 9)},
        {"clean": 9, "defocus": (9, 3), "jpeg": (9, 6), "rotation": (12, 9)},
    ],
    "randaugment": [
        {"clean": 9, "defocus": (9, 6), "jpeg": (9, 9), "rotation": (12, 12)},
        {"clean": 9, "defocus": (9, 6), "jpeg": (9, 9), "rotation": (12, 12)},
        {"clean": 12, "defocus": (12, 6), "jpeg": (9, 9), "rotation": (12, 12)},
    ],
    "blur": [
        {"clean": 9, "defocus": (12, 12), "jpeg": (9, 6), "rotation": (12, 9)},
        {"clean": 9, "defocus": (12, 12), "jpeg": (9, 6), "rotation": (12, 9)},
        {"clean": 9, "defocus": (12, 12), "jpeg": (9, 6), "rotation": (12, 9)},
    ],
}
"""Arm → seed → how many of the 12 base images it gets right (the first ones): clean; at severities 1, 3."""


def said(right: np.ndarray, **conditions: object) -> Predictions:
    """Sure answers; right (copies, images). Image i is of class i % 3."""
    copies, images = right.shape
    labels = np.tile(np.arange(images) % CLASSES, copies)
    answers = np.where(right.ravel(), labels, (labels + 1) % CLASSES)
    ids = np.tile(np.arange(images, dtype=np.uint64) * 7 + 3, copies)
    return Predictions(np.eye(CLASSES, dtype=np.float16)[answers], labels, ids, **conditions)


def first(*counts: int, of: int = BASE) -> np.ndarray:
    """(len(counts), of): the first so many are true."""
    return np.arange(of) < np.array(counts)[:, None]


def finish(
    w,
    label: str,
    seed: int,
    right: Mapping[str, object],
    families: tuple[str, ...] = FAMILIES,
    fold: int | None = None,
) -> None:
    names = tuple(f"{family}/{severity}" for family in families for severity in SEVERITIES)
    hits = first(*(k for family in families for k in right[family]))
    keys = w.keys(fold)
    sets = {
        # four more local images, which nobody gets right, are not in the corrupted sets
        keys["test"]: said(first(right["clean"], of=LOCAL)),
        keys["micro"]: said(
            hits, conditions=np.repeat(np.arange(len(names), dtype=np.int16), BASE), condition_names=names
        ),
        keys["mix"]: said(first(right["clean"] - 3)),
    }
    # every count is a multiple of the classes, so that accuracy and balanced accuracy agree
    conditions = {
        name: {"accuracy": row.mean(), "balanced_accuracy": row.mean()}
        for name, row in zip(names, hits, strict=True)
    }
    w.keep(label, seed, sets, fold, conditions={keys["micro"]: conditions})


@pytest.fixture
def empty(make_world):
    """Three arms: the baseline, one that has seen rotation, one that has seen defocus."""
    w = make_world(seeds=(0, 1, 2))
    for label in RIGHT:
        w.arm(label, 1.0, [] if label == "none" else [label])
    w.keys = lambda fold=None: KEYS
    w.extra = {
        "hidden": {
            "micro": Corrupted(
                kind="corrupted", profile="micro-c", images=BASE, families=FAMILIES, severities=SEVERITIES
            ),
            "mix": Corrupted(kind="corrupted", families=FAMILIES, images=BASE),
        },
        "primary": "micro.accuracy",
    }
    return w


@pytest.fixture
def micro(empty):
    for label, seeds in RIGHT.items():
        for seed, right in enumerate(seeds):
            finish(empty, label, seed, right)
    return empty


def arms_of(w, name: str = "micro"):
    document = build(w.study, w.plan, w.store)
    one = next(c for c in document.corrupted if c.name == name)
    return one, {arm.label: arm for arm in one.arms}


def test_the_report_of_a_corrupted_set_reads_as_agreed(micro):
    text = markdown(build(micro.study, micro.plan, micro.store))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "set UPDATE_GOLDEN=1 to accept the new text, and read its diff"


def test_a_family_is_seen_by_the_arm_that_trains_with_its_like(micro):
    _, arms = arms_of(micro)
    assert {label: arm.seen for label, arm in arms.items()} == {
        "none": (), "randaugment": ("rotation",), "blur": ("defocus",),
    }  # fmt: skip


def test_means_are_over_severities_then_families_then_seeds(micro):
    one, arms = arms_of(micro)
    assert one.families == (("blur", "defocus"), ("digital", "jpeg"), ("geometry", "rotation"))
    # randaugment: defocus (9 + 6)/24 twice and (12 + 6)/24; jpeg 18/24; rotation 1
    assert [m.mean for m in arms["randaugment"].families.values()] == pytest.approx([2 / 3, 3 / 4, 1])
    assert [m.mean for m in arms["none"].families.values()] == pytest.approx([1 / 2, 5 / 8, 7 / 8])
    assert arms["none"].total.mean == pytest.approx(2 / 3)
    # (15 + 18 + 24)/72 twice, (18 + 18 + 24)/72
    assert arms["randaugment"].total.mean == pytest.approx((57 + 57 + 60) / (3 * 72))
    assert arms["randaugment"].total.sd == pytest.approx(3 / 72 / np.sqrt(3))
    # without rotation: 33/48 twice and 36/48
    assert arms["randaugment"].unseen_mean.mean == pytest.approx((33 + 33 + 36) / (3 * 48))
    assert arms["none"].unseen_mean == arms["none"].total


def test_clean_is_the_same_base_images_undamaged(micro):
    _, arms = arms_of(micro)
    document = build(micro.study, micro.plan, micro.store)
    assert document.arms[0].accuracies[0].mean == 9 / 16
    assert arms["none"].clean.mean == 9 / 12
    assert arms["randaugment"].clean.mean == pytest.approx((9 + 9 + 12) / 36)


def test_the_unseen_effect_is_over_families_that_neither_arm_trains_with(micro):
    _, arms = arms_of(micro)
    found = arms["randaugment"].unseen
    # defocus and jpeg, (seeds, images): gains in quarters of an image's four copies.
    # defocus/3: images 3-5 gained; jpeg/3: 6-8 gained; seed 2, defocus/1: 9-11 gained
    d = np.zeros((3, BASE))
    d[:, 3:9] = 1 / 4
    d[2, 9:] = 1 / 4
    expected = stats.two_way(d)
    assert (found.families, found.of) == (2, 3)
    assert found.effect.mean == pytest.approx((6 + 6 + 9) / (4 * 36))
    assert found.effect.few, "the arms disagree on nine images"
    study, plan, store = micro.study, micro.plan, micro.store
    evidence = Evidence(study, read_outcomes(study, plan, store), store, wanted_scores(study))
    unseen = Measure("score", "micro", families=("defocus", "jpeg"))
    interval = evidence.contrast("randaugment", "none", unseen).of_finished
    assert (interval.mean, interval.low, interval.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    # by hand: D = 1/8, 1/8, 3/16, so V_seed = ((1/48)² · 2 + (1/24)²) / 6
    assert expected.seed_variance == pytest.approx((2 / 48**2 + 1 / 24**2) / 6)


def test_a_gain_that_is_all_likeness_vanishes_on_unseen_families(micro):
    _, arms = arms_of(micro)
    assert arms["blur"].effect.mean == pytest.approx(1 / 6)
    assert arms["blur"].unseen.effect.mean == 0
    assert arms["none"].unseen is None


def test_balanced_errors_are_compared_family_by_family(micro):
    one, arms = arms_of(micro)
    # errors of none: 1/2, 3/8, 1/8; of randaugment: 1/3, 1/4, 0; of blur: 0, 3/8, 1/8
    assert arms["none"].error == arms["none"].relative_error == pytest.approx(1)
    assert arms["randaugment"].error == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert arms["blur"].error == pytest.approx((0 + 1 + 1) / 3)
    # added to the clean error of none, 1/4: 1/4, 1/8, −1/8; the last costs the baseline nothing
    assert one.costly == 2
    # randaugment: 1/8, 1/8, 1/4 on defocus and 0, 0, 1/4 on jpeg, by seed
    assert arms["randaugment"].relative_error == pytest.approx(((1 / 6) / (1 / 4) + (1 / 12) / (1 / 8)) / 2)
    assert arms["blur"].relative_error == pytest.approx((-1 + 1) / 2)


def test_a_ratio_to_nothing_is_no_number():
    e = np.array([0.2, 0.3])
    assert mean_ratio(e, np.array([0.4, 0.0])) == pytest.approx(0.5)
    assert mean_ratio(e, np.zeros(2)) is None
    assert mean_ratio(e, np.array([0.009, 0.6]), 0.01) == pytest.approx(0.5)


def test_a_finding_on_a_corrupted_set_says_what_is_left_on_unseen_families(micro):
    micro.claims = (
        Claim(says="x", better=("randaugment",), than=("blur",), metric="micro.accuracy"),
        Claim(says="y", better=("blur",), than=("none",), metric="mix.accuracy"),
        Claim(says="z", better=("blur",), than=("none",), metric="micro.macro_f1"),
    )
    document = build(micro.study, micro.plan, micro.store)
    pair = document.claims[0].pairs[0]
    # neither has seen jpeg: 18/24 against 15/24
    assert (pair.unseen.families, pair.unseen.effect.mean) == (1, pytest.approx(1 / 8))
    assert "On the 1 of 3 families that neither trains with: +12.5 (too few errors)" in markdown(document)
    assert [claim.pairs[0].unseen for claim in document.claims[1:]] == [None, None]


def test_where_every_family_is_seen_there_is_no_unseen_mean(empty):
    families = ("defocus", "rotation")
    hidden = empty.extra["hidden"]
    empty.extra["hidden"] = {
        name: table.model_copy(update={"families": families}) for name, table in hidden.items()
    }
    both = tuple(Choice(name=name) for name in ("blur", "randaugment"))
    empty.recipes["blur"] = Recipe(model=empty.recipes["blur"].model, augment=both)
    for label, seeds in RIGHT.items():
        for seed, right in enumerate(seeds):
            finish(empty, label, seed, right, families)
    _, arms = arms_of(empty)
    assert arms["blur"].unseen_mean is None
    assert (arms["blur"].unseen.effect, arms["blur"].unseen.families) == (None, 0)
    text = markdown(build(empty.study, empty.plan, empty.store))
    assert "At least one of the two trains with something like each of its 2 families" in text
    row = next(line for line in text.splitlines() if line.startswith("| blur | 75.0"))
    assert "| – (0) |" in row


def test_mixed_corruptions_have_no_unseen_mean_but_say_who_has_seen_what(micro):
    one, arms = arms_of(micro, "mix")
    assert not one.by_family
    assert arms["blur"].unseen is arms["blur"].unseen_mean is None
    text = markdown(build(micro.study, micro.plan, micro.store))
    section = text.partition("## Corruptions of mix")[2].partition("\n## ")[0]
    assert "- none: trains with none of 3 families\n" in section
    assert "- blur: trains with 1 of 3 families: defocus\n" in section


def test_what_nobody_here_knows_is_said_and_makes_nothing_seen(micro):
    snow = Choice(name="kornia:RandomSnow")
    inside = Choice(
        name="chain", params={"steps": ["flip", {"name": "kornia:RandomRain", "p": 0.5}], "p": 1.0}
    )
    never = Choice(name="kornia:RandomChannelDropout", params={"p": 0.0})
    micro.recipes["blur"] = micro.recipes["blur"].model_copy(update={"augment": (snow, inside, never)})
    for name in ("micro", "mix"):
        _, arms = arms_of(micro, name)
        assert (arms["blur"].seen, arms["blur"].unknown) == ((), ("kornia:RandomSnow", "kornia:RandomRain"))
        assert arms["randaugment"].unknown == ()
    document = build(micro.study, micro.plan, micro.store)
    said = "what kornia:RandomSnow, kornia:RandomRain does is unknown here"
    assert markdown(document).count(f"blur: {said}") == 2
    assert page(document, ()).count(f"blur: {said}") == 2


def test_a_family_that_was_left_out_for_gray_images_is_not_counted(micro):
    hidden = dict(micro.extra["hidden"])
    hidden["micro"] = hidden["micro"].model_copy(update={"families": (*FAMILIES, "hue")})
    micro.extra["hidden"] = hidden
    one, arms = arms_of(micro)
    assert [family for _, family in one.families] == list(FAMILIES)
    assert arms["randaugment"].unseen.of == 3


def test_a_study_that_has_not_run_says_what_will_be_done_to_its_images(empty):
    one, arms = arms_of(empty)
    assert [family for _, family in one.families] == list(FAMILIES)
    assert arms["blur"].total is arms["blur"].error is None
    text = markdown(build(empty.study, empty.plan, empty.store))
    assert "| blur | not scored | not scored | – | – (2) | – (2) | – | – |" in text


def test_seeds_that_did_not_finish_are_left_out_and_counted(micro):
    micro.diverge("randaugment", 2)
    _, arms = arms_of(micro)
    assert arms["randaugment"].total.seeds == 2
    assert arms["randaugment"].unseen.effect.mean == pytest.approx(1 / 8)
    document = build(micro.study, micro.plan, micro.store)
    assert next(f for f in document.findings if f.arm == "randaugment").unseen is None


def test_with_folds_each_folds_own_images_are_inside_its_mean(make_world):
    w = make_world(folds=3, seeds=(0,))
    for label in ("none", "randaugment"):
        w.arm(label, 1.0, [] if label == "none" else [label])
    w.keys = lambda fold=None: {name: key.replace(key[0], f"{fold}", 3) for name, key in KEYS.items()}
    table = Corrupted(
        kind="corrupted", profile="micro-c", images=BASE, families=FAMILIES, severities=SEVERITIES
    )
    w.extra = {"hidden": {"micro": table, "mix": table}, "primary": "micro.accuracy"}
    for label in w.skills:
        for fold in range(3):
            finish(w, label, 0, RIGHT[label][fold], fold=fold)
    _, arms = arms_of(w)
    D = np.array([1 / 8, 1 / 8, 3 / 16])
    half = 4.302653 * np.sqrt((1 / 3 + 1 / 2) * D.var(ddof=1))  # t of 2 degrees of freedom
    found = arms["randaugment"].unseen.effect
    assert (found.mean, found.high) == pytest.approx((D.mean(), D.mean() + half), rel=1e-5)
    assert arms["randaugment"].clean.seeds == 3


def test_unreadable_predictions_cost_intervals_and_not_scores(micro):
    for seed in micro.seeds:
        before_checksums = micro.store.read(micro.id("blur", seed)).model_copy(update={"files": {}})
        micro.store.rewrite(before_checksums)
        (micro.store.trial_dir(micro.id("blur", seed)) / "predictions.npz").write_bytes(b"PK torn")
    _, arms = arms_of(micro)
    assert arms["blur"].total.mean == pytest.approx(5 / 6)
    assert arms["blur"].error == pytest.approx(2 / 3)
    assert arms["blur"].clean is arms["blur"].relative_error is arms["blur"].unseen.effect is None


def test_every_condition_is_a_row_of_a_table(micro):
    found = tables(build(micro.study, micro.plan, micro.store))
    rows = list(csv.DictReader(found["corruptions"].splitlines()))
    assert len(rows) == 3 * 3 * 2
    mine = next(r for r in rows if (r["arm"], r["family"], r["severity"]) == ("randaugment", "defocus", "1"))
    assert (mine["set"], mine["kind"], mine["seen"], mine["accuracy_seeds"]) == ("micro", "blur", "no", "3")
    assert float(mine["accuracy"]) == pytest.approx(30 / 36)
    assert float(mine["accuracy_sd"]) == pytest.approx(np.std([0.75, 0.75, 1], ddof=1))
    arms = {(r["set"], r["arm"]): r for r in csv.DictReader(found["robustness"].splitlines())}
    assert arms["micro", "randaugment"]["seen"] == arms["mix", "randaugment"]["seen"] == "rotation"
    assert arms["micro", "randaugment"]["unseen_by_both"] == "2"
    assert arms["mix", "randaugment"]["unseen"] == arms["mix", "blur"]["be"] == ""


def test_made_twice_the_tables_are_the_same_to_the_byte(micro):
    folder = write_report(micro.study, micro.plan, micro.store).parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_report(micro.study, micro.plan, Store(micro.store.root))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"robustness.csv", "corruptions.csv"} <= {path.name for path in before}


def test_studies_without_corrupted_sets_say_nothing_of_corruptions(world):
    document = build(world.study, world.plan, world.store)
    assert document.corrupted == ()
    assert "Corruptions" not in markdown(document)
    assert not {"robustness", "corruptions"} & set(tables(document))


def test_hostile_names_stay_in_their_cells(empty):
    label, name = "a|b <script>", "my-set_1"
    w = empty
    w.arm(label, 1.0, ["blur"])
    w.extra["hidden"] = {name: w.extra["hidden"]["micro"], "mix": w.extra["hidden"]["mix"]}
    w.extra["primary"] = f"{name}.accuracy"
    w.keys = lambda fold=None: {"test": KEYS["test"], name: KEYS["micro"], "mix": KEYS["mix"]}
    text = markdown(build(w.study, w.plan, w.store))
    assert "## Corruptions of my-set\\_1" in text
    assert "- a\\|b &lt;script&gt;: trains with 1 of 3 families: defocus" in text
    assert "<script>" not in text


def test_copies_are_counted_family_by_family_whatever_their_order():
    right = first(3, 2, 1, 0, of=4)
    names = ("a/1", "b/1", "a/2", "b/2")
    p = said(right, conditions=np.repeat(np.arange(4, dtype=np.int16), 4), condition_names=names)
    shuffled = np.random.default_rng(0).permutation(16)
    mixed = Predictions(
        p.probabilities[shuffled], p.labels[shuffled], p.ids[shuffled], p.conditions[shuffled], names
    )
    place = np.unique(mixed.ids, return_inverse=True)[1]
    copies = count(mixed, place, 4)
    assert copies.families == ("a", "b")
    assert copies.right.tolist() == [[2, 1, 1, 0], [1, 1, 0, 0]]
    assert copies.made.tolist() == [[2, 2, 2, 2], [2, 2, 2, 2]]
    assert copies.accuracy(["b"]).tolist() == [0.5, 0.5, 0, 0]
    assert copies.accuracy(["a", "b"]).tolist() == [0.75, 0.5, 0.25, 0]
    assert count(said(right), place, 4) is None
