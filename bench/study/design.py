"""Factors → arms: which combinations of levels a study trains, and what they are called."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import shorten
from bench.study import screens
from bench.study.patch import Tree, apply, is_index, normalise

JOIN = " + "
ADDITIVE = ("screen", "ladder")
"""Designs whose arms are called by what they add to the recipe."""


@dataclass(frozen=True)
class Level:
    """One value of a factor: its label and the patch that sets it."""

    label: str
    patch: Mapping[str, Any]
    toggles: Mapping[str, Any] | None = None
    """For a toggle that is on: the augmentation to add, as a table with a name."""


@dataclass(frozen=True)
class Factor:
    """What is varied. The first level is the baseline, the last the full recipe."""

    name: str
    levels: tuple[Level, ...]
    toggle: bool = False


class DesignError(ValueError):
    """A factor that cannot be built; ``path`` is where it stands under ``[factors]``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def read_factors(table: Mapping[str, Any], prefix: str = "") -> list[Factor]:
    """``[factors]`` in its three forms: a list of levels, named patches, toggles.

    Unquoted dotted keys (``optimizer.lr = […]``) mean the same as quoted ones. Raises DesignError.
    """
    factors: list[Factor] = []
    for key, value in table.items():
        name = prefix + key
        if isinstance(value, list):
            factors.append(_from_list(name, value))
        elif not isinstance(value, dict) or not value:
            kinds = "a list of levels, a table of named patches, or { toggle = […] }"
            raise DesignError(name, f"must be {kinds}, not {shorten(value)}")
        elif list(value) == ["toggle"] and not _are_patches(value):
            factors += _from_toggle(name, value["toggle"])
        elif _are_patches(value) and not _are_indices(value):
            if not all(value):
                raise DesignError(name, "a level needs a name")
            factors.append(Factor(name, tuple(Level(label, patch) for label, patch in value.items())))
        elif any(isinstance(v, list | dict) for v in value.values()):
            factors += read_factors(value, name + ".")
        else:
            raise DesignError(
                name, "each named level must be a table, for example short = { batch_size = 32 }"
            )
    double = [name for name, count in Counter(factor.name for factor in factors).items() if count > 1]
    if double:
        raise DesignError(double[0], "stands there twice")
    return factors


def _are_patches(table: Mapping[str, Any]) -> bool:
    return all(isinstance(patch, dict) for patch in table.values())


def _are_indices(table: Mapping[str, Any]) -> bool:
    """Whether the keys are list indices (``stages.1.train = […]`` without quotes), not names of levels."""
    return all(is_index(key) for key in table)


def _from_list(name: str, values: Sequence[Any]) -> Factor:
    if not values:
        raise DesignError(name, "has no levels: the grid is empty; give at least two")
    names = [value.get("name") if isinstance(value, dict) else value for value in values]
    short = [text for text in names if isinstance(text, str)]
    told_apart = len(set(short)) == len(values)
    labels = short if told_apart else [label_of(name, value) for value in values]
    levels = tuple(Level(label, {name: value}) for label, value in zip(labels, values, strict=True))
    double = [label for label, count in Counter(level.label for level in levels).items() if count > 1]
    if double:
        raise DesignError(name, f'level "{double[0]}" stands there twice')
    if not all(level.label for level in levels):
        raise DesignError(name, "a level needs a name")
    return Factor(name, levels)


def _from_toggle(name: str, items: Any) -> list[Factor]:
    if name != "augment":
        raise DesignError(f"{name}.toggle", "only augment is a list whose entries can be switched on and off")
    if not isinstance(items, list):
        raise DesignError(f"{name}.toggle", "must be a list of what is switched on and off, in [ ]")
    if not items:
        raise DesignError(f"{name}.toggle", "has nothing to switch: the grid is empty")
    factors = []
    for item in items:
        choice = {"name": item} if isinstance(item, str) else item
        if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
            raise DesignError(f"{name}.toggle", "each entry must be a name or a table with a name")
        label = choice["name"]
        factors.append(Factor(f"{name}.{label}", (Level("", {}), Level(label, {}, choice)), toggle=True))
    return factors


def label_of(key: str, value: Any) -> str:
    """A readable label for one level of the factor ``key``."""
    leaf = key.rpartition(".")[2]
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if value and all(isinstance(item, bool | int | float) for item in value):
            return f"{leaf}=" + ",".join(map(_plain, value))
        return "&".join(label_of(key, item) for item in value) or "none"
    if isinstance(value, dict):
        extra = ", ".join(f"{k}={_plain(v)}" for k, v in value.items() if k != "name")
        name = value.get("name")
        return f"{name} ({extra})" if name and extra else str(name or extra)
    return f"{leaf}={_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


Combination = tuple[int, ...]
"""One level index per factor, in the order of the factors."""


def count_combinations(factors: Sequence[Factor], design: str) -> int:
    """How many combinations a design has at most, without making them: a grid soon has millions."""
    sizes = [len(factor.levels) for factor in factors]
    counts = {"grid": math.prod(sizes), "screen": screens.MOST_RUNS, "ladder": 1 + sum(sizes)}
    return counts.get(design, 2 + sum(sizes) + len(sizes))


def combinations(factors: Sequence[Factor], design: str, resolution: int = 4) -> list[Combination]:
    """The combinations a design trains, baseline (or, leaving one out, the full recipe) first.

    resolution   of a screen
    """
    sizes = [len(factor.levels) for factor in factors]
    first, last = tuple(0 for _ in sizes), tuple(size - 1 for size in sizes)
    if design == "grid":
        return list(itertools.product(*map(range, sizes)))
    if design == "screen":
        return list(screens.runs(len(factors), resolution))
    if design == "ladder":
        return list(_rungs(first, sizes))
    added = [first] + [_with(first, f, level) for f, size in enumerate(sizes) for level in range(1, size)]
    removed = [last] + [_with(last, f, 0) for f in range(len(sizes))]
    chosen = {"one-at-a-time": added, "leave-one-out": removed, "add-and-remove": added + removed}[design]
    return list(dict.fromkeys(chosen))


def screen_problem(factors: Sequence[Factor]) -> tuple[str, str] | None:
    """Why no screen can be made of these factors: where under ``[factors]``, and what is wrong."""
    for factor in factors:
        if len(factor.levels) != 2:
            return factor.name, f"has {len(factor.levels)} levels; a screen takes factors of two"
    if not 2 <= len(factors) <= screens.MOST_FACTORS:
        return "", f"a screen takes 2 to {screens.MOST_FACTORS} factors, these are {len(factors)}"
    return None


def _rungs(first: Combination, sizes: Sequence[int]) -> Iterator[Combination]:
    """Each with one more level than the one before, in the order written."""
    at = first
    yield at
    for f, size in enumerate(sizes):
        for level in range(1, size):
            at = _with(at, f, level)
            yield at


def _with(base: Combination, position: int, level: int) -> Combination:
    return (*base[:position], level, *base[position + 1 :])


def levels_of(factors: Sequence[Factor], combination: Combination) -> dict[str, str]:
    """Factor → label of its level; a toggle is ``on`` or ``off``."""
    names = {}
    for factor, index in zip(factors, combination, strict=True):
        names[factor.name] = ("off", "on")[index] if factor.toggle else factor.levels[index].label
    return names


def arm_label(factors: Sequence[Factor], combination: Combination, design: str = "grid") -> str:
    """Levels joined by " + "; a level name that two factors share is written ``factor=level``.

    Of a screen and a ladder, what is not at its first level: what was added to the recipe.
    """
    shared = Counter(label for factor in factors for label in {level.label for level in factor.levels})
    parts = []
    for factor, index in zip(factors, combination, strict=True):
        label = factor.levels[index].label
        if design in ADDITIVE and not index:
            continue
        if design in ADDITIVE and label == "on":
            parts.append(factor.name)
        elif label:
            parts.append(f"{factor.name}={label}" if shared[label] > 1 else label)
    return JOIN.join(parts) or "none"


def build_tree(base: Tree, factors: Sequence[Factor], combination: Combination) -> Tree:
    """The recipe tree of one combination. Raises PatchError where a level's patch points nowhere."""
    tree = base
    toggled = {f.levels[1].label for f in factors if f.toggle}
    if toggled:
        listed = normalise(base).get("augment", [])
        if isinstance(listed, list):  # anything else is reported where it stands
            kept = [item for item in listed if not (isinstance(item, dict) and item.get("name") in toggled)]
            tree = apply(tree, {"augment": kept})
    for factor, index in zip(factors, combination, strict=True):
        level = factor.levels[index]
        tree = apply(tree, level.patch)
        if level.toggles and isinstance(tree.get("augment", []), list):
            tree["augment"] = [*tree.get("augment", []), dict(level.toggles)]
    return tree
