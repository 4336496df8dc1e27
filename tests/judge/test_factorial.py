"""Grids, add-and-remove studies, ensembles: worked by hand from the stored predictions."""

import numpy as np
import pytest

from bench import stats
from bench.judge.family import family_keys
from bench.report import build, markdown
from bench.study.read import Ensemble

SKILLS = {("off", "off"): 1.0, ("on", "off"): 1.4, ("off", "on"): 1.3, ("on", "on"): 1.9}


def _world(make_world, cells, design, **fields):
    """An arm per cell; a cell is (level of a, level of b, …)."""
    w = make_world(**fields)
    for number, (levels, skill) in enumerate(cells.items()):
        # flip_p tells the recipes apart
        w.arm(_label(levels), skill, [f"flip{number}"] if number else [])
    w.finish_all()
    w.levels = {_label(levels): dict(zip("abc", levels, strict=False)) for levels in cells}
    w.extra = {"design": design}
    return w


def _label(levels) -> str:
    return " + ".join(name for name, level in zip("abc", levels, strict=False) if level == "on") or "none"


def _study(w):
    study = w.study
    arms = tuple(arm.model_copy(update={"levels": w.levels[arm.label]}) for arm in study.arms)
    return study.model_copy(update={"arms": arms})


def _right(w, arm) -> np.ndarray:
    """(S, N) on the hidden set, images in the order of their ids."""
    rows = []
    for seed in w.seeds:
        said = w.store.predictions(w.id(arm, seed))[w.keys()["heavy"]]
        right = (said.probabilities.argmax(axis=1) == said.labels).astype(float)
        ids = np.unique(said.ids)
        rows.append([right[said.ids == id].mean() for id in ids])
    return np.array(rows)


def _same(effect, rows) -> None:
    interval = stats.two_way(rows)
    expected = (interval.mean, interval.low, interval.high)
    assert (effect.mean, effect.low, effect.high) == pytest.approx(expected)


def test_main_effects_and_the_interaction_of_a_grid(make_world):
    w = _world(make_world, SKILLS, "grid")
    document = build(_study(w), w.plan, w.store)
    none, a, b, both = (_right(w, name) for name in ("none", "a", "b", "a + b"))
    found = {effect.levels: effect for effect in document.factor_effects}
    assert list(found) == [
        (("a", "on", "off"),),
        (("b", "on", "off"),),
        (("a", "on", "off"), ("b", "on", "off")),
    ]
    first, second, together = found.values()
    _same(first.effect, ((both - b) + (a - none)) / 2)
    _same(second.effect, ((both - a) + (b - none)) / 2)
    _same(together.effect, (both - b) - (a - none))
    assert [(e.cells, e.blocks, e.seeds) for e in found.values()] == [(4, 2, 5), (4, 2, 5), (4, 1, 5)]
    assert "| a on against off × b on against off |" in markdown(document)


def test_an_excluded_cell_takes_its_partner_with_it(make_world):
    cells = {key: skill for key, skill in SKILLS.items() if key != ("off", "on")}
    w = _world(make_world, cells, "grid")
    found = build(_study(w), w.plan, w.store).factor_effects
    assert [effect.levels for effect in found] == [(("a", "on", "off"),), (("b", "on", "off"),)]
    none, a, both = (_right(w, name) for name in ("none", "a", "a + b"))
    _same(found[0].effect, a - none)
    _same(found[1].effect, both - a)


def test_only_seeds_finished_in_every_cell_count(make_world):
    w = _world(make_world, SKILLS, "grid")
    w.diverge("a + b", w.seeds[1])
    effect = build(_study(w), w.plan, w.store).factor_effects[0]
    assert effect.seeds == len(w.seeds) - 1
    none, a, b = (_right(w, name) for name in ("none", "a", "b"))
    w.finish("a + b", w.seeds[1])
    difference = ((_right(w, "a + b") - b) + (a - none)) / 2
    _same(effect.effect, np.delete(difference, 1, axis=0))


def test_what_is_added_and_what_is_removed_are_one_family(make_world):
    cells = {
        ("off", "off", "off"): 1.0,
        ("on", "off", "off"): 1.5,
        ("off", "on", "off"): 1.2,
        ("off", "off", "on"): 1.01,
        ("on", "on", "on"): 2.0,
        ("off", "on", "on"): 1.3,
        ("on", "off", "on"): 1.9,
        ("on", "on", "off"): 2.01,
    }
    w = _world(make_world, cells, "add-and-remove")
    study = _study(w)
    assert family_keys(study) == [
        ("a", "none", "heavy.accuracy"),
        ("b", "none", "heavy.accuracy"),
        ("c", "none", "heavy.accuracy"),
        ("a + b + c", "none", "heavy.accuracy"),
        ("b + c", "a + b + c", "heavy.accuracy"),
        ("a + c", "a + b + c", "heavy.accuracy"),
        ("a + b", "a + b + c", "heavy.accuracy"),
    ]
    document = build(study, w.plan, w.store)
    first = document.ingredients[0]
    assert (first.factor, first.level) == ("a", "on")
    assert first.added is not None
    assert first.removed is not None
    _same(first.added.effect, _right(w, "a") - _right(w, "none"))
    _same(first.removed.effect, _right(w, "b + c") - _right(w, "a + b + c"))
    assert document.rules.family == 7
    assert "| a on |" in markdown(document)


def test_of_two_factors_an_arm_is_an_addition_and_a_removal(make_world):
    w = _world(make_world, SKILLS, "add-and-remove")
    assert [key[:2] for key in family_keys(_study(w))] == [
        ("a", "none"),
        ("b", "none"),
        ("a + b", "none"),
        ("a", "a + b"),
        ("b", "a + b"),
    ]
    ingredients = build(_study(w), w.plan, w.store).ingredients
    assert [(i.factor, i.added.arm, i.removed.arm) for i in ingredients] == [("a", "a", "b"), ("b", "b", "a")]


def test_other_designs_have_neither(make_world):
    w = _world(make_world, SKILLS, "one-at-a-time")
    document = build(_study(w), w.plan, w.store)
    assert (document.factor_effects, document.ingredients) == ((), ())


def test_an_ensemble_averages_what_its_seeds_say(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all(but=[("b", 2)])
    w.diverge("b", 2)
    w.extra = {"ensembles": {"b-x": Ensemble(arm="b")}}
    document = build(w.study, w.plan, w.store)
    (row,) = document.ensembles
    said = [w.store.predictions(w.id("b", s))[w.keys()["heavy"]] for s in w.seeds if s != 2]
    mean = sum(p.probabilities.astype(float) for p in said) / len(said)
    assert row.seeds == len(said) == 4
    assert row.scores[1] == pytest.approx((mean.argmax(1) == said[0].labels).mean())
    alone = [(p.probabilities.argmax(1) == p.labels).mean() for p in said]
    assert row.members[1].mean == pytest.approx(np.mean(alone))
    assert (row.members[1].seeds, row.members[1].planned) == (4, 5)
    assert f"| b-x | b | 4 | {100 * row.scores[0]:.1f} |" in markdown(document)


def test_a_torn_file_of_predictions_leaves_an_ensemble_of_the_others(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    w.extra = {"ensembles": {"b-x": Ensemble(arm="b")}}
    file = w.store.trial_dir(w.id("b", w.seeds[0])) / "predictions.npz"
    file.write_bytes(file.read_bytes()[:500])
    (row,) = build(w.study, w.plan, w.store).ensembles
    assert row.seeds == len(w.seeds) - 1
    assert None not in row.scores
    w.before_checksums("b", w.seeds[0])  # then nobody knows before the file is opened
    assert build(w.study, w.plan, w.store).ensembles[0].scores == (None, None)
