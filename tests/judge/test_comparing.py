"""Two studies side by side: what is the same set, whose arms pair, what differs between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import HIDDEN, machine_in, write_study
from worlds import World

from bench.commands.compare import side_by_side
from bench.errors import UserError
from bench.judge.comparing import Side, compare
from bench.planned import PlanFile
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study

MAKE = Callable[..., World]


@pytest.fixture
def two(make_world: MAKE) -> tuple[World, World]:
    """One results folder; ``b`` of the first has the skill of the second's ``a``."""
    first = make_world(seeds=(0, 1, 2))
    for name, skill in {"a": 0.5, "b": 1.5, "c": 1.0}.items():
        first.arm(name, skill)
    second = World(first.store, (0, 1, 2))
    second.arm("a", 1.5, ["flip"])
    second.arm("b", 1.5)
    for w in (first, second):
        w.finish_all()
    return first, second


def side(w: World, arm: str = "", plan: PlanFile | None = None) -> Side:
    return Side(w.study, plan or w.plan, arm)


def test_arms_of_one_name_pair_on_the_sets_that_both_scored(two: tuple[World, World]):
    first, second = two
    found = compare(side(first), side(second), first.store)
    assert {(p.arms, p.sets) for p in found.pairs} == {
        ((arm, arm), (of, of)) for arm in "ab" for of in ("local", "heavy")
    }
    a = next(p for p in found.pairs if p.arms[0] == "a" and p.sets[0] == "heavy")
    means = [
        np.mean([w.store.read(w.id("a", s)).scores["b" * 64]["accuracy"] for s in w.seeds])  # type: ignore[union-attr]
        for w in two
    ]
    assert a.effect is not None
    assert a.effect.mean == pytest.approx(means[1] - means[0])
    assert (a.effect.low > 0, a.seeds, a.same) == (True, 3, False)
    assert all(p.same for p in found.pairs if p.arms[0] == "b"), "the very same trials"
    assert found.alone == (("c",), ())
    assert found.drawn_alike
    (change,) = found.further["a", "a"]
    assert change[0] == "augment"
    assert found.everywhere == ()


def test_an_arm_may_be_named_and_sets_are_told_by_their_images(two: tuple[World, World]):
    first, second = two
    plan = second.plan
    other = [
        arm.model_copy(
            update={
                "trials": tuple(
                    t.model_copy(update={"sets": {"test": "f" * 64, "other": t.sets["heavy"]}})
                    for t in arm.trials
                )
            }
        )
        for arm in plan.arms
    ]
    renamed = plan.model_copy(update={"arms": tuple(other), "data_fingerprint": "d" * 64})
    found = compare(side(first, "c"), side(second, "a", renamed), first.store)
    assert {(p.arms, p.sets) for p in found.pairs} == {(("c", "a"), ("heavy", "other"))}
    assert found.apart == (("local",), ("local",))
    assert not found.drawn_alike
    assert found.alone == ((), ())


def test_the_command_puts_two_studies_side_by_side(tmp_path: Path):
    machine = machine_in(tmp_path)
    more = 'flips = { augment = ["flip"] }\nturns = { augment = ["rotate"] }'
    for name, arms in {"one": more, "two": 'flips = { augment = ["flip"], batch_size = 16 }'}.items():
        study = write_study(tmp_path, hidden=HIDDEN, name=name, arms=arms, seeds=2)
        run_study(study, machine, Options(), Terminal(quiet=True))
    text = side_by_side("one", str(tmp_path / "two.toml"), machine, as_json=False)
    assert "the same trials" in text
    assert "  flips: batch_size = 32 → 16" in text
    assert "one alone has the arms turns." in text
    assert "no verdict" in text
    data = json.loads(side_by_side("one/turns", "two/flips", machine, as_json=True))
    assert {tuple(pair["arms"]) for pair in data["pairs"]} == {("turns", "flips")}
    with pytest.raises(UserError, match=r'no arm .*did you mean "turns"'):
        side_by_side("one/turn", "two", machine, as_json=False)
    with pytest.raises(UserError, match=r'holds no study .*did you mean "one"'):
        side_by_side("onee", "two", machine, as_json=False)
    far = write_study(tmp_path, name="far", seeds=1)
    far.write_text(far.read_text("utf-8").replace("n_images = 120", "n_images = 160"), "utf-8")
    run_study(far, machine, Options(), Terminal(quiet=True))
    with pytest.raises(UserError, match="no set of the same images: local, other-lab; local"):
        side_by_side("one", "far", machine, as_json=False)
