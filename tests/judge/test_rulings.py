import math
import re

import numpy as np
import pytest

from bench import stats
from bench.judge.evidence import Evidence
from bench.judge.family import family_keys, wanted_scores
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import read_outcomes
from bench.judge.rulings import Rulings
from bench.judge.settling import points
from bench.plan import TEST
from bench.recipe import Choice
from bench.report import build, markdown
from bench.store import Predictions
from bench.study.read import Claim


def _finding(world, arm: str = "b"):
    return next(f for f in build(world.study, world.plan, world.store).findings if f.arm == arm)


def _two(make_world, skill: float = 1.9, **fields):
    w = make_world(**fields)
    w.arm("a", 1.0)
    w.arm("b", skill, ["flip"])
    return w


def _said(world, arm: str, name: str) -> list[Predictions]:
    return [world.store.predictions(world.id(arm, s))[world.keys()[name]] for s in world.seeds]


def build_text(world) -> str:
    return markdown(build(world.study, world.plan, world.store))


def _right(world, arm: str, name: str, seeds=None) -> np.ndarray:
    """(S, N) straight from the stored predictions."""
    said = [world.store.predictions(world.id(arm, s))[world.keys()[name]] for s in seeds or world.seeds]
    return np.stack([p.probabilities.argmax(axis=1) == p.labels for p in said]).astype(float)


def test_metrics_are_read_as_the_study_writes_them():
    sets = [TEST, "heavy", "other-lab"]
    assert parse("local.accuracy", sets) == Measure("score", "test", "accuracy")
    assert parse("other-lab.macro_f1", sets) == Measure("score", "other-lab", "macro_f1")
    assert parse("gap.heavy", sets) == Measure("gap", "heavy")
    assert parse("cost.epochs", sets) == Measure("cost", score="epochs")
    assert parse("seed_sd", sets).kind == "seed_sd"
    for odd in ("gap.local", "gap.nowhere", "nowhere.accuracy", "cost.money", "accuracy", "heavy"):
        assert parse(odd, sets).kind == "unknown"


def test_the_effect_is_the_two_way_interval_of_the_stored_predictions(make_world):
    w = _two(make_world)
    w.finish_all()
    expected = stats.two_way(_right(w, "b", "heavy") - _right(w, "a", "heavy"))
    found = _finding(w).effect
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    local = stats.two_way(_right(w, "b", "test") - _right(w, "a", "test"))
    assert _finding(w).local.mean == pytest.approx(local.mean)


def test_the_family_holds_each_declared_comparison_once(world):
    keys = family_keys(world.study)
    assert len(keys) == len(set(keys)) == 9
    assert keys[0] == ("randaugment", "none", "heavy.accuracy")
    assert keys[6:] == [
        ("blur", "none", "local.accuracy"),
        ("randaugment", "none", "gap.heavy"),
        ("none", "randaugment", "cost.seconds"),
    ]


def test_a_claim_adds_a_comparison_and_makes_the_others_more_cautious(make_world):
    w = _two(make_world, 1.12)
    w.finish_all()
    alone = build(w.study, w.plan, w.store)
    w.claims = (Claim(says="x", better=("b",), than=("a",), metric="local.macro_f1"),)
    both = build(w.study, w.plan, w.store)
    assert (alone.rules.family, both.rules.family) == (1, 2)
    assert alone.findings[0].effect == both.findings[0].effect
    assert wanted_scores(w.study) == {"test": ("accuracy", "macro_f1"), "heavy": ("accuracy",)}


def test_seeds_missing_on_one_side_are_left_out_on_both(make_world):
    w = _two(make_world)
    w.finish_all(but=[("a", 1), ("b", 3)])
    w.fail("a", 1, "killed")
    found = _finding(w)
    expected = stats.two_way(_right(w, "b", "heavy", [0, 2, 4]) - _right(w, "a", "heavy", [0, 2, 4]))
    assert found.seeds == 3
    assert found.effect.mean == pytest.approx(expected.mean)
    assert found.verdict.startswith("helps")


def test_two_common_seeds_give_an_interval_and_no_verdict(make_world):
    w = _two(make_world, seeds=(0, 1))
    w.finish_all()
    found = _finding(w)
    assert (found.verdict, found.detail) == ("inconclusive", "2 common seeds, 3 needed")
    assert found.effect is not None


def test_one_common_seed_gives_no_interval(make_world):
    w = _two(make_world, seeds=(0,))
    w.finish_all()
    assert (_finding(w).verdict, _finding(w).effect) == ("inconclusive", None)
    assert _finding(w).detail == "1 common seed, 3 needed"


def test_arms_that_never_disagree_have_no_verdict(make_world):
    w = _two(make_world, 1.0)
    w.finish_all()
    assert (_finding(w).verdict, _finding(w).detail) == (
        "inconclusive",
        "too few errors: the arms never disagree",
    )


@pytest.mark.parametrize(
    ("cause", "verdict"), [("oom", "no verdict"), ("error", "no verdict"), ("killed", "helps")]
)
def test_an_arm_that_fails_by_itself_has_no_verdict_a_machines_failure_costs_a_seed(
    make_world, cause, verdict
):
    w = _two(make_world)
    w.finish_all(but=[("b", 2)])
    w.fail("b", 2, cause)
    assert _finding(w).verdict.startswith(verdict)


def test_a_baseline_that_fails_by_itself_leaves_every_arm_without_verdict(make_world):
    w = _two(make_world)
    w.finish_all(but=[("a", 2)])
    w.fail("a", 2, "oom")
    assert (_finding(w).verdict, _finding(w).detail) == (
        "no verdict",
        "the reference's 1 of 5 seeds failed (oom)",
    )


@pytest.mark.parametrize(("arm", "whose"), [("a", ", of the reference"), ("b", "")])
def test_an_arm_that_the_machine_stopped_in_every_seed_is_not_said_to_be_not_run_yet(make_world, arm, whose):
    w = _two(make_world)
    w.finish_all(but=[(arm, seed) for seed in w.seeds])
    for seed in w.seeds:
        w.fail(arm, seed, "killed" if seed == 3 else "timeout")
    found = _finding(w)
    assert (found.verdict, found.detail) == (
        "no verdict",
        f"no seed came to a score{whose}: 1 killed, 4 timeout",
    )


def test_a_score_without_an_interval_on_these_images_is_not_said_to_be_not_run_yet(make_world):
    w = _two(make_world)
    w.finish_all()
    w.extra = {"primary": "heavy.balanced_accuracy"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.judge.rows.per_item", lambda *_: None)
        found = _finding(w)
    assert found.verdict == "not judged"
    assert found.detail == "not judged: balanced_accuracy has no interval on these images"


def test_a_set_that_no_trial_was_scored_on_yet_is_not_said_to_have_no_interval(make_world):
    w = _two(make_world)
    w.finish_all()
    for label in ("a", "b"):
        for seed in w.seeds:
            record = w.store.read(w.id(label, seed))
            kept = {key: one for key, one in record.scores.items() if key != w.keys()["heavy"]}
            w.store.rewrite(record.model_copy(update={"scores": kept}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.judge.rows.per_item", lambda *_: None)
        assert _finding(w).verdict == "not run yet"


def test_a_diverged_seed_scores_as_chance_on_every_image(make_world):
    w = _two(make_world)
    w.finish_all(but=[("b", 2)])
    w.diverge("b", 2)
    outcomes = read_outcomes(w.study, w.plan, w.store)
    evidence = Evidence(w.study, outcomes, w.store, wanted_scores(w.study))
    contrast = evidence.contrast("b", "a", Measure("score", "heavy"))
    rest = [0, 1, 3, 4]
    rows = _right(w, "b", "heavy", rest) - _right(w, "a", "heavy", rest)
    chance = 1 / 3 - _right(w, "a", "heavy", [2])
    assert contrast.test.mean == pytest.approx(np.vstack([rows, chance]).mean())
    assert contrast.finished.mean == pytest.approx(rows.mean())
    assert (contrast.diverged, contrast.diverged_reference, contrast.seeds) == (1, 0, 5)


def test_an_arm_that_diverges_is_unstable_unless_it_is_worse(make_world):
    better, worse = _two(make_world), _two(make_world, 0.0)
    for w in (better, worse):
        w.finish_all(but=[("b", 2)])
        w.diverge("b", 2)
    assert _finding(better).verdict == "unstable (1/5 diverged)"
    assert _finding(better).if_converges
    assert _finding(better).seeds == 4
    assert _finding(worse).verdict == "harmful"
    assert not _finding(worse).if_converges


def test_when_all_seeds_of_an_arm_diverge_it_is_harmful_on_an_easy_set(make_world):
    w = _two(make_world, extra={"primary": "local.accuracy"})
    w.finish_all(but=[("b", s) for s in w.seeds])
    for seed in w.seeds:
        w.diverge("b", seed)
    w.claims = (Claim(says="x", better=("b",), metric="local.accuracy", expect="does not converge"),)
    document = build(w.study, w.plan, w.store)
    assert document.findings[0].verdict == "harmful"
    assert document.claims[0].outcome == "supported"


def test_an_inconclusive_finding_says_what_would_settle_it(make_world):
    w = _two(make_world, 1.02, images=2000)
    w.finish_all()
    found = _finding(w)
    interval = stats.two_way(_right(w, "b", "heavy") - _right(w, "a", "heavy"))
    assert found.verdict == "inconclusive"
    assert found.detail.startswith(f"detects {points(stats.smallest_effect(interval))} or more")
    assert re.search(
        r"would take \d+ seeds|would need (\d+ seeds and )?about [\d,]+ more test images", found.detail
    )


def test_an_inconclusive_finding_says_what_a_difference_as_large_as_the_seen_one_would_take(make_world):
    w = _two(make_world, 1.1, images=300)
    w.finish_all()
    found = _finding(w)
    interval = stats.two_way(_right(w, "b", "heavy") - _right(w, "a", "heavy"))
    assert found.verdict == "inconclusive"
    assert 0.01 < abs(interval.mean) < stats.smallest_effect(interval)
    needed = stats.seeds_needed(interval, abs(interval.mean))
    assert needed
    assert re.search(rf"as large as seen, it would take {needed}( seeds)?$", found.detail)


def _claims(make_world, *claims: Claim, skills=(1.0, 1.9, 2.0)):
    w = make_world(claims=claims)
    for label, skill in zip("abc", skills, strict=True):
        w.arm(label, skill, [] if label == "a" else [label])
    w.finish_all()
    return build(w.study, w.plan, w.store).claims


def test_a_claim_about_several_arms_needs_all_pairs_and_falls_with_one(make_world):
    fields = {"says": "x", "metric": "heavy.accuracy"}
    both = Claim(better=("b", "c"), than=("a",), **fields)
    mixed = Claim(better=("a", "c"), than=("b", "c"), **fields)
    found = _claims(make_world, both, mixed)
    assert [claim.outcome for claim in found] == ["supported", "refuted"]
    assert [(pair.arm, pair.reference) for pair in found[1].pairs] == [("a", "b"), ("a", "c"), ("c", "b")]


def test_a_margin_is_judged_at_its_own_cut(make_world):
    fields = {"says": "x", "metric": "heavy.accuracy", "better": ("b",), "than": ("a",)}
    found = _claims(make_world, *(Claim(margin=m, **fields) for m in (5.0, 31.0, 60.0)))
    assert [claim.outcome for claim in found] == ["supported", "inconclusive", "refuted"]
    assert found[0].expect == "better by 5 points"


def test_a_claim_bench_cannot_judge_says_so_and_still_counts(make_world):
    fields = {"says": "x", "better": ("b",), "than": ("a",)}
    found = _claims(
        make_world,
        Claim(metric="heavy.nll", expect="no gain", **fields),
        Claim(metric="heavy.ece", **fields),
        Claim(metric="cost.epochs", expect="no gain", **fields),
        Claim(metric="heavy.worst_recall", **fields),
    )
    assert [claim.outcome for claim in found] == ["not judged"] * 4
    assert found[1].pairs[0].verdict == "not judged"
    assert found[1].pairs[0].detail == "not judged: ece has a value, never a verdict"
    assert found[0].notes == ("not judged: no gain needs a δ, and heavy.nll is not in points",)
    assert found[2].notes == ("not judged: no gain needs a δ, and cost.epochs is not in points",)


def test_where_less_is_better_a_verdict_turns_the_sign_and_the_effect_keeps_it(make_world):
    claim = Claim(says="x", better=("b",), than=("a",), metric="heavy.nll")
    w = _two(make_world, claims=(claim, claim.model_copy(update={"better": ("a",), "than": ("b",)})))
    w.finish_all()
    b, a = (
        np.stack([-np.log(p.probabilities[np.arange(len(p.labels)), p.labels].astype(float)) for p in said])
        for said in (_said(w, "b", "heavy"), _said(w, "a", "heavy"))
    )
    expected = stats.two_way(b - a)
    good, bad = (claim.pairs[0] for claim in build(w.study, w.plan, w.store).claims)
    assert expected.mean < 0
    assert (good.effect.mean, good.effect.low, good.effect.unit) == (
        pytest.approx(expected.mean), pytest.approx(expected.low), "nats",
    )  # fmt: skip
    assert (good.verdict, bad.verdict) == ("helps", "harmful")
    text = re.sub(r"\*", "", build_text(w))
    assert re.search(r"b: helps on heavy\.nll against a: −0\.\d+ \[−\d\.\d+, −0\.\d+\] nats, 5 seeds\.", text)


def test_a_primary_metric_of_which_less_is_better_ranks_and_tells_in_its_own_unit(make_world):
    claim = Claim(says="x", better=("c",), than=("a",), metric="seed_sd")
    w = make_world(extra={"primary": "heavy.nll"}, claims=(claim,))
    for label, skill in (("a", 1.0), ("b", 2.5), ("c", 1.5)):
        w.arm(label, skill, ["flip"] if label == "b" else ["blur"] if label == "c" else [])
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    assert [arm.label for arm in document.arms] == ["a", "b", "c"]
    assert document.findings[0].effect.mean < document.findings[1].effect.mean < 0
    assert {finding.effect.unit for finding in document.findings} == {"nats"}
    assert "no gain" not in {finding.verdict for finding in document.findings}
    assert re.search(r"its sd over seeds is [\d.e-]+ nats", document.claims[0].pairs[0].detail)


def test_a_faster_arm_is_called_faster(make_world):
    w = _two(make_world, claims=(Claim(says="x", better=("b",), than=("a",), metric="cost.seconds"),))
    for seed in w.seeds:
        w.finish("a", seed, timings={"train": 20.0 + seed})
        w.finish("b", seed, timings={"train": (10.0 + seed / 2) * (1 + 0.01 * (seed % 3))})
    found = build(w.study, w.plan, w.store).claims[0]
    assert (found.outcome, found.pairs[0].verdict) == ("supported", "faster")
    ratios = [math.log((10 + s / 2) * (1 + 0.01 * (s % 3)) / (20 + s)) for s in w.seeds]
    assert found.pairs[0].effect.mean == pytest.approx(math.exp(np.mean(ratios)))
    assert found.pairs[0].effect.unit == "ratio"


def test_a_gap_is_local_minus_hidden_and_a_smaller_one_wins(make_world):
    w = _two(make_world, claims=(Claim(says="x", better=("b",), than=("a",), metric="gap.heavy"),))
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    gaps = {arm: _right(w, arm, "test").mean() - _right(w, arm, "heavy").mean() for arm in "ab"}
    assert document.arms[0].gap.mean == pytest.approx(gaps["a"])
    assert document.claims[0].pairs[0].effect.mean == pytest.approx(gaps["b"] - gaps["a"])
    assert document.claims[0].outcome == "supported"


def test_spread_over_seeds_is_compared_by_brown_and_forsythe(make_world):
    w = _two(make_world, claims=(Claim(says="x", better=("b",), than=("a",), metric="seed_sd"),))
    w.finish_all()
    outcomes = read_outcomes(w.study, w.plan, w.store)
    rulings = Rulings(w.study, Evidence(w.study, outcomes, w.store, wanted_scores(w.study)))
    a, b = (_right(w, arm, "heavy").mean(axis=1) for arm in "ab")
    expected = stats.brown_forsythe(a, b)
    ruling = rulings.ruling(("b", "a", "seed_sd"))
    found = ruling.contrast.test
    assert (found.mean, found.p_zero) == pytest.approx((expected.mean, expected.p_zero))
    assert ruling.member.test.mean == -found.mean
    detail = rulings.finding(("b", "a", "seed_sd")).detail
    larger = "larger" if expected.mean > 0 else "smaller"
    needed = stats.spread_seeds_needed(b.std(ddof=1) / a.std(ddof=1), family=len(rulings.keys))
    assert detail.startswith(
        f"its sd over seeds is {points(abs(expected.mean))} {larger}; as large as seen, "
    )
    assert detail.endswith(f"would take {needed} seeds at least")


def test_with_folds_images_are_inside_the_folds_and_hidden_rows_inflated(make_world):
    w = _two(make_world, folds=4, seeds=(0,), extra={"seeds": (0,), "primary": "local.accuracy"})
    w.finish_all()
    document = build(w.study, w.plan, w.store)

    def rows(arm: str, name: str) -> list[np.ndarray]:
        said = [w.store.predictions(w.id(arm, 0, f))[w.keys(f)[name]] for f in range(4)]
        return [(p.probabilities.argmax(axis=1) == p.labels).astype(float) for p in said]

    means = np.array([b.mean() - a.mean() for a, b in zip(rows("a", "test"), rows("b", "test"), strict=True)])
    expected = stats.fold_interval(means, 1 / 3)
    effect = document.findings[0].effect
    assert (effect.mean, effect.low) == pytest.approx((expected.mean, expected.low))
    hidden = np.stack(rows("b", "heavy")) - np.stack(rows("a", "heavy"))
    assert document.arms[1].effects["heavy"].low == pytest.approx(
        stats.two_way(hidden, inflation=1 + 4 / 3).low
    )


def test_a_weight_file_named_otherwise_is_still_recognised_as_stale(make_world):
    w = _two(make_world)
    w.finish_all(but=[("b", 0)])
    hashed = w.recipes["b"].model_dump(mode="json")
    hashed["model"] |= {"weights": "sha256:1234"}
    w.store.write(
        w.record("b", 0, recipe=hashed).model_copy(update={"id": "f" * 16}), history=[], predictions={}
    )
    model = Choice(name="custom_cnn", params={"dropout": 0.3, "weights": "model.pt"})
    study = w.study
    arm = study.arms[1].model_copy(update={"recipe": w.recipes["b"].model_copy(update={"model": model})})
    study = study.model_copy(update={"arms": (study.arms[0], arm)})
    assert [o.state for o in read_outcomes(study, w.plan, w.store)["b"]][:2] == ["stale", "done"]


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.01, "1 point"),
        (0.005, "0.5 points"),
        (0.034, "3.4 points"),
        (0.1, "10 points"),
        (0.0042, "0.42 points"),
    ],
)
def test_points_are_spelled_for_reading(fraction: float, text: str):
    assert points(fraction) == text
