"""The command that trains an arm in place of bench: its words, and what is filled into them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bench.errors import did_you_mean, shorten
from bench.study.patch import PatchError, look_up

GIVEN = ("seed", "fold", "data", "out", "device")
"""What bench fills in; any other name in { } is a key of the recipe."""
HOLE = re.compile(r"\{([^{}]*)\}")


def words(command: str) -> list[str]:
    """A command line as its words, as a shell splits them; nothing of it is expanded. ValueError."""
    return shlex.split(command)


def named(command: str) -> list[str]:
    """Keys of the recipe that a command names, each once."""
    return [key for key in dict.fromkeys(HOLE.findall(command)) if key not in GIVEN]


def filled(command: str, given: Mapping[str, str], recipe: Mapping[str, Any]) -> list[str]:
    """The words of a command with everything filled in.

    given    what stands for ``GIVEN``
    recipe   its tree, whose keys the others are
    """

    def value(match: re.Match[str]) -> str:
        return given[match[1]] if match[1] in given else plain(look_up(recipe, match[1]))

    return [HOLE.sub(value, word) for word in words(command)]


def plain(value: Any) -> str:
    """A setting as a program reads it: ``true``, ``3``, ``0.001``, text as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def problems(command: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a command.

    recipe   the tree of the arm that it trains
    """
    try:
        if not words(command):
            yield "names no program; write it as in a shell: python train.py --out {out}"
            return
    except ValueError as error:
        yield f"cannot be split into words ({error}); close every quotation mark"
        return
    if "out" not in HOLE.findall(command):
        yield "does not say where predictions go: give {out} to the program, a folder that is there"
    for key in named(command):
        try:
            value = look_up(recipe, key)
        except PatchError as error:
            yield f"{{{key}}}: {error}; bench fills in {', '.join(GIVEN)} and keys of the recipe"
            continue
        if isinstance(value, dict | list) or value is None:
            yield f"{{{key}}} is {shorten(value)}; name a setting that holds one value"
    for hole in HOLE.findall(command):
        if hole and hole != hole.strip():
            yield f"{{{hole}}}: {did_you_mean(hole.strip(), [*GIVEN])}"
