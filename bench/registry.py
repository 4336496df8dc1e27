"""Names of components to the functions that make them. A signature is the component's schema.

A registered function takes only parameters a study may set, each typed and with a default unless the
study must give it. Bounds are ``annotated_types`` markers (``Annotated[float, Interval(ge=0, le=1)]``), so a
module that registers components needs neither pydantic nor torch until something is checked or built.

What comes from outside the package (``study.code``) is on offer while its study is at hand: see ``use``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from bench.errors import UserError, did_you_mean, shorten

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler
    from pydantic_core import CoreSchema

F = TypeVar("F", bound=Callable[..., Any])
UNREAD = "unread"
"""Origin of a component that a study's file would register, if it were run."""


@dataclass(frozen=True)
class Component:
    """One registered thing: what it is called, how it is made, and which behaviour this is."""

    kind: str
    name: str
    version: int | str
    """Raised by hand when behaviour changes; of another package's class that package's version. Part of every
    trial's id."""
    factory: Callable[..., Any]
    traits: Mapping[str, Any] = field(default_factory=dict)
    """What others must know without building it, for example ``mixes_images=True``."""
    origin: str = ""
    """Where it is from: empty, bench itself; else ``sha256:…`` of a study's file, or ``package:NAME``."""

    @property
    def id(self) -> str:
        """``augmentation:flip``."""
        return f"{self.kind}:{self.name}"

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
        from pydantic import BaseModel, ConfigDict, create_model

        hints = _parameter_hints(self.factory)
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(self.factory).parameters.values():
            required = parameter.default is inspect.Parameter.empty
            fields[parameter.name] = (hints[parameter.name], ... if required else parameter.default)
        rest = fields.pop(self.rest)[0] if self.rest else None
        config = ConfigDict(
            extra="allow" if self.rest else "forbid",
            strict=True,
            frozen=True,
            validate_default=True,
            allow_inf_nan=False,
        )
        # What stands under other keys has a type too; pydantic reads it from the annotation of a base class.
        body = {"model_config": config, "__module__": __name__}
        extra = {"__annotations__": {"__pydantic_extra__": dict[str, rest]}} if self.rest else {}  # type: ignore[valid-type]
        base = type("Parameters", (BaseModel,), body | extra)
        return create_model(f"{self.kind}:{self.name}", __base__=base, **fields)

    @property
    def rest(self) -> str:
        """Name of the factory's ``**parameters``, which take any key: the class behind it knows them."""
        every = inspect.signature(self.factory).parameters.values()
        return next((each.name for each in every if each.kind is each.VAR_KEYWORD), "")

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Default of every parameter that has one, as plain JSON values."""
        from pydantic_core import to_jsonable_python

        fields = self.schema.model_fields.items()
        return {key: to_jsonable_python(f.get_default()) for key, f in fields if not f.is_required()}

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` checked, with every default filled in, as plain JSON values.

        A class of another package fills in its own. Raises pydantic's ValidationError; ``study`` turns it
        into mistakes with key paths.
        """
        checked = self.schema.model_validate(dict(given))
        return checked.model_dump(mode="json", exclude_unset=bool(self.rest))

    def build(self, parameters: Mapping[str, Any]) -> Any:
        """Call the factory with checked parameters."""
        return self.factory(**parameters)


def _parameter_hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Evaluated annotations of the parameters; what is returned may name a type that only checkers import."""

    def parameters_only() -> None: ...

    names = inspect.signature(factory).parameters
    parameters_only.__annotations__ = {name: factory.__annotations__[name] for name in names}
    return typing.get_type_hints(parameters_only, globalns=factory.__globals__, include_extras=True)


class _Plain:
    """Tells pydantic what TOML can write, once it asks."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(_plain, core_schema.any_schema())


def _plain(value: Any) -> Any:
    """``value``, whose type another package's class checks later. ValueError for what none could take."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    kinds = "a finite number, text, true or false, or a list or table of these"
    raise ValueError(f"must be {kinds}, not {shorten(value)}")


if TYPE_CHECKING:
    Written = Any
else:
    Written = Annotated[Any, _Plain()]
"""What a study may give to a class of another package."""


class Registry:
    """Components of one kind, by name. Refuses duplicates, lists itself."""

    def __init__(
        self, kind: str, fallback: str | None = None, traits: Mapping[str, Any] | None = None
    ) -> None:
        """traits: those that a component may say, and what is so where it does not.

        A tuple lists what can be said, the default first; no mapping: anything goes.
        """
        self.kind, self.traits = kind, traits
        self._components: dict[str, Component] = {}
        self.fallback = fallback
        """Name of the component that stands for every name not registered (any timm model)."""
        self.families: dict[str, Callable[[str], Component]] = {}
        """Prefix → what makes the component of ``prefix:ClassName``."""

    def register(self, name: str, *, version: int = 1, **traits: Any) -> Callable[[F], F]:
        """Decorator: put a factory under ``name``."""

        def add(factory: F) -> F:
            component = Component(self.kind, name, version, factory, self.with_defaults(name, traits))
            known = self._components.get(name)
            if known is not None and not (_arriving and known.origin):
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            if _arriving:
                _arriving[-1].append(component)
            else:
                self._components[name] = component
            return factory

        return add

    def with_defaults(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The traits of the component ``name``; ValueError for one that there is not."""
        if self.traits is None:
            return dict(given)
        for trait, value in given.items():
            if trait not in self.traits:
                hint = did_you_mean(trait, self.traits)
                raise ValueError(f"{self.kind} {name!r} has no trait {trait!r}; {hint}")
            allowed = self.traits[trait]
            if isinstance(allowed, tuple) and value not in allowed:
                hint = did_you_mean(str(value), allowed)
                raise ValueError(f"{self.kind} {name!r}: {trait} = {value!r}; {hint}")
        defaults = {k: v[0] if isinstance(v, tuple) else v for k, v in self.traits.items() if v is not None}
        return {**defaults, **given}

    def family(self, prefix: str) -> Callable[[Callable[[str], Component]], Callable[[str], Component]]:
        """Decorator: a function from a class's name to its component, for every ``prefix:ClassName``.

        Its docstring is the family's. It imports nothing: whether there is such a class is told before the
        first trial.
        """

        def add(member: Callable[[str], Component]) -> Callable[[str], Component]:
            self.families[prefix] = functools.wraps(member)(functools.cache(member))
            return member

        return add

    def _in_family(self, name: str) -> bool:
        prefix, _, of = name.partition(":")
        return prefix in self.families and of.isidentifier()

    def __getitem__(self, name: str) -> Component:
        if self._in_family(name):
            prefix, _, of = name.partition(":")
            return self.families[prefix](of)
        known = self._components.get(name)
        if known is None and self.fallback is not None:
            known = self._components[self.fallback]
        if known is None:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise UserError(f'"{name}" is not {article} {self.kind}; {did_you_mean(name, self.names())}')
        return known

    def __contains__(self, name: object) -> bool:
        known = name in self._components or self.fallback is not None
        return known or (isinstance(name, str) and self._in_family(name))

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components[name] for name in self.names())

    def names(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(self._components)


class Sources(Registry):
    """Where images come from. A study writes ``NAME``, or ``NAME:PATH`` where there is something to read.

    A source is one function that opens it: its parameters are ``path`` and the keys of ``[data]`` that it
    takes (``size_px``, ``groups``, ``recipe.SOURCE_KEYS``); it returns a ``bench.data.reader.Reader``::

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
    judged    True: holds predictions and no images, so that nobody is pointed to it
    fetch     (path, progress) → path: downloads it, for ``bench data fetch``
    """

    def forms(self, *, external: bool = False, judged: bool = False) -> dict[str, str]:
        """Name → how a study writes it (``folder:PATH``), of what holds images.

        external  only what hidden sets can be
        judged    also what ``bench judge`` alone writes
        """
        known = [c for c in self if not external or c.traits.get("external", True)]
        known = [c for c in known if judged or not c.traits.get("judged")]
        return {c.name: f"{c.name}:PATH" if "path" in c.traits else c.name for c in known}

    def named(self, written: str) -> tuple[Component, str]:
        """The source that ``written`` names, and its PATH. Raises UserError."""
        if problem := self.problem(written):
            raise UserError(f"{shorten(written, 200)}: {problem}")
        name, _, path = written.partition(":")
        return self[name], path

    def numbered(self, written: str) -> bool:
        """Whether what ``written`` names has numbers for classes."""
        name = written.partition(":")[0]
        return name in self and bool(self[name].traits.get("numbered"))

    def problem(self, written: str, *, external: bool = False) -> str | None:
        """Why a study cannot write this, or None."""
        name, _, path = written.partition(":")
        forms = self.forms(external=external, judged=True)
        if name not in forms:
            what = "of an external hidden set" if external else "of that name"
            images = self.forms(external=external)
            return f"no source {what}; {did_you_mean(name, images)}   (bench list sources)"
        right = path if "path" in self[name].traits else written == name
        return None if right else f'must be "{forms[name]}"'


class Metrics(Registry):
    """Scores. Those of the clinic are asked for with a class: ``sensitivity(naevus, specificity = 0.9)``."""

    def __getitem__(self, name: str) -> Component:
        if "(" not in name:
            return super().__getitem__(name)
        if problem := self.problem(name):
            raise UserError(f"{shorten(name, 200)}: {problem}")
        return self._called(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and not self.problem(name)

    def stored(self) -> Iterator[Component]:
        """Those that every trial is scored with; the others are told where a study asks for them."""
        return (metric for metric in self if not metric.traits.get("asked"))

    def needs_class(self, name: str) -> bool:
        """Whether it says nothing before a class is named."""
        return name in self._components and "positive" in self._components[name].takes

    def needs_probabilities(self, name: str) -> bool:
        """Whether the most probable class alone does not tell it, at the levels that it names."""
        metric = self[name]
        levels = getattr(metric.factory, "keywords", {})
        by_threshold = any(levels.get(level) is not None for level in ("sensitivity", "specificity"))
        return by_threshold or metric.traits.get("told_from") == "probabilities"

    def positive(self, name: str) -> tuple[str, ...]:
        """The classes that a score names; of most none."""
        return tuple(self[name].factory.keywords["positive"]) if "(" in name else ()  # type: ignore[attr-defined]

    def of_each(self, name: str, classes: Iterable[str]) -> list[str]:
        """A score, or where it needs a class and names none, that of every class."""
        if not self.needs_class(name):
            return [name]
        plain = re.compile(r"[^\s\",=()]([^\",=()]*[^\s\",=()])?")
        return [f"{name}({one})" if plain.fullmatch(one) else f'{name}("{one}")' for one in classes]

    def problem(self, written: str) -> str:
        """Why a study cannot ask for this; empty where it can."""
        name, bracket, _ = written.partition("(")
        if name.strip() not in self._components:
            return f"no such metric; {did_you_mean(name.strip(), self.names())}"
        if self.needs_class(name.strip()) != bool(bracket):
            return f"{name.strip()} takes no class" if bracket else f"needs a class: {name}(CLASS)"
        try:
            if bracket:
                self._called(written)
        except ValueError as error:
            return str(error)
        return ""

    def _called(self, written: str) -> Component:
        """The component with its parameters; ValueError for what they cannot be."""
        match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", written)
        if match is None:
            raise ValueError(f"must be {written.partition('(')[0]}(CLASS), with brackets around the class")
        base, positive, levels = self._components[match[1]], [], {}
        for quoted, plain, key, number in CALLED.findall(match[2]):
            if key:
                levels[key] = float(number)
            else:
                positive.append(quoted or plain.strip())
        if CALLED.sub("", match[2]).strip(" ,"):
            raise ValueError(
                'give classes and levels with commas between: (CLASS, "A, B", specificity = 0.9)'
            )
        unknown = [key for key in levels if key not in base.takes or key == "positive"]
        if unknown:
            others = [key for key in base.takes if key != "positive"]
            raise ValueError(f"{base.name} has no level {unknown[0]}; {did_you_mean(unknown[0], others)}")
        try:
            given = base.parameters({"positive": positive, **levels})
        except ValueError as error:  # pydantic's
            raise ValueError(f"{'; '.join(str(error).splitlines()[1:3])}") from None
        chance = base.traits.get("chance")
        traits = dict(base.traits)
        if callable(chance):
            traits["chance"] = functools.partial(chance, given)
        return replace(base, name=written, factory=functools.partial(base.factory, **given), traits=traits)


CALLED = re.compile(r'\s*(?:"([^"]*)"|([^",=()]+?)|(\w+)\s*=\s*(\d*\.?\d+))\s*(?:,|$)')
"""One class, in quotation marks or not, or one level, of those in the brackets."""

augmentations = Registry("augmentation", traits=dict.fromkeys(("does", "geometric", "mixes_images", "views")))
models = Registry("model", fallback="timm")
optimizers = Registry("optimizer")
schedules = Registry("schedule")
losses = Registry("loss")
metrics = Metrics(
    "metric",
    traits={
        "asked": None,
        "unit": "share",
        "lower_is_better": False,
        "interval": ("leave-one-out", "images", "none"),
        "told_from": None,
        "chance": None,
    },
)
corruptions = Registry("corruption")
sources = Sources("source")
executors = Registry("executor")
samplers = Registry("sampler")
pruners = Registry("pruner")

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
    "samplers": samplers,
    "pruners": pruners,
}
"""What ``bench list KIND`` knows, by plural."""

_arriving: list[list[Component]] = []
"""Where what registers now is collected, the innermost last; empty: it is bench's own."""


@contextlib.contextmanager
def arriving() -> Iterator[list[Component]]:
    """Collect what registers inside, and offer it to nobody yet."""
    _arriving.append([])
    try:
        yield _arriving[-1]
    finally:
        _arriving.pop()


def use(components: Iterable[Component]) -> None:
    """Offer these beside bench's own, and nothing else from outside: what the study at hand uses."""
    for component in foreign():
        del _registry_of(component)._components[component.name]
    for component in components:
        _registry_of(component)._components[component.name] = component


def foreign() -> list[Component]:
    """Everything on offer that is not bench's own."""
    return [one for registry in REGISTRIES.values() for one in registry if one.origin]


def _registry_of(component: Component) -> Registry:
    return next(registry for registry in REGISTRIES.values() if registry.kind == component.kind)


def version_today(key: str) -> int | str | None:
    """Version of the component that a record calls ``kind:name``; None where it is no longer one."""
    kind, _, name = key.partition(":")
    registry = next((registry for registry in REGISTRIES.values() if registry.kind == kind), None)
    component = registry[name] if registry and name in registry else None
    return component.version if component and component.name == name else None
