"""What reports say of screens and ladders is what their records say, by formulas of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from recomputation.check import check_csv
from recomputation.records import Study
from recomputation.tables import Tables
from worlds import World, fast_disk, make_world

from bench.report import write_report
from bench.study import screens
from bench.study.effects import SUM
from bench.study.read import Claim
from bench.study.read import Study as Study_

__all__ = ["fast_disk", "make_world"]


SCREEN = """question = "q"
design = "screen"
[hidden.heavy]
kind = "synthetic"
[factors]
augment.toggle = ["a", { name = "b", p = 0.5 }]
optimizer = ["adam", "lion"]
"loss.label_smoothing" = [0.0, 0.1]
[[claims]]
says = "A does more with B"
effect = ["augment.b", "augment.a"]
[[claims]]
says = "Lion closes the gap"
effect = "optimizer"
metric = "gap.heavy"
[[claims]]
says = "Smoothing changes nothing at home"
effect = "loss.label_smoothing"
metric = "local.accuracy"
expect = "no difference"
"""
LADDER = """question = "q"
design = "ladder"
[hidden.heavy]
kind = "synthetic"
[arms]
none = {}
a = { augment = [{ name = "x", p = 0.5 }] }
b = { augment = [{ name = "x", p = 0.5 }, { name = "y", p = 0.5 }] }
"""


def _screen(w: World) -> Study_:
    toggles = (("augment.a", "off", "on"), ("augment.b", "off", "on"), ("optimizer", "adam", "lion"))
    factors = (*toggles, ("loss.label_smoothing", "label_smoothing=0", "label_smoothing=0.1"))
    called = ("a", "b", "lion", "label_smoothing=0.1")
    levels = {}
    for number, run in enumerate(screens.runs(4)):
        label = " + ".join(name for name, on in zip(called, run, strict=True) if on) or "none"
        w.arm(label, 1.0 + 0.5 * run[0] - 0.4 * run[2] + number / 1e4, [f"x{number}"] if number else [])
        levels[label] = {name: both[on] for (name, *both), on in zip(factors, run, strict=True)}
    claimed = {"says": "", "metric": "heavy.accuracy"}
    w.claims = (
        Claim(**claimed | {"says": "A does more with B"}, better=("augment.a × augment.b",), than=(SUM,)),
        Claim(
            **claimed | {"says": "Lion closes the gap", "metric": "gap.heavy"},
            better=("with optimizer lion",),
            than=("with optimizer adam",),
        ),
        Claim(
            **claimed | {"says": "Smoothing changes nothing at home", "metric": "local.accuracy"},
            better=("with label_smoothing=0.1",),
            than=("with label_smoothing=0",),
            expect="no difference",
        ),
    )
    w.extra = {"design": "screen"}
    arms = tuple(arm.model_copy(update={"levels": levels[arm.label]}) for arm in w.study.arms)
    return w.study.model_copy(update={"arms": arms})


def _ladder(w: World) -> Study_:
    for label, skill, augment in (("none", 1.0, []), ("a", 1.6, ["x"]), ("b", 1.5, ["x", "y"])):
        w.arm(label, skill, augment)
    w.extra = {"design": "ladder"}
    return w.study


@pytest.mark.parametrize(
    ("written", "make", "names"),
    [
        (SCREEN, _screen, ("factors", "claims", "arms", "evidence")),
        (LADDER, _ladder, ("ladder", "arms", "evidence", "prediction")),
    ],
)
def test_screens_and_ladders_say_what_their_records_say(
    make_world: Callable[..., World], written: str, make: Callable[[World], Study_], names: tuple[str, ...]
) -> None:
    w = make_world(images=120)
    study = make(w)
    w.finish_all()
    root = w.store.root
    write_report(study, w.plan, w.store, formats=("md", "csv"))
    (root / "tiny" / "study.toml").write_text(written, "utf-8")
    (root / "tiny" / "plan.json").write_text(w.plan.model_dump_json(), "utf-8")
    tables = Tables(Study(root, "tiny"))
    for name in names:
        found = check_csv(root / "tiny" / "tables" / f"{name}.csv", getattr(tables, name))
        assert found.mismatched == [], name
        assert found.uncovered == [], name
        assert found.covered > 20
