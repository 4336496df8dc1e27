"""Pydantic's errors, said the way a person who wrote TOML can use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import Mistake, did_you_mean, shorten

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing wrong, located inside a tree of tables and lists."""

    location: Location
    found: str
    text: str

    def under(self, *prefix: str | int) -> Problem:
        """The same problem seen from further out."""
        return self._replace(location=(*prefix, *self.location))

    def mistake(self, table: str = "") -> Mistake:
        """As printed, below the heading of ``table`` (``[arms.x]``) when one is given."""
        return Mistake(f"{table} {key_path(self.location)}".strip(), self.found, self.text)


_SIMPLE = {
    "missing": "is required",
    "string_type": "must be text, in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list, in [ ]",
    "tuple_type": "must be a list, in [ ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "finite_number": "must be a finite number",
}
_ECHOES = ("must be one of", "needs at least")
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def problems_of(error: ValidationError, tree: Any, model: type[BaseModel]) -> list[Problem]:
    """Every error of a validation, located by the keys of ``tree`` (tags of unions left out)."""
    found: dict[Location, Problem] = {}
    for item in error.errors(include_url=False):
        location = _walk(item["loc"], tree, missing=item["type"] == "missing")
        value = "" if item["type"] == "missing" else _shown(item["input"], location)
        problem = Problem(location, value, _text(item, location, model))
        # A value that fits no member of a union fails each of them: keep the most telling message.
        old = found.get(location)
        if old is None or (old.text in _SIMPLE.values() and problem.text not in _SIMPLE.values()):
            found[location] = problem
    # Where something inside a value is wrong, "must be one of" and such about the value itself are echoes,
    # and so is what another member of a union would have had it be.
    outer = {p.location[:depth] for p in found.values() for depth in range(len(p.location))}
    echoes = [p for p in found.values() if p.text.startswith(_ECHOES) or p.text in _SIMPLE.values()]
    return [p for p in found.values() if p.location not in outer or p not in echoes]


def _walk(loc: Sequence[str | int], tree: Any, *, missing: bool) -> Location:
    """``loc`` without the steps that are no keys of ``tree``: pydantic adds the tag of each union member."""
    steps: list[str | int] = []
    for position, step in enumerate(loc):
        last = missing and position == len(loc) - 1
        in_list = isinstance(tree, list | tuple) and isinstance(step, int) and step < len(tree)
        if in_list or (isinstance(tree, Mapping) and step in tree):
            tree = tree[step]
        elif not last:
            continue
        steps.append(step)
    return tuple(steps)


def _shown(value: Any, location: Location) -> str:
    # A rule about a whole table: showing all of it helps nobody.
    return "" if isinstance(value, Mapping) and (not location or len(value) > 4) else shorten(value)


def _text(item: Any, location: Location, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(location[-1]), _keys_at(model, location[:-1]))}"
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind == "literal_error":
        allowed = context["expected"].replace("'", '"').replace(" or ", ", ")
        return f"must be one of {allowed}"
    if kind == "union_tag_invalid":
        return f"kind must be one of {context['expected_tags']}".replace("'", '"')
    if kind == "union_tag_not_found":
        return "needs a kind: external, corrupted or synthetic"
    for bound, sign in _BOUNDS.items():
        if bound in context:
            return f"must be {sign} {context[bound]:g}"
    if "min_length" in context:
        return f"needs at least {context['min_length']}"
    if "max_length" in context:
        return f"allows at most {context['max_length']}"
    message = str(item["msg"])
    return message.removeprefix("Value error, ")


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """Keys allowed at ``location`` of a model, following fields that are models, unions or lists of them."""
    import typing

    from pydantic import BaseModel

    candidates: list[Any] = [model]
    for step in location:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                field = candidate.model_fields.get(str(step))
                following += [field.annotation] if field else []
            else:  # a container: its arguments are one step deeper
                following += typing.get_args(candidate)
        candidates = _members(following)
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return [name for m in models for name in (*m.model_fields, *getattr(m, "BESIDE", ()))]


def _members(annotations: Sequence[Any]) -> list[Any]:
    """Unions and Annotated opened up."""
    import types
    import typing

    out: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            out += _members(typing.get_args(annotation)[:1])
        elif origin in (typing.Union, types.UnionType):
            out += _members(typing.get_args(annotation))
        else:
            out.append(annotation)
    return out


def key_path(location: Location) -> str:
    """``("augment", 1, "n")`` → ``augment[1].n``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def place(location: Location) -> tuple[str, Location]:
    """Where a location of a study file stands: its table's heading, and the keys below it.

    ``("arms", "x", "augment", 1)`` → ``("[arms.x]", ("augment", 1))``.
    """
    if len(location) > 1 and location[0] in ("arms", "hidden", "ensembles") and isinstance(location[1], str):
        return f"[{location[0]}.{location[1]}]", location[2:]
    if len(location) > 1 and location[0] == "claims" and isinstance(location[1], int):
        return f"[[claims]] number {location[1] + 1}", location[2:]
    if len(location) > 2 and location[0] == "tune" and location[1] in ("space", "arms"):
        return f"[tune.{location[1]}]", location[2:]
    if len(location) > 1 and isinstance(location[0], str) and isinstance(location[1], str):
        return f"[{location[0]}]", location[1:]
    return "", location


def mistake_of(problem: Problem) -> Mistake:
    """A problem of a whole study file, under the heading of its table."""
    table, keys = place(problem.location)
    return (
        problem._replace(location=keys).mistake(table)
        if keys or table
        else Mistake("the study", "", problem.text)
    )
