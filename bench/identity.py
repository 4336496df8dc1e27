"""What of a recipe or of images takes part in an id.

Every key that version 1 knew (``version_1.toml``), whatever its value; a key added since only where it leaves
its default. So a new key makes no old trial stale, and whoever adds one has nothing to remember. Another
*default* for such a key would give old ids another meaning: it raises a version, as any change of behaviour.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.recipe import Choice, Frozen
from bench.registry import SLOTS, Registry, augmentations

_NO_DEFAULT = object()


@functools.cache
def _version_1() -> Mapping[str, Mapping[str, list[str]]]:
    """Kind of component, or ``tables`` → name → the keys that version 1 knew."""
    return tomllib.loads(Path(__file__).with_name("version_1.toml").read_text("utf-8"))


def identity(table: Frozen) -> dict[str, Any]:
    """What of ``table`` takes part in an id: JSON values by key, in the order of its keys."""
    first, kept = _version_1()["tables"].get(type(table).__name__, []), {}
    for key, field in type(table).model_fields.items():
        registry = SLOTS.get(key, augmentations)
        value = _content(getattr(table, key), registry)
        default = _content(field.get_default(call_default_factory=True), registry)
        if key in first or _differ(value, default):
            kept[key] = value
    return kept


def later(table: Frozen) -> dict[str, Any]:
    """The keys of ``identity(table)`` that version 1 did not know."""
    first = _version_1()["tables"].get(type(table).__name__, [])
    return {key: value for key, value in identity(table).items() if key not in first}


def _content(value: Any, registry: Registry) -> Any:
    """``value`` as JSON, its components and tables without the keys that take no part."""
    if isinstance(value, Choice):
        return _choice(value, registry)
    if isinstance(value, Frozen):
        return identity(value)
    if isinstance(value, list | tuple):
        return [_content(item, registry) for item in value]
    return value


def _choice(choice: Choice, registry: Registry) -> dict[str, Any]:
    if choice.name not in registry:  # local code that is not here: nothing is known of its defaults
        return choice.model_dump(mode="json")
    component = registry[choice.name]
    first = _version_1().get(registry.kind, {}).get(component.name, [])
    kept: dict[str, Any] = {"name": choice.name}
    filled = component.defaults | choice.params
    for key in sorted(filled, key=[*component.takes, *filled].index):  # as the signature has them
        value = _parts(filled[key])
        if key in first or _differ(value, _parts(component.defaults.get(key, _NO_DEFAULT))):
            kept[key] = value
    return kept


def _parts(value: Any) -> Any:
    """A parameter's value, in which tables that name an augmentation are components of their own."""
    if isinstance(value, list):
        return [_parts(item) for item in value]
    if isinstance(value, dict) and value.get("name") in augmentations:
        return _choice(Choice.model_validate(value), augmentations)
    return value


def _differ(one: Any, other: Any) -> bool:
    """Whether two values of a key do; to Python 1 equals true, in a study it does not."""
    return bool(one != other) or isinstance(one, bool) != isinstance(other, bool)
