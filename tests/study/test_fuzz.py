"""Whatever a study file holds, the answer is a study or a UserError, never a traceback."""

import copy
import datetime
import os
import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studies import RECIPE, text

from bench.errors import UserError
from bench.plan import make_plan
from bench.study.read import Study, _Reader, parse
from bench.study.smoke import smoke
from bench.study.toml import refuse_monsters

MANY = 5000 if "DEEP" in os.environ else 500
"""``just deep`` mutates more studies."""

WHOLE = tomllib.loads(
    text(
        """
        [arms]
        none = {}
        flips = { augment = ["flip", { name = "randaugment", n = 2 }], data = { size_px = 64 } }
        deep = { "stages.1.train" = "top:3", optimizer = { name = "lion", lr = 1e-4 } }
        [hidden.heavy]
        kind = "corrupted"
        families = ["defocus", "noise", "jpeg"]
        severities = [1, 3]
        [hidden.other]
        kind = "external"
        source = "folder:@x"
        classes = { A = "b" }
        [val_shift]
        kind = "corrupted"
        families = ["motion", "gamma", "zoom"]
        [[claims]]
        says = "s"
        better = ["fl*"]
        than = "none"
        metric = "heavy.accuracy"
        [ensembles]
        e = { arm = "flips" }
        [tune]
        metric = "val_shift.accuracy"
        [tune.space]
        "optimizer.lr" = { around = "recipe", times = 3 }
        batch_size = { choices = [8, 16] }
        [tune.arms."fl*"]
        "optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }
        """,
        top='baseline = "none"\nprimary = "heavy.accuracy"\ndelta = { local = 1 }\nlooks = [2, 3]',
    )
)
FACTORIAL = tomllib.loads(
    text(
        """
        [factors]
        balance = ["none", "upsample"]
        augment.toggle = ["flip", { name = "zoom", p = 1.0 }]
        stages.1.train = ["head", "all"]
        [factors.length]
        short = { batch_size = 8 }
        long = { "stages.0.epochs" = 3 }
        """,
        top='exclude = [{ balance = "upsample", length = "long" }]\nbaseline = { balance = "none" }',
    )
)
odd = st.sampled_from(
    [
        0,
        1,
        -1,
        2**62,
        10**6,
        True,
        False,
        0.0,
        -0.5,
        1e308,
        float("inf"),
        float("nan"),
        "",
        " ",
        "x",
        "none",
        "adam",
        "flip",
        "*",
        "[",
        "grid",
        "a.b",
        "0",
        "²",
        "\x1b[2J",
        "é" * 300,
        [],
        {},
        [[]],
        [{}],
        {"name": 5},
        {"name": "flip"},
        {"": 1},
        {"name": ["x"]},
        ["flip", 5],
        {"toggle": ["flip"]},
        {"toggle": 5},
        {"0": 1},
        {"low": 1, "high": 0},
        {"kind": "corrupted"},
        {"kind": 5},
        datetime.date(1979, 5, 27),
        datetime.datetime(1979, 5, 27, 7, 32),
        datetime.time(7, 32),
        RECIPE,
    ]
)
keys = st.sampled_from(
    [
        "name",
        "data",
        "source",
        "seeds",
        "design",
        "arms",
        "factors",
        "",
        "x",
        "0",
        "stages.1.train",
        "stages.9",
        ".",
        "²",
    ]
)
values = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid study's table with one to three places replaced, removed, renamed or added to."""
    table = copy.deepcopy(draw(st.sampled_from([WHOLE, FACTORIAL])))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = table
        while True:
            places = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(node[place], dict | list) and draw(st.integers(0, 3)):
                node = node[place]
                continue
            what = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
            if what == "replace":
                node[place] = copy.deepcopy(draw(values))
            elif what == "remove":
                del node[place]
            elif isinstance(node, dict):
                node[draw(keys)] = copy.deepcopy(draw(values))
            else:
                node.append(copy.deepcopy(draw(values)))
            break
    return table


def read(table: dict[str, Any]) -> Study | str:
    """What ``parse`` does with a table, without writing TOML first."""
    try:
        refuse_monsters(table, "x.toml")
        return _Reader(table).study("x", "x.toml")
    except UserError as error:
        return str(error)


def test_the_studies_that_are_mutated_are_sound():
    assert [len(study.arms) for study in (read(WHOLE), read(FACTORIAL)) if isinstance(study, Study)] == [
        3,
        24,
    ]


@settings(
    max_examples=MANY,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(mutated())
def test_a_mutated_study_is_a_study_or_says_what_is_wrong(table: dict[str, Any]):
    before = copy.deepcopy(table)
    found = read(table)
    assert repr(table) == repr(before), "reading changes nothing"
    if isinstance(found, str):
        assert found.startswith("x.toml")
        assert all(c.isprintable() or c == "\n" for c in found), "nothing in a file steers a terminal"
        assert read(table) == found
    else:
        assert found.arm(found.baseline).recipe == found.recipe
        assert Study.model_validate_json(found.model_dump_json()) == found
        assert len(smoke(found).arms) == len(found.arms)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_study_or_a_user_error(content: str):
    try:
        parse(content, name="x", file="x.toml")
    except UserError as error:
        assert str(error).startswith("x.toml")  # noqa: PT017


@settings(max_examples=60, deadline=None)
@given(mutated())
def test_every_study_that_can_be_read_can_be_planned(locator: Any, table: dict[str, Any]):
    found = read(table)
    if isinstance(found, Study):
        plan = make_plan(found, locator)
        assert len(plan.runs) == len(found.arms) * len(found.seeds) * (found.folds.k if found.folds else 1)
