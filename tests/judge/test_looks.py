"""--until decided: comparisons looked at several times, told again from records."""

import numpy as np
import pytest

from bench import stats
from bench.judge.looks import progress, scored_pairs
from bench.report import build, markdown
from bench.study.read import Claim

LOOKS = (5, 8, 12)


@pytest.fixture
def world(make_world):
    w = make_world(seeds=tuple(range(12)))
    w.arm("none", 1.0)
    w.arm("good", 2.4, ["flip"])
    w.arm("same", 1.02, ["blur"])
    return w


def _plan(w):
    return w.plan.model_copy(update={"looks": LOOKS})


def _finish(w, **seeds):
    for label, number in seeds.items():
        for seed in range(number):
            if w.store.read(w.id(label, seed)) is None:
                w.finish(label, seed)


def _rows(w, arm):
    rows = []
    for seed in range(5):
        said = w.store.predictions(w.id(arm, seed))[w.keys()["heavy"]]
        right = (said.probabilities.argmax(axis=1) == said.labels).astype(float)
        rows.append([right[said.ids == id].mean() for id in np.unique(said.ids)])
    return np.array(rows)


def test_nothing_is_looked_at_before_the_first_look_is_complete(world):
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 5, "good": 5, "same": 5}
    _finish(world, none=5, good=5, same=4)
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 5, "good": 5, "same": 5}
    assert "not looked at yet" in markdown(build(world.study, _plan(world), world.store)).lower()


def test_a_decided_arm_gets_no_further_seeds(world):
    _finish(world, none=5, good=5, same=5)
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 8, "good": 5, "same": 8}
    _finish(world, none=8, same=8)
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 12, "good": 5, "same": 12}
    _finish(world, none=12, same=12)
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 12, "good": 5, "same": 12}


def test_a_verdict_is_that_of_the_look_that_reached_it(world):
    _finish(world, none=12, good=5, same=12)
    document = build(world.study, _plan(world), world.store)
    good, same = document.findings
    assert (good.arm, good.verdict, good.seeds) == ("good", "helps, by more than 1 point", 5)
    interval = stats.two_way(_rows(world, "good") - _rows(world, "none"))
    assert good.effect.mean == pytest.approx(interval.mean)
    assert good.effect.high - good.effect.mean == pytest.approx(interval.half_width(0.01)), (
        "of the first look"
    )
    assert (same.arm, same.verdict, same.seeds) == ("same", "inconclusive", 12)
    assert "Looked at after 5, 8, 12 seeds, declared beforehand, at levels 0.01, 0.015, 0.025" in markdown(
        document
    )


def test_more_records_do_not_change_what_was_decided(world):
    """Another study may have trained the further seeds of a decided arm."""
    _finish(world, none=12, good=5, same=12)
    before = build(world.study, _plan(world), world.store).findings[0]
    _finish(world, good=12)
    after = build(world.study, _plan(world), world.store).findings[0]
    assert (after.verdict, after.effect, after.seeds) == (before.verdict, before.effect, before.seeds)


def test_a_pair_of_a_claim_keeps_both_its_arms_going(world):
    world.arm("other", 1.04, ["rotate"])
    world.claims = (Claim(says="x", better=("same",), than=("other",), metric="heavy.accuracy"),)
    _finish(world, none=5, good=5, same=5, other=5)
    wanted = progress(world.study, _plan(world), world.store).wanted
    assert (wanted["same"], wanted["other"], wanted["good"]) == (8, 8, 5)


def test_an_arm_that_fails_by_its_own_fault_is_not_trained_on(world):
    _finish(world, none=5, good=5)
    for seed in range(5):
        world.fail("same", seed, "oom", "too large")
    assert progress(world.study, _plan(world), world.store).wanted == {"none": 5, "good": 5, "same": 5}


def test_each_look_says_what_it_decided_and_the_end_what_stayed_open(world):
    _finish(world, none=5, good=5, same=5)
    first = progress(world.study, _plan(world), world.store)
    assert (first.looked, first.end) == (1, "")
    assert first.line(0) == "look 1 of 3 after 5 seeds: decided good; continue with same"
    _finish(world, none=12, same=12)
    last = progress(world.study, _plan(world), world.store)
    assert last.line(1) == "look 2 of 3 after 8 seeds: continue with same"
    assert last.line(2) == "look 3 of 3 after 12 seeds: undecided same"
    assert last.end == "undecided after 12 seeds: same"


def test_when_all_is_decided_further_looks_are_not_spoken_of(world):
    _finish(world, none=5, good=5)
    for seed in range(5):
        world.fail("same", seed, "oom", "too large")
    said = progress(world.study, _plan(world), world.store)
    assert [said.line(look) for look in range(said.looked)] == [
        "look 1 of 3 after 5 seeds: decided good; no verdict is possible of same",
        "",
        "",
    ]
    assert said.end == "all decided but same"


def test_a_comparison_counts_as_scored_when_both_arms_have_a_seed_in_common(world):
    plan = _plan(world)
    _finish(world, none=3)
    assert scored_pairs(world.study, plan, world.store) == []
    world.finish("good", 3)
    world.fail("same", 0, "oom", "too large")
    assert scored_pairs(world.study, plan, world.store) == [], "another seed, and a failure"
    world.finish("good", 2)
    assert scored_pairs(world.study, plan, world.store) == [("good", "none")]
