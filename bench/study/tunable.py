"""What of a recipe can be tuned, and over which values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from bench.errors import shorten
from bench.study.arms import Arm
from bench.study.file import Range, Tune, ranges_of
from bench.study.patch import PatchError, apply, look_up
from bench.study.resolve import resolve


def tuning_problem(arm: Arm, key: str, scale: Range) -> str | None:
    """Why ``key`` of an arm's recipe cannot be tuned over ``scale``, or None."""
    tree, suffix = arm.recipe.model_dump(mode="json"), f" (arm {shorten(arm.label)})"
    try:
        value = look_up(tree, key)
    except PatchError as error:
        return str(error) + suffix
    if scale.choices is None and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"{shorten(value)} is not a number, so it needs {{ choices = […] }}" + suffix
    if isinstance(value, int) and scale.choices is None:
        low, high = scale.extremes(value)
        if math.ceil(low) > math.floor(high):
            return f"holds no whole number, and {shorten(value)} is one" + suffix
    if scale.around and value <= 0:
        return f"is {shorten(value)} in the recipe, which no range centres on; give {{ low, high }}" + suffix
    for candidate in scale.extremes(value):
        tried = round(candidate) if isinstance(value, int) and scale.choices is None else candidate
        _, problems = resolve(apply(tree, {key: tried}))
        if problems:
            return f"{shorten(tried)} is out of reach: {problems[0].text}" + suffix
    return None


def space_clash(arm: Arm, tune: Tune) -> str | None:
    """Why two tuned settings of an arm cannot go together, though each can alone; or None."""
    tree = arm.recipe.model_dump(mode="json")
    ends: dict[str, list[Any]] = {}
    for key, scale in ranges_of(tune, arm.label).items():
        value = look_up(tree, key)
        whole = isinstance(value, int) and scale.choices is None
        ends[key] = [round(end) if whole else end for end in scale.extremes(value)]
    for one, other in itertools.combinations(ends, 2):
        for a, b in itertools.product(ends[one], ends[other]):
            try:
                _, problems = resolve(apply(tree, {one: a, other: b}))
            except PatchError as error:
                return f"{one} = {shorten(a)} leaves no {other}: {error} (arm {shorten(arm.label)})"
            if problems:
                found = f"{one} = {shorten(a)} does not go with {other} = {shorten(b)}"
                return f"{found}: {problems[0].text} (arm {shorten(arm.label)})"
    return None


def different(arms: Sequence[Arm], key: str) -> list[Arm]:
    """One arm of each group that agrees in the part of the recipe ``key`` reaches into."""
    part = key.partition(".")[0]
    return list({repr(getattr(arm.recipe, part, None)): arm for arm in reversed(arms)}.values())[::-1]
