"""Differences on sets that were not declared to decide: an interval alone is not enough to say something."""

import csv

import pytest

from bench import stats
from bench.judge.measure import Measure
from bench.report import build, markdown
from bench.report.spreadsheet import tables
from bench.study.read import Claim

LOCAL = Measure("score", "test")
ARMS = {"flip": 1.02, "blur": 1.1, "mixup": 1.2, "erase": 0.82, "noise": 1.16, "good": 1.9}
"""Two of them are told from the baseline by their own intervals alone."""


@pytest.fixture
def world(make_world):
    w = make_world()
    for label, skill in ({"none": 1.0} | ARMS).items():
        w.arm(label, skill, [label] if label != "none" else [])
    w.finish_all()
    return w


def _effects(w):
    return {arm.label: arm.effects["local"] for arm in build(w.study, w.plan, w.store).arms[1:]}


def _by_hand(w, labels):
    """Holm's adjusted p of each arm against the baseline on the local set."""
    from bench.judge.evidence import Evidence
    from bench.judge.family import wanted_scores
    from bench.judge.outcomes import read_outcomes

    evidence = Evidence(w.study, read_outcomes(w.study, w.plan, w.store), w.store, wanted_scores(w.study))
    p = [evidence.contrast(label, "none", LOCAL).test.p(0.0) for label in labels]
    return dict(zip(labels, stats.holm(p), strict=True))


def test_an_interval_that_holm_over_the_sets_arms_takes_back_has_a_dagger(world):
    adjusted = _by_hand(world, list(ARMS))
    effects = _effects(world)
    alone = {label for label, e in effects.items() if e.low > 0 or e.high < 0}
    assert {label for label, e in effects.items() if e.dagger} == {
        label for label in alone if adjusted[label] >= 0.05
    }
    assert {label for label, e in effects.items() if e.dagger}, "the world is to have one"
    assert "good" in alone
    assert not effects["good"].dagger


def test_the_dagger_stands_in_the_table_in_the_sentence_and_in_the_file(world):
    document = build(world.study, world.plan, world.store)
    marked = next(label for label, e in _effects(world).items() if e.dagger)
    text = markdown(document)
    (sentence,) = [line for line in text.splitlines() if line.startswith(f"- **{marked}:")]
    assert sentence.rpartition("Locally ")[2].endswith("]†.")
    (row,) = [line for line in text.splitlines() if line.startswith("| local |") and f"| {marked} |" in line]
    assert row.endswith("]† |")
    assert "Holm over the arms compared on the set" in text
    said = csv.DictReader(tables(document, cost=True)["scores"].splitlines())
    daggers = {row["arm"]: row["effect_dagger"] for row in said if row["set"] == "local"}
    assert (daggers[marked], daggers["good"], daggers["none"]) == ("yes", "no", "")


def test_where_nothing_is_taken_back_nothing_is_explained(make_world):
    w = make_world()
    w.arm("none", 1.0)
    w.arm("good", 2.4, ["flip"])
    w.finish_all()
    assert "over the arms compared" not in markdown(build(w.study, w.plan, w.store))


def test_what_was_declared_goes_by_its_verdict_not_by_its_set(world):
    marked = next(label for label, e in _effects(world).items() if e.dagger)
    world.claims = (Claim(says="It helps", better=(marked,), than=("none",), metric="local.accuracy"),)
    document = build(world.study, world.plan, world.store)
    (claim,) = document.claims
    told = claim.pairs[0].verdict != "inconclusive"
    assert _effects(world)[marked].dagger is not told


def test_a_pair_that_only_a_claim_compares_counts_in_the_set_too(world):
    before = _effects(world)
    world.claims = tuple(
        Claim(says=f"{a} beats {b}", better=(a,), than=(b,), metric="heavy.accuracy")
        for a, b in [("flip", "blur"), ("noise", "flip"), ("noise", "blur")]
    )
    after = _effects(world)
    assert {label for label, e in before.items() if e.dagger} <= {
        label for label, e in after.items() if e.dagger
    }
