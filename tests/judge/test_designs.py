"""Screens and ladders, and claims about factors: worked by hand from the stored predictions."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from bench import stats
from bench.judge.declared import LATE, declare, late_keys, scored, write_declared
from bench.judge.family import family_keys, hypotheses
from bench.judge.looks import progress, scored_pairs
from bench.report import build, files, markdown
from bench.study import effects, screens
from bench.study.read import Claim, Study

EFFECTS = {"a": 0.9, "b": 0.0, "c": -0.7, "d": 0.05, "e": 0.0, "f": 0.3, "g": 0.0}


def screen(make_world, factors: int = 4, resolution: int = 4, **fields):
    """A finished world of the smallest screen; each factor adds its effect to an arm's skill."""
    w = make_world(**fields)
    w.levels, names = {}, list(EFFECTS)[:factors]
    for number, run in enumerate(screens.runs(factors, resolution)):
        levels = {name: "on" if on else "off" for name, on in zip(names, run, strict=True)}
        label = " + ".join(name for name, level in levels.items() if level == "on") or "none"
        skill = 1.0 + sum(EFFECTS[name] for name, level in levels.items() if level == "on") + number / 1e4
        w.arm(label, skill, [f"flip{number}"] if number else [])
        w.levels[label] = levels
    w.extra = {"design": "screen"}
    return w


def ladder(make_world, skills=(1.0, 1.9, 1.9001, 0.9), **fields):
    w = make_world(**fields)
    for number, skill in enumerate(skills):
        w.arm(f"rung {number}", skill, [f"flip{i}" for i in range(number)])
    w.extra = {"design": "ladder"}
    return w


def study_of(w) -> Study:
    study = w.study
    levels = getattr(w, "levels", {})
    arms = tuple(arm.model_copy(update={"levels": levels.get(arm.label, {})}) for arm in study.arms)
    return study.model_copy(update={"arms": arms})


def document_of(w):
    return build(study_of(w), w.plan, w.store)


def right(w, arm, where="heavy") -> np.ndarray:
    """(S, N): which images each seed answers rightly, in the order of their ids."""
    rows = []
    for seed in w.seeds:
        said = w.store.predictions(w.id(arm, seed))[w.keys()[where]]
        rows.append((said.probabilities.argmax(axis=1) == said.labels)[np.argsort(said.ids)].astype(float))
    return np.array(rows)


def halves(w, column: Callable[[dict[str, str]], bool], where="heavy") -> np.ndarray:
    """(S, N): mean of the arms with a column at 1 less the mean of the others."""
    arms = {on: [arm for arm in w.levels if column(w.levels[arm]) == on] for on in (True, False)}
    means = {on: np.mean([right(w, arm, where) for arm in of], axis=0) for on, of in arms.items()}
    return means[True] - means[False]


def same(effect, rows) -> None:
    """Mean and interval; verdicts may rest on a shared variance, which widens it only."""
    interval = stats.two_way(rows)
    assert effect.mean == pytest.approx(interval.mean)
    assert effect.low <= interval.low + 1e-12
    assert effect.high >= interval.high - 1e-12


def test_a_main_effect_is_the_half_of_all_arms_that_have_it_against_the_other_half(make_world):
    w = screen(make_world)
    w.finish_all()
    document = document_of(w)
    found = {finding.arm: finding for finding in document.findings}
    assert set(found) == {f"with {name}" for name in "abcd"}
    for name in "abcd":
        same(found[f"with {name}"].effect, halves(w, lambda levels, n=name: levels[n] == "on"))
    assert found["with a"].verdict.startswith("helps")
    assert found["with c"].verdict == "harmful"
    assert [finding.arm for finding in document.findings][:2] == ["with a", "with c"], "largest first"
    assert document.rules.family == 4
    assert all(arm.finding is None for arm in document.arms), "single arms are not what a screen compares"


def test_interactions_that_are_one_number_are_one_row_with_its_aliases(make_world):
    w = screen(make_world)
    w.finish_all()
    effects_ = document_of(w).factor_effects
    pairs = [tuple(factor for factor, _, _ in e.levels) for e in effects_ if len(e.levels) == 2]
    assert pairs == [("a", "b"), ("a", "c"), ("a", "d")]
    first = next(e for e in effects_ if len(e.levels) == 2)
    assert [(share, effects.name(levels)) for share, levels in first.aliases] == [(1.0, "c × d")]
    # the effect of a with b less its effect without; half of that is one half of the arms against the other
    same(first.effect, 2 * halves(w, lambda levels: levels["a"] == levels["b"]))


def test_the_report_of_a_screen_says_what_it_estimates_and_what_it_saved(make_world):
    w = screen(make_world)
    w.finish_all()
    text = markdown(document_of(w))
    assert "averaged over the other factors, not the one at the baseline" in text
    assert "Main effects are clear of interactions of two; these are aliased with one another" in text
    # 4σ²/(8·5) = 2σ²/S′
    assert "one factor at a time would take 20 seeds, 100 trials, for intervals as narrow as these 40" in text
    assert "| a on against off × b on against off |" in text
    assert "| c × d |" in text
    assert "**with a: helps" in text
    assert "against without a" in text
    assert "Would it help again?" not in text, "a mean over arms is of no single run"


def test_at_resolution_three_each_effect_names_what_it_cannot_be_told_from(make_world):
    w = screen(make_world, factors=7, resolution=3, seeds=(0, 1, 2), images=60)
    w.finish_all()
    document = document_of(w)
    assert len(document.factor_effects) == 7, "every interaction is one of the main effects"
    assert all(len(effect.aliases) == 3 for effect in document.factor_effects)
    text = markdown(document)
    assert "A main effect also holds interactions of two others" in text
    assert "−½ a × b" in text


def test_a_twelve_arm_screen_holds_a_part_of_every_interaction(make_world):
    w = screen(make_world, factors=7, resolution=3, seeds=(0, 1, 2), images=40)
    w.skills, w.recipes = {}, {}
    names = "abcdefgh"
    w.levels = {}
    for number, run in enumerate(screens.runs(8, 3)):
        label = " + ".join(n for n, on in zip(names, run, strict=True) if on) or "none"
        w.arm(label, 1 + number / 10, [f"flip{number}"] if number else [])
        w.levels[label] = {n: "on" if on else "off" for n, on in zip(names, run, strict=True)}
    w.finish_all()
    text = markdown(document_of(w))
    assert "also holds a part of interactions of two others" in text
    assert "⅙ of each of 21 interactions of two others, with either sign" in text


def test_a_seed_that_diverged_in_one_arm_leaves_every_effect_to_the_others(make_world):
    w = screen(make_world)
    w.finish_all()
    w.diverge("a + b", 2)
    found = {finding.arm: finding for finding in document_of(w).findings}
    assert found["with d"].verdict == "unstable (of the reference 1/5)"
    assert found["with b"].seeds == 4
    assert found["with b"].if_converges
    w.finish("a + b", 2)
    rows = halves(w, lambda levels: levels["b"] == "on")
    assert found["with b"].effect.mean == pytest.approx(np.delete(rows, 2, axis=0).mean())


def test_an_arm_that_fails_by_itself_leaves_no_effect_with_a_verdict(make_world):
    w = screen(make_world)
    w.finish_all()
    w.fail("a + b", 1, "oom", "CUDA out of memory")
    for finding in document_of(w).findings:
        assert (finding.verdict, finding.effect) == ("no verdict", None)
        assert finding.detail == "1 of 5 seeds of a + b failed (oom)"


def test_some_seeds_that_learned_little_leave_no_verdict_on_any_effect(make_world):
    w = screen(make_world)
    w.finish_all()
    w.little("c + d", 1)
    found = {finding.arm: finding.verdict for finding in document_of(w).findings}
    assert found["with c"] == "unstable (1/5 little learned)"
    assert found["with a"] == "unstable (of the reference 1/5 little learned)"


def claim(better: str, than: str, **fields) -> Claim:
    return Claim(
        **({"says": better, "better": (better,), "than": (than,), "metric": "heavy.accuracy"} | fields)
    )


def test_claims_about_factors_join_the_family_and_their_mirror_is_the_same_hypothesis(make_world):
    w = screen(make_world)
    w.claims = (
        claim("with a", "without a"),
        claim("without c", "with c"),
        claim("with a", "without a", metric="local.accuracy"),
        claim("a × b", effects.SUM, expect="no difference"),
        claim("with b", "without b", metric="gap.heavy"),
        claim("without b", "with b", metric="cost.epochs"),
    )
    w.finish_all()
    study = study_of(w)
    keys = hypotheses(family_keys(study))
    assert len(keys) == 4 + 4
    assert ("without c", "with c", "heavy.accuracy") not in keys
    document = document_of(w)
    assert document.rules.family == 8
    assert [claim.outcome for claim in document.claims][:3] == ["supported"] * 3
    mirrored = document.claims[1].pairs[0]
    same(mirrored.effect, -halves(w, lambda levels: levels["c"] == "on"))
    assert mirrored.verdict.startswith("helps")
    same(document.claims[2].pairs[0].effect, halves(w, lambda levels: levels["a"] == "on", "test"))
    gap = document.claims[4].pairs[0].effect
    local, heavy = (halves(w, lambda levels: levels["b"] == "on", where) for where in ("test", "heavy"))
    assert gap.mean == pytest.approx(local.mean() - heavy.mean())
    assert document.claims[5].pairs[0].effect.mean == pytest.approx(1.0), "as many epochs"


def test_a_claim_about_factors_of_a_grid_has_a_verdict_in_every_format(make_world):
    w = make_world()
    w.levels = {}
    for a, b in itertools.product(("off", "on"), repeat=2):
        label = " + ".join(name for name, level in (("a", a), ("b", b)) if level == "on") or "none"
        w.arm(
            label, 1.0 + 0.8 * (a == "on") + 0.1 * (b == "on"), [f"flip{len(w.skills)}"] if w.skills else []
        )
        w.levels[label] = {"a": a, "b": b}
    w.extra = {"design": "grid"}
    w.finish_all()
    plain = document_of(w)
    assert "| verdict | over" not in markdown(plain), "nothing of factors is declared"
    w.claims = (claim("with a", "without a"), claim("a × b", effects.SUM, expect="no difference"))
    document = document_of(w)
    assert document.rules.family == plain.rules.family + 2
    assert [e.finding is not None for e in document.factor_effects] == [True, False, True]
    same(
        document.factor_effects[0].effect,
        (right(w, "a + b") - right(w, "b") + right(w, "a") - right(w, "none")) / 2,
    )
    made = files(study_of(w), w.plan, w.store, ("md", "csv", "tex", "html"), document=document)
    assert "with a: helps" in made["report.md"]
    for name in ("report.html", "tables/factors.csv", "tables/factors.tex", "tables/claims.csv"):
        assert "helps" in made[name], name


def test_an_effect_that_came_after_the_scores_has_no_verdict(make_world):
    w = screen(make_world)
    w.finish_all()
    declared = declare(study_of(w))
    write_declared(declared, w.store)
    w.claims = (claim("a × b", effects.SUM),)
    assert late_keys(declared, study_of(w)) == [("a × b", effects.SUM, "heavy.accuracy")]
    document = document_of(w)
    assert document.rules.family == 4
    assert document.claims[0].outcome == LATE
    assert document.claims[0].pairs[0].verdict == LATE
    assert document.claims[0].pairs[0].effect is not None


def test_an_effect_has_scores_once_an_arm_on_each_side_has(make_world):
    w = screen(make_world, seeds=(0, 1), images=20)
    study, keys = study_of(w), [("with a", "without a", "heavy.accuracy")]
    w.finish("none", 0)
    w.finish("a + b", 1)
    assert scored(keys, study, w.plan, w.store) == []
    w.finish("a + b", 0)
    assert scored(keys, study, w.plan, w.store) == keys


def test_an_effect_of_a_factor_that_is_gone_is_not_judged(make_world):
    w = screen(make_world)
    w.finish_all()
    declared = declare(study_of(w))
    write_declared(declared, w.store)
    for levels in w.levels.values():
        levels["z"] = levels.pop("d")
    document = document_of(w)
    removed = {finding.arm: finding for finding in document.promise.removed}
    assert removed["with d"].verdict == "not judged"
    assert {f.arm: f.verdict for f in document.findings}["with z"] == LATE


def test_a_ladder_compares_each_rung_with_the_one_below_and_with_the_first(make_world):
    w = ladder(make_world)
    w.finish_all()
    document = document_of(w)
    assert family_keys(study_of(w)) == [
        ("rung 1", "rung 0", "heavy.accuracy"),
        ("rung 2", "rung 0", "heavy.accuracy"),
        ("rung 3", "rung 0", "heavy.accuracy"),
        ("rung 2", "rung 1", "heavy.accuracy"),
        ("rung 3", "rung 2", "heavy.accuracy"),
    ]
    assert document.rules.family == 5
    assert [arm.label for arm in document.arms] == [f"rung {i}" for i in range(4)]
    for below, rung in itertools.pairwise(document.ladder):
        same(rung.step.effect, right(w, rung.arm) - right(w, below.arm))
        same(rung.whole.effect, right(w, rung.arm) - right(w, "rung 0"))
    assert [(f.arm, f.reference) for f in document.findings] == [
        ("rung 1", "rung 0"),
        ("rung 2", "rung 1"),
        ("rung 3", "rung 2"),
        ("rung 3", "rung 0"),
    ]
    assert document.ladder[0].step is document.ladder[0].whole is None
    assert document.ladder[2].adds == "augment + flip1(p = 0.5)"
    assert document.ladder[1].step.verdict.startswith("helps")
    assert document.ladder[3].step.verdict == "harmful"


def test_the_figure_of_a_ladder_says_each_step(make_world):
    w = ladder(make_world)
    w.finish_all()
    document = document_of(w)
    made = files(study_of(w), w.plan, w.store, ("md", "html", "svg"), document=document)
    figure = made["figures/ladder.svg"]
    for rung in document.ladder[1:]:
        assert f"{rung.arm}: " in figure
    assert "Step by step on heavy.accuracy" in made["report.html"]
    assert "| rung 2 | augment + flip1(p = 0.5) |" in made["report.md"]
    assert 'id="figure-effects"' in made["report.html"], "every rung against the first"


def test_a_screen_has_its_effects_figure_over_all_arms(make_world):
    w = screen(make_world)
    w.finish_all()
    made = files(study_of(w), w.plan, w.store, ("html",))
    assert "with a</strong>" in made["report.html"]
    assert "of each factor over all arms" in made["figures/effects.svg"]
    assert "with a" in made["figures/effects.svg"]
    assert "figures/ladder.svg" not in made


@pytest.mark.parametrize("make", [screen, ladder])
def test_a_design_that_has_not_run_has_a_report(make_world, make):
    w = make(make_world)
    assert "not run yet" in markdown(document_of(w))


def test_a_factor_that_is_not_decided_asks_for_further_seeds_of_every_arm(make_world):
    w = screen(make_world, seeds=tuple(range(40)), images=60)
    study = study_of(w)
    plan = w.plan.model_copy(update={"looks": (5, 40)})
    for label in w.levels:
        for seed in range(5):
            w.finish(label, seed)
    race = progress(study, plan, w.store)
    assert race.looked == 1
    found = {f.arm: f for f in build(study, plan, w.store).findings}
    assert found["with a"].verdict.startswith("helps")
    assert set(race.wanted.values()) == {40}
    assert race.stopped == dict.fromkeys(set(w.levels) - {"none"})
    assert scored_pairs(study, plan, w.store) == [(f"with {n}", f"without {n}") for n in "abcd"]


def test_contrasts_of_a_screen_lend_each_other_what_they_know_of_noise(make_world):
    w = screen(make_world, seeds=(0, 1, 2))
    w.finish_all()
    found = {finding.arm: finding.rests for finding in document_of(w).findings}
    columns = [lambda levels, n=n: levels[n] == "on" for n in "abcd"]
    columns += [lambda levels, n=n: levels["a"] == levels[n] for n in "bcd"]
    every = stats.moderate([stats.two_way(halves(w, column)) for column in columns], orthogonal=True)
    for name, interval in zip("abcd", every, strict=False):
        deciding = interval.deciding
        assert found[f"with {name}"].freedom == pytest.approx(deciding.freedom_of_seeds)
        assert found[f"with {name}"].p == pytest.approx(deciding.p(0))
    assert max(rests.freedom for rests in found.values()) > 2, "some are quieter than the others"


def test_a_screen_of_folds_says_nothing_of_seeds(make_world):
    w = screen(make_world, seeds=(0,), folds=3, images=60)
    w.finish_all()
    text = markdown(document_of(w))
    assert "on folds finished in all arms" in text
    assert "one factor at a time" not in text
