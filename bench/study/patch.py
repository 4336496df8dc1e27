"""How an arm changes a recipe: merging plain TOML trees.

A component (a table with a ``name``) whose name changes is replaced and takes its own defaults; with the same
or no name the keys merge; lists replace; dotted keys reach inside, integers index
lists (``"stages.1.train"``). ``unset`` names keys that go back to their defaults, before the others are set.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bench.errors import did_you_mean, shorten

Tree = dict[str, Any]

COMPONENT_SLOTS = ("model", "optimizer", "schedule", "loss")
DEFAULTS: Tree = {
    "optimizer": {"name": "adam"},
    "schedule": {"name": "constant"},
    "loss": {"name": "cross-entropy"},
    "stages": [{"train": "all", "epochs": 10}],
    "augment": [],
}
"""What arms can patch although ``[recipe]`` leaves it out."""
UNSET = "unset"
"""Key of a patch that lists dotted keys; TOML has no null."""


class PatchError(ValueError):
    """A patch that points nowhere; ``path`` is the dotted key, ``args[0]`` the problem."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def normalise(tree: Mapping[str, Any]) -> Tree:
    """A copy of a recipe tree in which components are tables, never bare names."""
    out = copy.deepcopy(dict(tree))
    for slot in COMPONENT_SLOTS:
        if isinstance(out.get(slot), str):
            out[slot] = {"name": out[slot]}
    if isinstance(out.get("augment"), list):
        out["augment"] = [{"name": item} if isinstance(item, str) else item for item in out["augment"]]
    return out


def apply(tree: Mapping[str, Any], patch: Mapping[str, Any]) -> Tree:
    """``tree`` with ``patch`` applied; neither is changed. Raises PatchError."""
    out = normalise(tree)
    for path in _listed(patch.get(UNSET, [])):
        _unset(out, path)
    for key, value in patch.items():
        if key != UNSET:
            _set(out, key.split("."), value, key)
    return normalise(out)


def _listed(paths: Any) -> list[str]:
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise PatchError(UNSET, f'must be a list of dotted keys, ["model.weights"], not {shorten(paths)}')
    return paths


def _unset(tree: Tree, path: str) -> None:
    """Take the key at ``path`` out of ``tree``, so that its default holds."""
    outer, _, key = path.rpartition(".")
    try:
        node = look_up(tree, outer) if outer else tree
    except PatchError as error:
        raise PatchError(UNSET, f'"{path}": {error}') from None
    if isinstance(node, list):
        raise PatchError(UNSET, f'"{path}" is an entry of a list; write the list without it')
    if not isinstance(node, dict):
        raise PatchError(UNSET, f'"{path}": "{outer}" holds {shorten(node)}, which has no keys')
    default = None if outer else copy.deepcopy(DEFAULTS.get(key))
    if key not in node or node[key] == default:
        others = [other for other in node if other != key]
        hint = f"; {did_you_mean(key, others)}" if others else ""
        raise PatchError(UNSET, f'"{path}" has its default already{hint}')
    del node[key]
    if default is not None:
        node[key] = default


def _set(node: Any, steps: list[str], value: Any, path: str) -> None:
    key, rest = _key(node, steps[0], path), steps[1:]
    if rest:
        if isinstance(node, dict):
            node.setdefault(key, {})
        if isinstance(node[key], str) and (isinstance(node, list) or key in COMPONENT_SLOTS):
            node[key] = {"name": node[key]}
        if rest == ["name"]:  # a dotted name is a change of name like any other
            value, rest = {"name": value}, []
        else:
            _set(node[key], rest, value, path)
            return
    node[key] = _merged(node[key] if isinstance(node, list) else node.get(key), value, path)


def _key(node: Any, step: str, path: str) -> Any:
    """``step`` as a key of ``node``: text for a table, a checked index for a list."""
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise PatchError(path, f'"{step}" points inside {shorten(node)}, which has no keys')
    if not is_index(step):
        allowed = (
            f"an index, 0 to {len(node) - 1}: this is a list" if node else "left out: this list is empty"
        )
        raise PatchError(path, f'"{step}" must be {allowed}')
    if len(step) > 9 or int(step) >= len(node):
        raise PatchError(path, f"index {step} is past the end of a list of {len(node)} (the first is 0)")
    return int(step)


def is_index(step: str) -> bool:
    """Whether a step of a dotted key is a list index; "²" is a digit to ``isdigit`` and none to ``int``."""
    return step.isascii() and step.isdigit()


def _merged(old: Any, new: Any, path: str) -> Any:
    if isinstance(old, dict) and isinstance(new, str) and "name" in old:
        new = {"name": new}
    if (
        isinstance(old, list)
        and isinstance(new, dict)
        and new
        and all(is_index(k.split(".")[0]) for k in new)
    ):
        return _patched(list(old), new, path)  # `stages.1.train = …` without quotes
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    if "name" in new and new["name"] != old.get("name"):
        return copy.deepcopy(new)
    return _patched(dict(old), new, path)


def _patched(node: Any, patch: Mapping[str, Any], path: str) -> Any:
    for key, value in patch.items():
        _set(node, key.split("."), value, f"{path}.{key}")
    return node


def look_up(tree: Any, path: str) -> Any:
    """The value a dotted key points at. Raises PatchError when there is none."""
    for step in path.split("."):
        if isinstance(tree, dict) and step not in tree:
            raise PatchError(path, f'there is no "{step}" here; {did_you_mean(step, tree)}')
        tree = tree[_key(tree, step, path)]
    return tree
