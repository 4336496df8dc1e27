"""Comparisons of one metric share what they know of noise; a baseline with further seeds; who races on."""

import csv
import io

import numpy as np
import pytest

from bench import stats
from bench.judge.declared import changes, declare
from bench.judge.evidence import Evidence
from bench.judge.family import wanted_scores
from bench.judge.looks import SequentialRulings, progress
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.judge.rulings import Rulings
from bench.planned import PlannedTrial
from bench.report import build, files, markdown
from bench.study.read import Claim

PRIMARY = Measure("score", "heavy")


@pytest.fixture
def five(make_world):
    """Four arms that do much the same, beside their baseline, and a claim from the other side."""
    w = make_world(images=120)
    w.arm("none", 1.0)
    for place, name in enumerate(("flip", "blur", "mixup", "cutmix")):
        w.arm(name, 1.03 + 0.02 * place, [name])
    w.claims = (Claim(says="none is better", better=("none",), than=("blur",), metric="heavy.accuracy"),)
    return w


def evidence_of(w, study=None, plan=None):
    study, plan = study or w.study, plan or w.plan
    return Evidence(study, read_outcomes(study, plan, w.store), w.store, wanted_scores(study))


def _tests(w):
    """Of each arm its own comparison and the moderated one."""
    evidence = evidence_of(w)
    own = [evidence.contrast(arm, "none", PRIMARY).test for arm in list(w.skills)[1:]]
    return own, stats.moderate(own)


def test_comparisons_on_one_metric_are_judged_by_the_noise_that_all_of_them_share(five):
    five.finish_all()
    rulings = Rulings(five.study, evidence_of(five))
    own, shared = _tests(five)
    assert any(one.shared for one in shared)
    for arm, mine, wanted in zip(list(five.skills)[1:], own, shared, strict=True):
        ruling = rulings.ruling((arm, "none", "heavy.accuracy"))
        assert ruling.contrast.test == wanted
        assert ruling.member.p(0) == wanted.p(0)
        effect = rulings.finding((arm, "none", "heavy.accuracy")).effect
        assert effect.high - effect.low >= 2 * mine.half_width() - 1e-12


def test_told_from_the_other_side_a_comparison_has_the_same_p_and_the_same_width(five):
    five.finish_all()
    rulings = Rulings(five.study, evidence_of(five))
    there = rulings.ruling(("blur", "none", "heavy.accuracy")).member.test
    back = rulings.ruling(("none", "blur", "heavy.accuracy")).member.test
    assert there.shared
    assert (back.p(0.01), back.half_width()) == (there.p(-0.01), there.half_width())


def test_what_diverged_or_cannot_be_tested_tells_the_others_nothing(five):
    five.finish_all(but=[("mixup", 0), ("cutmix", 1)])
    five.diverge("mixup", 0)
    five.fail("cutmix", 1, "oom")
    rulings = Rulings(five.study, evidence_of(five))
    own, _ = _tests(five)
    wanted = stats.moderate(own[:2])
    for arm, test in zip(("flip", "blur"), wanted, strict=True):
        assert rulings.ruling((arm, "none", "heavy.accuracy")).contrast.test == test
    assert rulings.ruling(("mixup", "none", "heavy.accuracy")).contrast.test.shared is None


def test_the_report_says_what_verdicts_rest_on(five):
    five.finish_all()
    made = files(five.study, five.plan, five.store, ("csv",))["tables/evidence.csv"]
    rows = {(row["arm"], row["reference"]): row for row in csv.DictReader(io.StringIO(made))}
    assert len(rows) == 5, "four arms, and one of them from the other side"
    own, shared = _tests(five)
    for arm, mine, test in zip(list(five.skills)[1:], own, shared, strict=True):
        row = rows[arm, "none"]
        assert float(row["sd"]) == pytest.approx((5 * mine.seed_variance) ** 0.5)
        assert float(row["deciding_sd"]) == pytest.approx((5 * test.deciding.seed_variance) ** 0.5)
        assert float(row["freedom"]) == pytest.approx(test.deciding.freedom_of_seeds)
        assert float(row["p"]) == pytest.approx(test.p(0))
        a, b = (_seeds(five, label) for label in ("none", arm))
        assert float(row["correlation"]) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert rows["none", "blur"]["p"] == rows["blur", "none"]["p"]
    assert "## What verdicts rest on" in markdown(build(five.study, five.plan, five.store))


def _seeds(w, arm, seeds=range(5)):
    key = w.keys()["heavy"]
    return np.array([w.store.read(w.id(arm, seed)).scores[key]["accuracy"] for seed in seeds])


def _with_further(w, number):
    """Study and plan whose baseline has further seeds."""
    further = tuple(range(5, 5 + number))
    study = w.study.model_copy(update={"further_seeds": further})
    plan, base = w.plan, w.study.baseline
    trials = tuple(PlannedTrial(id=w.id(base, s), seed=s, sets=w.keys()) for s in further)
    arms = [
        arm.model_copy(update={"trials": arm.trials + trials}) if arm.label == base else arm
        for arm in plan.arms
    ]
    return study, plan.model_copy(update={"arms": tuple(arms)})


def test_further_seeds_of_the_baseline_are_in_every_comparison_with_it(five):
    five.finish_all()
    study, plan = _with_further(five, 3)
    for seed in (5, 6, 7):
        five.finish("none", seed)
    evidence = evidence_of(five, study, plan)
    base = _seeds(five, "none", range(8))
    arms = {arm: _seeds(five, arm) for arm in list(five.skills)[1:]}
    slope = stats.slope([(base[:5], scores) for scores in arms.values()])
    for arm, scores in arms.items():
        found = evidence.contrast(arm, "none", PRIMARY)
        mean = scores.mean() - base.mean() - slope * (base[:5].mean() - base.mean())
        assert found.test.mean == pytest.approx(mean)
        assert found.test.seeds == 5
        assert 4 <= found.test.freedom_of_seeds <= 7
        assert found.of_pairs.mean == pytest.approx(scores.mean() - base[:5].mean())
        turned = evidence.contrast("none", arm, PRIMARY).test
        assert turned.mean == pytest.approx(-mean)
        assert turned.variance == pytest.approx(found.test.variance)
    assert "of the baseline also 5, 6, 7" in markdown(build(study, plan, five.store))


def test_without_its_further_seeds_a_baseline_is_paired_as_ever(five):
    five.finish_all()
    study, plan = _with_further(five, 3)
    own = evidence_of(five).contrast("flip", "none", PRIMARY)
    assert evidence_of(five, study, plan).contrast("flip", "none", PRIMARY) == own


def test_a_further_seed_that_diverged_counts_as_one_of_the_baseline(five):
    five.finish_all()
    study, plan = _with_further(five, 2)
    five.finish("none", 5)
    five.diverge("none", 6)
    found = evidence_of(five, study, plan).contrast("flip", "none", PRIMARY)
    assert (found.diverged, found.diverged_reference) == (0, 1)


def test_further_seeds_that_were_not_declared_decide_nothing(five):
    study, _ = _with_further(five, 3)
    said = list(changes(declare(five.study), study))
    assert said == ["further seeds of the baseline: none was declared; the study says (5, 6, 7) now"]


LOOKS = (5, 8, 12)


@pytest.fixture
def race(make_world):
    """One arm is ahead, one near δ, one hopelessly alike."""
    w = make_world(seeds=tuple(range(12)), images=60)
    w.arm("none", 1.0)
    w.arm("good", 2.4, ["flip"])
    w.arm("same", 1.0001, ["blur"])
    for arm in w.skills:
        for seed in range(5):
            w.finish(arm, seed)
    return w


def _plan(w):
    return w.plan.model_copy(update={"looks": LOOKS})


def test_an_arm_that_more_seeds_would_hardly_decide_asks_for_none(race, monkeypatch):
    monkeypatch.setattr(stats, "FUTILE", 1.0)
    said = progress(race.study, _plan(race), race.store)
    assert dict(said.wanted) == {"none": 5, "good": 5, "same": 5}
    assert said.line(0) == "look 1 of 3 after 5 seeds: decided good; 12 seeds would hardly decide same"
    assert said.end == "all decided but same"
    monkeypatch.setattr(stats, "FUTILE", 0.0)
    assert progress(race.study, _plan(race), race.store).wanted["same"] == 8


def test_it_is_looked_at_again_where_its_seeds_are_there_anyway(race, monkeypatch):
    monkeypatch.setattr(stats, "FUTILE", 1.0)
    for arm in ("none", "same"):
        for seed in range(5, 8):
            race.finish(arm, seed)
    rulings = SequentialRulings(race.study, evidence_of(race, plan=_plan(race)), LOOKS)
    same, good = (rulings.finding((arm, "none", "heavy.accuracy")) for arm in ("same", "good"))
    assert (same.seeds, good.seeds) == (8, 5)
    assert rulings.ruling(("same", "none", "heavy.accuracy")).level == 0.015


def test_an_effect_that_an_early_look_decided_is_also_told_drawn_back(race):
    good, same = build(race.study, _plan(race), race.store).findings
    assert 0 < good.shrunk.mean < good.effect.mean
    assert same.shrunk is None
    assert "Decided at an early look" in markdown(build(race.study, _plan(race), race.store))


def test_what_stopped_early_still_tells_the_others_of_noise(race, monkeypatch):
    monkeypatch.setattr(stats, "FUTILE", 0.0)
    for arm in ("none", "same"):
        for seed in range(5, 12):
            race.finish(arm, seed)
    evidence = evidence_of(race, plan=_plan(race))
    rulings = SequentialRulings(race.study, evidence, LOOKS)
    first = rulings.ruling(("good", "none", "heavy.accuracy")).contrast.test
    last = evidence.contrast("same", "none", PRIMARY).test
    assert first.seeds == 5
    wanted = stats.moderate([first, last])[1]
    assert rulings.ruling(("same", "none", "heavy.accuracy")).contrast.test == wanted


def test_a_plan_that_holds_no_further_seeds_of_an_arm_is_no_reason_to_look_at_it_again(race, monkeypatch):
    """What a report is made of: trials that no look asked for are not in the plan."""
    monkeypatch.setattr(stats, "FUTILE", 1.0)
    for seed in range(5, 8):
        race.finish("none", seed)
    kept = {"none": 8, "good": 5, "same": 5}
    plan = _plan(race)
    arms = tuple(arm.model_copy(update={"trials": arm.trials[: kept[arm.label]]}) for arm in plan.arms)
    plan = plan.model_copy(update={"arms": arms})
    rulings = SequentialRulings(race.study, evidence_of(race, plan=plan), LOOKS)
    assert rulings.ruling(("same", "none", "heavy.accuracy")).level == 0.01
