"""Small studies as text, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from bench.errors import UserError
from bench.study import Study, parse

HEAD = """\
question = "Which helps?"
seeds = 2
"""
DATA = """\
[data]
source = "synthetic"
size_px = 32
"""
RECIPE = """\
[recipe]
model = "custom_cnn"
optimizer = { name = "adam", lr = 1e-3 }
stages = [{ train = "head", epochs = 1 }, { train = "all", epochs = 2 }]
"""
ARMS = """\
[arms]
none = {}
flips = { augment = ["flip"] }
"""


def text(rest: str = ARMS, *, top: str = "", data: str = "", recipe: str = "") -> str:
    """A whole study file: ``top`` before all tables, ``data`` and ``recipe`` inside theirs, ``rest`` last."""
    parts = (HEAD, top, DATA, data, RECIPE, recipe, rest)
    return "\n".join(parts)


def read(rest: str = ARMS, **parts: str) -> Study:
    """The study; UserError when something is wrong with it."""
    return parse(text(rest, **parts), name="tiny", file="tiny.toml")


def complaint(rest: str = ARMS, **parts: str) -> str:
    """What is said about a study with mistakes; AssertionError when it has none."""
    try:
        read(rest, **parts)
    except UserError as error:
        return str(error)
    raise AssertionError("the study has no mistake")


def mistake(where: str, found: Any, problem: str) -> str:
    """The whole complaint about a file with one mistake."""
    shown = f" = {found}" if found else ""
    return f"tiny.toml has a mistake\n\n  {where}{shown}\n    {problem}"
