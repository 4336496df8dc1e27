"""What a study gives to a class of another package, checked against that class's own signature."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from bench.errors import UserError, did_you_mean
from bench.study.wording import Problem, key_path, problems_of

WRITTEN = (bool, int, float, str)
CONTAINERS = (list, tuple, dict, Sequence, Mapping)


class _AnyName(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, _: Any) -> Any:
        return cls


class _Unwritten(metaclass=_AnyName):
    """Stands for a type that TOML has no value of, or a module of such types."""


def arguments(
    of: type, given: Mapping[str, Any], name: str, kept: Sequence[str] = (), also: Any = None
) -> dict[str, Any]:
    """``given`` as ``of`` takes it: lists where it wants tuples become tuples. Its defaults stay its own.

    name   what messages call the class
    kept   parameters that are not the study's to set
    also   type → what pydantic makes of a list where a parameter takes nothing else that TOML can write

    Raises UserError, a line for each mistake.
    """
    signature = {n: p for n, p in inspect.signature(of).parameters.items() if p.kind is not p.VAR_KEYWORD}
    hints = _hints(of)
    fields: dict[str, Any] = {}
    for each in (p for n, p in signature.items() if n not in kept):
        hint, required = _as_written(hints.get(each.name, Any), also or {}), each.default is each.empty
        if hint is None and required:
            raise UserError(f"{name}: needs what a study cannot write   ({each})")
        if hint is not None:
            fields[each.name] = (hint, ... if required else None)
    config = ConfigDict(extra="forbid", strict=True)
    model: type[BaseModel] = create_model("Given", __config__=config, **fields)
    try:
        checked = model.model_validate_json(json.dumps(dict(given)))  # of JSON, a list may become a tuple
    except ValidationError as error:
        lines = [_line(problem, signature, kept) for problem in problems_of(error, dict(given), model)]
        raise UserError(f"{name}: " + "\n    ".join(lines)) from None
    return {key: getattr(checked, key) for key in checked.model_fields_set}


def _line(problem: Problem, signature: Mapping[str, inspect.Parameter], kept: Sequence[str]) -> str:
    key, text = str(problem.location[0]), problem.text
    at = key_path(problem.location) + (f" = {problem.found}" if problem.found else "")
    if key not in signature:
        return f"{at}: unknown key; {did_you_mean(key, set(signature) - set(kept))}"
    if text.startswith("unknown key"):
        text = "is not a study's to set" if key in kept else "cannot be written in a study"
    return f"{at}: {text}   ({signature[key]})"


def _hints(of: Any) -> dict[str, Any]:
    """Annotations of what makes a class, evaluated. A name that only checkers import is no TOML type."""
    names: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(of.__init__, localns=names)
        except NameError as missing:
            names[missing.name or ""] = _Unwritten


def _as_written(hint: Any, also: Mapping[Any, Any]) -> Any:
    """The part of a type that TOML can write, for pydantic; None where there is none."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint in WRITTEN or origin is typing.Literal:
        return hint
    if origin in (typing.Union, types.UnionType):
        plain = [part for part in (_as_written(each, {}) for each in inner) if part is not None]
        parts = plain or [part for part in (_as_written(each, also) for each in inner) if part is not None]
        return typing.Union[tuple(parts)] if parts else None  # noqa: UP007 - made of a list
    if origin in CONTAINERS:
        parts = [part if part is ... else _as_written(part, {}) for part in inner]
        return None if None in parts else origin[tuple(parts)]
    return also.get(hint)
