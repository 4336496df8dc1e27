"""What ``plan.json`` keeps of components from outside, so that a report needs none of their code."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from pydantic import Field

from bench.recipe import Choice, Frozen
from bench.registry import Component, foreign
from bench.study.code import Code, Outside, not_here
from bench.study.resolve import with_parts


class Told(Frozen):
    """One of them."""

    kind: str
    name: str
    version: int | str
    origin: str
    summary: str = ""
    parameters: dict[str, dict[str, Any]]
    """Parameter → its JSON schema, with its default."""
    traits: dict[str, Any]
    does: list[tuple[dict[str, Any], list[str]]] = Field(default_factory=list)
    """Of an augmentation that does what its parameters say: for each use in the study, what it does."""

    def stand_in(self) -> Component:
        """The component, without what it is built by."""

        def factory(**_: Any) -> None:
            not_here()

        sorts = {name: _type_of(about) for name, about in self.parameters.items()}
        empty, keyword = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY
        factory.__doc__, factory.__annotations__ = self.summary, sorts
        parameters = [
            inspect.Parameter(name, keyword, default=about.get("default", empty), annotation=sorts[name])
            for name, about in self.parameters.items()
        ]
        factory.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        done = {"does": self._does} if self.does else {}
        return Component(self.kind, self.name, self.version, factory, self.traits | done, self.origin)

    def _does(self, given: Mapping[str, Any]) -> list[str]:
        return next((does for params, does in self.does if params == given), [self.name])


def tell(choices: Iterable[Choice]) -> tuple[Told, ...]:
    """What is to be kept of every component from outside that is on offer.

    choices   augmentations of the study's arms
    """
    used = list(with_parts(choices))
    return tuple(_told(component, used) for component in foreign())


def _told(component: Component, used: Sequence[Choice]) -> Told:
    traits = {name: value for name, value in component.traits.items() if not callable(value)}
    does: list[tuple[dict[str, Any], list[str]]] = []
    if callable(say := component.traits.get("does")):
        mine = [choice.params for choice in used if choice.name == component.name]
        does = [(params, sorted(say(params))) for i, params in enumerate(mine) if params not in mine[:i]]
    return Told(
        kind=component.kind,
        name=component.name,
        version=component.version,
        origin=component.origin,
        summary=component.summary,
        parameters=component.schema.model_json_schema()["properties"],
        traits={name: list(v) if isinstance(v, set | frozenset | tuple) else v for name, v in traits.items()},
        does=does,
    )


_PLAIN = {"number": float, "integer": int, "boolean": bool, "string": str, "null": None}


def _type_of(about: Mapping[str, Any]) -> Any:
    """The type that a JSON schema says, as far as it decides how a value of TOML is read."""
    if "anyOf" in about:
        return Union[tuple(_type_of(each) for each in about["anyOf"])]  # noqa: UP007  (made of a tuple)
    if about.get("type") == "array":
        return list[_type_of(about.get("items", {}))]  # type: ignore[misc]
    return _PLAIN.get(about.get("type", ""), Any)


def told(known: Sequence[Told]) -> Outside:
    """No code is run: components are as ``plan.json`` tells."""

    def outside(table: Mapping[str, Any]) -> tuple[tuple[Code, ...], list[Component]]:
        return (), [one.stand_in() for one in known]

    return outside
