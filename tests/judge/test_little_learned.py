"""Seeds that learned little are scored as they are; where only some did, there is no verdict."""

import json

import numpy as np
import pytest

from bench.judge.evidence import COLLAPSES, Evidence
from bench.judge.family import wanted_scores
from bench.judge.looks import progress
from bench.judge.outcomes import read_outcomes
from bench.judge.rulings import Ruling, Rulings
from bench.report import build, markdown
from bench.store import Predictions
from bench.streams import stream
from bench.study.file import Criterion
from bench.study.read import Claim

IMAGES, POSITIVES = 400, 48


@pytest.fixture
def pair(make_world):
    """An arm that is clearly better, five seeds each."""
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    w.finish_all()
    return w


def _document(world):
    return build(world.study, world.plan, world.store)


def _ruling(world, arm: str) -> Ruling:
    """Of an arm against a, on the primary metric."""
    outcomes = read_outcomes(world.study, world.plan, world.store)
    evidence = Evidence(world.study, outcomes, world.store, wanted_scores(world.study))
    return Rulings(world.study, evidence).ruling((arm, "a", world.study.primary))


# -- imbalance -----------------------------------------------------------------------------------------------


def _rare(world, label: str, seed: int, skill: float, bias: float, **changes: object) -> None:
    """A trial with an AUC of Φ(skill/√2); ``bias``: log odds of a positive that looks like neither."""
    labels = (np.arange(IMAGES) < POSITIVES).astype(np.int64)
    seen = stream(0, "images").normal(0, 0.9, IMAGES) + stream(seed, label).normal(0, 0.45, IMAGES)
    positive = 1 / (1 + np.exp(-(seen + skill * labels + bias)))
    said = Predictions(
        np.stack([1 - positive, positive], 1).astype(np.float16), labels, np.arange(IMAGES, dtype=np.uint64)
    )
    record = world.record(label, seed, classes=["no", "yes"], **changes)
    told = {} if record.status == "diverged" else dict.fromkeys(world.keys().values(), said)
    world.store.write(record, history=[], predictions=told)


@pytest.mark.parametrize(
    ("baseline", "verdict", "sign"),
    [({"status": "diverged"}, "helps, by more than 0.5 points", 1), ({}, "harmful", -1)],
    ids=["as chance, which it was", "as it is"],
)
def test_with_12_percent_positives_a_baseline_that_never_names_them_is_judged_by_its_own_auc(
    make_world, baseline: dict, verdict: str, sign: int
):
    """It ranks better than the upsampled arm; called diverged for its balanced accuracy, it seemed worse."""
    w = make_world(extra={"primary": "local.auc", "hidden": {}})
    w.arm("none", 1.0)
    w.arm("upsample", 1.1)
    for seed in w.seeds:
        _rare(w, "none", seed, 1.5, -4.5, **baseline)
        _rare(w, "upsample", seed, 1.2, -0.6)
    (found,) = _document(w).findings
    assert (found.verdict, np.sign(found.effect.mean)) == (verdict, sign)


# -- some, all -----------------------------------------------------------------------------------------------


def test_an_arm_of_which_one_seed_learned_little_has_its_effect_and_no_verdict(pair):
    before = _document(pair).findings[0]
    pair.little("b", 2)
    after = _document(pair).findings[0]
    assert before.verdict == "helps, by more than 1 point"
    assert (after.verdict, after.detail) == ("unstable (1/5 little learned)", COLLAPSES)
    assert (after.effect, after.seeds, after.if_converges) == (before.effect, 5, False), "as it was scored"


def test_no_verdict_either_against_a_reference_of_which_some_seeds_learned_little(pair):
    pair.little("a", 0)
    pair.little("a", 3)
    assert _document(pair).findings[0].verdict == "unstable (of the reference 2/5 little learned)"


def test_arms_of_which_no_seed_learned_much_are_judged_as_any_other(pair):
    before = _document(pair).findings[0]
    for seed in pair.seeds:
        pair.little("a", seed)
    after = _document(pair).findings[0]
    assert (after.verdict, after.effect) == (before.verdict, before.effect)
    assert after.detail == "no seed of the reference learned much"


def test_beside_diverged_seeds_those_that_finished_decide_whether_an_arm_is_mixed(pair):
    pair.diverge("b", 4)
    for seed in range(4):
        pair.little("b", seed)
    assert _document(pair).findings[0].verdict == "unstable (1/5 diverged, 4/5 little learned)"
    assert not _ruling(pair, "b").contrast.mixed
    pair.finish("b", 0)
    found = _document(pair).findings[0]
    assert found.verdict == "unstable (1/5 diverged, 3/5 little learned)"
    assert found.if_converges
    assert _ruling(pair, "b").contrast.mixed


def test_a_comparison_without_a_verdict_counts_in_the_family_with_p_1(pair):
    pair.arm("c", 1.9, ["blur"])
    for seed in pair.seeds:
        pair.finish("c", seed)
    assert max(_ruling(pair, arm).member.p(0.0) for arm in "bc") < 0.01
    pair.little("b", 1)
    assert _ruling(pair, "b").member.p(0.0) == 1
    assert _ruling(pair, "c").member.p(0.0) < 0.01


def test_a_claim_about_it_is_inconclusive(pair):
    pair.claims = (Claim(says="x", better=("b",), than=("a",), metric="heavy.accuracy"),)
    assert _document(pair).claims[0].outcome == "supported"
    pair.little("b", 2)
    assert _document(pair).claims[0].outcome == "inconclusive"


def test_with_looks_it_gets_no_further_seeds(make_world):
    w = make_world(seeds=tuple(range(8)))
    w.arm("none", 1.0)
    w.arm("same", 1.12, ["blur"])
    for label in w.skills:
        for seed in range(5):
            w.finish(label, seed)
    plan = w.plan.model_copy(update={"looks": (5, 8)})
    assert progress(w.study, plan, w.store).wanted["same"] == 8
    w.little("same", 2)
    race = progress(w.study, plan, w.store)
    assert race.wanted["same"] == 5
    assert race.end == "all decided but same"


def test_the_report_names_the_trial_and_counts_it(pair):
    pair.little("b", 2)
    document = _document(pair)
    (note,) = document.notes
    assert (note.arm, note.seed, note.state, note.text) == (
        "b",
        2,
        "done, little learned",
        "validation loss 0.69",
    )
    assert "| 5/5, 1 little learned |" in markdown(document)


def test_a_record_that_was_never_scored_since_it_learned_little_is_stale(pair):
    old = pair.record("b", 2, status="diverged", cause="not learned", message="nothing learned")
    pair.store.write(old, history=[], predictions={})
    document = _document(pair)
    assert document.arms[1].seeds.stale == 1
    assert [(note.seed, note.state) for note in document.notes] == [(2, "stale")]
    assert pair.store.read(old.id) is None, "so it is trained again"


# -- does not converge ---------------------------------------------------------------------------------------


def _claim(world, *courses: list[dict[str, float]], **criterion: float):
    """What becomes of the claim that ``b`` does not converge, its seeds having gone these ways."""
    for seed, course in enumerate(courses):
        lines = "".join(json.dumps(entry) + "\n" for entry in course)
        (world.before_checksums("b", seed) / "history.jsonl").write_text(lines)
    world.claims = (
        Claim(
            says="x",
            better=("b",),
            metric="converged",
            expect="does not converge",
            criterion=Criterion(**criterion) if criterion else None,
        ),
    )
    return _document(world).claims[0]


def _course(*losses: float) -> list[dict[str, float]]:
    return [{"train_loss": loss, "train_accuracy": 1 - loss, "val_accuracy": 0.5} for loss in losses]


def test_a_seed_converges_when_any_evaluation_reaches_the_criterion(pair):
    reached, not_reached = _course(0.9, 0.5, 0.7), _course(0.9, 0.51)
    claim = _claim(pair, *[not_reached] * 4, reached, train_loss=0.5)
    assert claim.expect == "does not converge to train_loss 0.5"
    # one-sided 95 % bounds of 4 in 5, Clopper and Pearson: .343 and .990
    assert claim.notes == (
        "4 of 5 seeds did not reach train_loss 0.5; of all seeds between 34 and 99 % would not "
        "(each bound at 95 %)",
    )
    assert claim.outcome == "inconclusive"
    assert _claim(pair, *[not_reached] * 5, train_loss=0.5).outcome == "supported"
    assert _claim(pair, *[reached] * 5, train_loss=0.5).outcome == "refuted"


def test_an_accuracy_is_reached_from_below(pair):
    assert _claim(pair, *[_course(0.9, 0.1)] * 5, train_accuracy=0.9).outcome == "refuted"
    assert _claim(pair, *[_course(0.9, 0.2)] * 5, train_accuracy=0.9).outcome == "supported"
    assert _claim(pair, *[_course(0.9, 0.2)] * 5, val_accuracy=0.5).outcome == "refuted"


def test_a_loss_that_is_not_finite_has_not_converged_whatever_was_reached_before(pair):
    pair.diverge("b", 0)
    claim = _claim(pair, *[_course(0.1)] * 5, train_loss=0.5)
    assert claim.notes[0].startswith("1 of 5 seeds did not reach train_loss 0.5")


def test_without_a_criterion_only_such_a_loss_counts(pair):
    for seed in pair.seeds:
        pair.little("b", seed)
    claim = _claim(pair)
    assert (claim.outcome, claim.expect) == ("refuted", "does not converge")
    assert claim.notes[0].startswith("0 of 5 seeds diverged")


def test_what_an_older_record_does_not_hold_is_not_judged(pair):
    old = [{"train_loss": 0.3}]
    claim = _claim(pair, old, *[_course(0.2)] * 4, train_accuracy=0.7)
    assert (claim.outcome, claim.notes) == (
        "not judged",
        ("not judged: 1 of 5 records hold no train_accuracy",),
    )
