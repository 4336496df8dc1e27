"""Names of components to the functions that make them. A signature is the component's schema.

A registered function takes only parameters a study may set, each typed and with a default unless the
study must give it. Bounds are ``annotated_types`` markers (``Annotated[float, Interval(ge=0, le=1)]``), so a
module that registers components needs neither pydantic nor torch until something is checked or built.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import UserError, did_you_mean, shorten

if TYPE_CHECKING:
    from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Component:
    """One registered thing: what it is called, how it is made, and which behaviour this is."""

    kind: str
    name: str
    version: int
    """Raised by hand when behaviour changes; part of every trial's id."""
    factory: Callable[..., Any]
    traits: Mapping[str, Any] = field(default_factory=dict)
    """What others must know without building it, for example ``mixes_images=True``."""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]

    @functools.cached_property
    def takes(self) -> tuple[str, ...]:
        """Names of the factory's parameters."""
        return tuple(inspect.signature(self.factory).parameters)

    @functools.cached_property
    def schema(self) -> type[BaseModel]:
        """A strict pydantic model of the factory's parameters."""
        from pydantic import ConfigDict, create_model

        hints = _parameter_hints(self.factory)
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(self.factory).parameters.values():
            required = parameter.default is inspect.Parameter.empty
            fields[parameter.name] = (hints[parameter.name], ... if required else parameter.default)
        config = ConfigDict(
            extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
        )
        return create_model(f"{self.kind}:{self.name}", __config__=config, **fields)

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Default of every parameter that has one, as plain JSON values."""
        from pydantic_core import to_jsonable_python

        fields = self.schema.model_fields.items()
        return {key: to_jsonable_python(f.get_default()) for key, f in fields if not f.is_required()}

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` checked, with every default filled in, as plain JSON values.

        Raises pydantic's ValidationError; ``study`` turns it into mistakes with key paths.
        """
        return self.schema.model_validate(dict(given)).model_dump(mode="json")

    def build(self, parameters: Mapping[str, Any]) -> Any:
        """Call the factory with checked parameters."""
        return self.factory(**parameters)


def _parameter_hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Evaluated annotations of the parameters; what is returned may name a type that only checkers import."""

    def parameters_only() -> None: ...

    names = inspect.signature(factory).parameters
    parameters_only.__annotations__ = {name: factory.__annotations__[name] for name in names}
    return typing.get_type_hints(parameters_only, globalns=factory.__globals__, include_extras=True)


class Registry:
    """Components of one kind, by name. Refuses duplicates, lists itself."""

    def __init__(self, kind: str, fallback: str | None = None) -> None:
        self.kind = kind
        self._components: dict[str, Component] = {}
        self.fallback = fallback
        """Name of the component that stands for every name not registered (any timm model)."""

    def register(self, name: str, *, version: int = 1, **traits: Any) -> Callable[[F], F]:
        """Decorator: put a factory under ``name``."""

        def add(factory: F) -> F:
            if name in self._components:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._components[name] = Component(self.kind, name, version, factory, traits)
            return factory

        return add

    def __getitem__(self, name: str) -> Component:
        known = self._components.get(name)
        if known is None and self.fallback is not None:
            known = self._components[self.fallback]
        if known is None:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise UserError(f'"{name}" is not {article} {self.kind}; {did_you_mean(name, self.names())}')
        return known

    def __contains__(self, name: object) -> bool:
        return name in self._components or self.fallback is not None

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components[name] for name in self.names())

    def names(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(self._components)


class Sources(Registry):
    """Where images come from. A study writes ``NAME``, or ``NAME:PATH`` where there is something to read.

    A source is one function that opens it: its parameters are ``path`` and the keys of ``[data]`` that it
    takes (``size_px``, ``recipe.SOURCE_KEYS``), what it returns is a ``bench.data.reader.Reader``::

        @sources.register("tiles", path="folder")
        def tiles(path: Path) -> Reader:
            \"""Tiles as the scanner saves them.\"""

    That is enough: what lies at the path is hashed, and the hash is part of every trial's id. A source
    without a path is known by its version and the keys it takes. Traits, each optional:

    path      ``"file"``, ``"folder"`` or ``"any"``: what PATH must be; left out: the source has none
    locate    ``content.Asked`` → ``content.Located``, for what is found or hashed another way, has an
              official split, or is quickly counted. ``bench plan`` calls it: no torch, instant when warm
    numbered  True: classes are numbers, so label k of a hidden set means the study's class k
    external  False: no source of an external hidden set
    fetch     (path, progress) → path: downloads it, for ``bench data fetch``
    """

    def forms(self, *, external: bool = False) -> dict[str, str]:
        """Name → how a study writes it (``folder:PATH``). ``external``: only what hidden sets can be."""
        known = [c for c in self if not external or c.traits.get("external", True)]
        return {c.name: f"{c.name}:PATH" if "path" in c.traits else c.name for c in known}

    def named(self, written: str) -> tuple[Component, str]:
        """The source that ``written`` names, and its PATH. Raises UserError."""
        if problem := self.problem(written):
            raise UserError(f"{shorten(written, 200)}: {problem}")
        name, _, path = written.partition(":")
        return self[name], path

    def problem(self, written: str, *, external: bool = False) -> str | None:
        """Why a study cannot write this, or None."""
        name, _, path = written.partition(":")
        forms = self.forms(external=external)
        if name not in forms:
            what = "of an external hidden set" if external else "of that name"
            return f"no source {what}; {did_you_mean(name, forms)}   (bench list sources)"
        right = path if "path" in self[name].traits else written == name
        return None if right else f'must be "{forms[name]}"'


augmentations = Registry("augmentation")
models = Registry("model", fallback="timm")
optimizers = Registry("optimizer")
schedules = Registry("schedule")
losses = Registry("loss")
metrics = Registry("metric")
corruptions = Registry("corruption")
sources = Sources("source")
executors = Registry("executor")

SLOTS: dict[str, Registry] = {"model": models, "optimizer": optimizers, "schedule": schedules, "loss": losses}
"""Keys of a recipe that hold one component, and what each may name."""

REGISTRIES: dict[str, Registry] = {
    "augmentations": augmentations,
    "models": models,
    "optimizers": optimizers,
    "schedules": schedules,
    "losses": losses,
    "metrics": metrics,
    "corruptions": corruptions,
    "sources": sources,
    "executors": executors,
}
"""What ``bench list KIND`` knows, by plural."""
