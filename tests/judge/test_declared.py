"""What was declared when: later claims change no verdict, mirrored ones are one hypothesis."""

import pytest

from bench.errors import UserError
from bench.judge.declared import FILE, LATE, declare, read_declared, scored, write_declared
from bench.judge.family import family_keys, hypotheses, mirror
from bench.report import build, markdown
from bench.report.page import page
from bench.run import declaring
from bench.study.file import Delta
from bench.study.read import Claim

MORE = tuple(
    Claim(says=f"{better} leads {than} at home", better=(better,), than=(than,), metric="local.accuracy")
    for better, than in (("c", "b"), ("c", "base"), ("b", "base"))
)


@pytest.fixture
def world(make_world):
    """An arm that is harmful, but would not be in a family of five."""
    w = make_world(images=150)
    w.arm("base", 1.0)
    w.arm("b", 0.86, ["flip"])
    w.arm("c", 1.01, ["blur"])
    w.finish_all()
    return w


def _build(w):
    return build(w.study, w.plan, w.store)


def _told(document):
    """Arm → (verdict, dagger, effect), on the primary metric."""
    return {f.arm: (f.verdict, f.dagger, f.effect) for f in document.findings}


def _declare(w):
    write_declared(declare(w.study), w.store)


# -- what came later ---------------------------------------------------------------------------------------


def test_a_claim_made_after_the_scores_changes_no_verdict(world):
    before = _told(_build(world))
    assert before["b"][:2] == ("harmful", False)
    world.claims = MORE
    assert _told(_build(world))["b"][:2] == ("inconclusive", True), "had it been declared with the others"
    world.claims = ()
    _declare(world)
    world.claims = MORE
    document = _build(world)
    assert (_told(document), document.rules.family) == (before, 2)
    assert {claim.outcome for claim in document.claims} == {LATE}
    assert {(f.verdict, f.detail) for claim in document.claims for f in claim.pairs} == {(LATE, "")}
    assert all(f.effect is not None for claim in document.claims for f in claim.pairs), "they are shown"
    text = markdown(document)
    assert "- **declared after scores** — c leads b at home" in text
    assert "- claim declared after scores: c leads b at home" in text
    assert text.count("harmful") == 3, "the finding, its row, and the word explained"


def test_a_claim_that_is_taken_back_stays_in_the_family(world):
    world.claims = MORE
    _declare(world)
    before = _build(world)
    assert _told(before)["b"][:2] == ("inconclusive", True)
    world.claims = ()
    after = _build(world)
    assert (_told(after), after.rules.family) == (_told(before), 5)
    assert after.promise.claims == before.claims
    assert [f.arm for f in after.promise.removed] == ["c", "c", "b"]
    for text in (markdown(after), page(after, ())):
        assert "claim no longer made: c leads b at home" in text
        assert "no longer asked for: " in text


def test_the_declared_difference_that_matters_decides(world):
    world.extra["delta"] = Delta(hidden=1.0)
    _declare(world)
    before = _build(world)
    world.extra["delta"] = Delta(hidden=9.0)
    after = _build(world)
    assert _told(after) == _told(before)
    assert after.rules.delta_hidden == 1.0
    (line,) = after.promise.changes
    assert line == "δ (hidden sets): 1.0 was declared, and decides; the study says 9.0 now"


def test_another_deciding_metric_comes_too_late(world):
    _declare(world)
    before = _build(world)
    world.extra["primary"] = "local.accuracy"
    after = _build(world)
    assert {f.verdict for f in after.findings} == {LATE}
    assert {f.arm: (f.verdict, f.dagger, f.effect) for f in after.promise.removed} == _told(before)
    assert after.promise.changes == (
        "primary: heavy.accuracy was declared; the study says local.accuracy now",
    )


def test_an_arm_that_is_gone_is_counted_and_told(world):
    world.claims = MORE[:1]
    _declare(world)
    family = _build(world).rules.family
    for of in (world.skills, world.recipes):
        del of["c"]
    world.claims = ()
    after = _build(world)
    assert after.rules.family == family == 3
    assert [(f.verdict, f.detail) for f in after.promise.removed] == [
        ("not judged", "not judged: c is no longer in the study")
    ] * 2
    assert "C is no longer in the study" not in markdown(after), "said as it is"


def test_an_arm_that_came_later_is_no_member(world):
    _declare(world)
    before = _told(_build(world))
    world.arm("late", 1.9, ["cutout"])
    for seed in world.seeds:
        world.finish("late", seed)
    after = _build(world)
    assert {arm: told for arm, told in _told(after).items() if arm != "late"} == before
    assert _told(after)["late"][0] == LATE


def test_a_hidden_set_that_means_something_else_is_another_one(world):
    _declare(world)
    changed = {"heavy": world.study.hidden["heavy"].model_copy(update={"images": 17})}
    world.extra["hidden"] = changed
    after = _build(world)
    assert {f.verdict for f in after.findings} == {LATE}
    assert after.rules.family == 2, "counted with p = 1"
    world.extra["primary"] = "local.accuracy"
    removed = _build(world).promise.removed
    assert {f.detail for f in removed} == {"not judged: heavy is not the set that was declared"}
    del world.extra["primary"]
    assert after.promise.changes == ("hidden set heavy: is defined otherwise now",)


def test_a_claim_may_be_worded_anew_and_is_told(world):
    world.claims = MORE[2:]
    _declare(world)
    before = _build(world).claims[0]
    world.claims = (MORE[2].model_copy(update={"says": "Flips help"}),)
    after = _build(world)
    assert (after.claims[0].outcome, after.claims[0].pairs) == (before.outcome, before.pairs)
    assert after.promise.changes == (f"claim worded anew: {before.says}",)
    world.claims = (MORE[2].model_copy(update={"expect": "no gain"}),)
    assert _build(world).claims[0].outcome == LATE, "it is another claim"


def test_looks_are_taken_at_what_was_declared(world):
    world.claims = MORE
    _declare(world)
    plan = world.plan.model_copy(update={"looks": (3, 5)})
    before = build(world.study, plan, world.store)
    world.claims = ()
    after = build(world.study, plan, world.store)
    assert (_told(after), after.rules.family) == (_told(before), 5)


# -- the file ----------------------------------------------------------------------------------------------


def test_the_first_score_freezes_the_file(make_world):
    w = make_world(images=20)
    w.arm("base", 1.0)
    w.arm("b", 1.5, ["flip"])
    folder = w.store.study_dir("tiny")
    declaring.keep(w.study, w.plan, w.store)
    w.finish("base", 0)
    w.claims = MORE[2:]
    assert declaring.keep(w.study, w.plan, w.store).claims == w.claims, "one arm alone compares nothing"
    w.finish("b", 0)
    frozen = (folder / FILE).read_bytes()
    w.claims = ()
    assert declaring.keep(w.study, w.plan, w.store).claims == MORE[2:]
    w.extra["seeds"] = (100, 101)
    assert (folder / FILE).read_bytes() == frozen
    assert read_declared(folder).scored == ()


def test_comparisons_that_another_study_has_scored_are_told(make_world):
    w = make_world(images=20)
    w.arm("base", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    key = ("b", "base", "heavy.accuracy")
    assert declaring.keep(w.study, w.plan, w.store).scored == (key,)
    assert "Other studies of this results folder had scored by then: b against base" in markdown(_build(w))


def test_only_what_was_scored_on_the_set_of_a_metric_counts(make_world):
    w = make_world(images=20, seeds=(0, 1))
    w.arm("base", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish("base", 0)
    w.finish("b", 1)
    keys = [("b", "base", "heavy.accuracy"), ("b", "base", "seed_sd")]
    assert scored(keys, w.study, w.plan, w.store) == [], "no seed has both"
    w.diverge("b", 0)
    assert scored(keys, w.study, w.plan, w.store) == keys
    w.keys = lambda fold=None: {"test": "a" * 64, "heavy": "d" * 64}
    w.finish("b", 0)
    assert scored(keys, w.study, w.plan, w.store) == keys[1:], "heavy is another set there"


def test_a_damaged_file_is_an_error_that_says_what_is_lost(world):
    _declare(world)
    folder = world.store.study_dir("tiny")
    (folder / FILE).write_text("{", "utf-8")
    with pytest.raises(UserError, match="cannot be made again"):
        _build(world)
    (folder / FILE).unlink()
    (folder / FILE).mkdir()
    with pytest.raises(UserError, match="is damaged"):
        read_declared(folder)
    assert read_declared(folder.parent / "nowhere") is None


def test_results_without_the_file_are_judged_as_the_study_says_and_it_is_told(world):
    text = markdown(_build(world))
    assert "What was declared before the first score is not known" in text
    _declare(world)
    assert "are those of `declared.json`, written" in markdown(_build(world))
    assert "before the first score." in markdown(_build(world), cost=False), "without the date"


# -- mirrored ----------------------------------------------------------------------------------------------


def test_a_mirrored_claim_is_the_same_hypothesis(world):
    plain = _build(world)
    world.claims = tuple(
        Claim(says=arm, better=("base",), than=(arm,), metric="heavy.accuracy") for arm in ("b", "c")
    )
    document = _build(world)
    assert len(family_keys(world.study)) == 4
    assert hypotheses(family_keys(world.study)) == [(arm, "base", "heavy.accuracy") for arm in ("b", "c")]
    assert (_told(document), document.rules.family) == (_told(plain), plain.rules.family)
    assert _told(document)["b"][:2] == ("harmful", False), "in a family of four it would be inconclusive"
    supported, open_ = document.claims
    assert (supported.outcome, open_.outcome) == ("supported", "inconclusive")
    (pair,) = supported.pairs
    assert (pair.verdict, pair.dagger) == ("helps", True), "above 0, and above δ by its interval alone"
    effect, turned = _told(document)["b"][2], pair.effect
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-effect.mean, -effect.high, -effect.low))
    assert mirror(mirror(("a", "b", "c"))) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("margin", "outcome"), [(1.0, "supported"), (30.0, "refuted"), (14.0, "inconclusive")]
)
def test_a_margin_is_the_same_from_either_side(make_world, margin, outcome):
    """The arm is ahead by some 14 points."""
    for baseline, other in ((("a", 1.0), ("b", 1.4)), (("b", 1.4), ("a", 1.0))):
        w = make_world(images=300)
        for label, skill in (baseline, other):
            w.arm(label, skill, [] if label == "a" else ["flip"])
        w.claims = (Claim(says="x", better=("b",), than=("a",), metric="heavy.accuracy", margin=margin),)
        w.finish_all()
        document = _build(w)
        assert document.rules.family == 1
        assert document.claims[0].outcome == outcome, document.claims[0].pairs[0].effect
