"""Code from outside: files that a study names in ``uses``, and entry points of installed packages.

What plans or trains a study runs them, which registers components. What only reads records goes by what
``plan.json`` keeps of those (``told``) and needs none of the code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.abc
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from bench.errors import UserError, is_stop, line_of, shorten, words_of
from bench.files import content_of
from bench.registry import REGISTRIES, UNREAD, Component, arriving

GROUP = "bench.components"
"""Entry points of installed packages: name of a component = module that registers it."""


@dataclass(frozen=True)
class Code:
    """A file or an entry point, ready to be run here or wherever a trial is sent."""

    name: str
    """The file as the study writes it, or the entry point's name."""
    file: str = ""
    """Where the file was read; an entry point's module."""
    content: bytes = b""
    """The file's bytes: what was hashed is what runs."""
    package: str = ""
    """Distribution of an entry point; empty: a file of the study's."""

    @property
    def origin(self) -> str:
        """What the identity of its components says of it."""
        return f"package:{self.package}" if self.package else f"sha256:{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def run(self) -> tuple[Component, ...]:
        """What it registers. Runs once in a process; raises UserError with file, line and exception."""
        try:
            found = _imported(self.file) if self.package else _executed(self.name, self.file, self.content)
        except BaseException as error:  # it may raise anything
            if is_stop(error):
                raise
            raise UserError(f"{self._place(error)}: {line_of(error)}") from error
        found = tuple(c for c in found if not self.package or c.name == self.name)
        if not found:
            what = f'"{self.name}"' if self.package else "a component"
            raise UserError(f"{self.file} does not register {what}; docs/add-a-component.md shows how")
        for component in found:
            _check_signature(component, self.file)
        return tuple(replace(component, origin=self.origin) for component in found)

    def _place(self, error: BaseException) -> str:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == self.file]
        lines += [error.lineno] if isinstance(error, SyntaxError) and error.filename == self.file else []
        return f"{self.file}, line {lines[-1]}" if lines else self.file


class _Read(importlib.abc.ExecutionLoader):
    """Loads a module from bytes that were read before."""

    def __init__(self, file: str, content: bytes) -> None:
        self._file, self._content = file, content

    def get_filename(self, fullname: str) -> str:
        return self._file

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._content)


@functools.cache
def _executed(name: str, file: str, content: bytes) -> tuple[Component, ...]:
    """Run a file as a module that nobody else's can be mistaken for."""
    called = f"bench_uses_{Path(name).stem}_{hashlib.sha256(content).hexdigest()[:12]}"
    spec = importlib.util.spec_from_loader(called, _Read(file, content))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[called] = module  # where dataclasses look their annotations up
    with arriving() as found:
        spec.loader.exec_module(module)
    return tuple(found)


@functools.cache
def _imported(module: str) -> tuple[Component, ...]:
    with arriving() as found:
        importlib.import_module(module)
    return tuple(found)


def _check_signature(component: Component, file: str) -> None:
    """Raise UserError where a study could not set the parameters of ``component``."""
    what = f'{file}: {component.kind} "{component.name}"'
    if not re.fullmatch(r"[\w.+-]+", component.name):
        raise UserError(f"{what}: a name is letters, digits, and any of _ . + -")
    for parameter in inspect.signature(component.factory).parameters.values():
        bad = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if bad or parameter.annotation is parameter.empty or parameter.name in ("name", "params"):
            raise UserError(
                f"{what}: {parameter} is no parameter that a study can set; "
                "each has a type, as in (strength: float = 0.5), and none is called name or params"
            )
    try:
        if not component.schema.model_json_schema().get("required"):
            component.parameters({})
    except Exception as error:
        reason = words_of(error).replace("\n", " ")
        raise UserError(f"{what}: its parameters cannot be checked: {reason}") from error


Tree = Mapping[str, Any]
Outside = Callable[[Tree], tuple[tuple[Code, ...], Iterable[Component]]]
"""A study's table → the code it names and the components of it. Raises UserError, one mistake a line."""


def nothing(table: Tree) -> tuple[tuple[Code, ...], list[Component]]:
    """No code, so that a name from outside is unknown."""
    return (), []


def run_in(folder: Path) -> Outside:
    """The code that a study in ``folder`` names is run; a file is read once, for all its data sets."""
    read = functools.cache(functools.partial(_read, folder=folder))

    def outside(table: Tree) -> tuple[tuple[Code, ...], list[Component]]:
        code = named(table, read)
        return code, components(code)

    return outside


def unread_in(folder: Path) -> Outside:
    """The code is only looked at: what it seems to register is there, with any parameters."""

    def outside(table: Tree) -> tuple[tuple[Code, ...], list[Component]]:
        code = named(table, functools.partial(_read, folder=folder))
        seen = {(plural, name) for one in code for plural, name in _seems_to_register(one)}
        paths = {word.partition(":")[0] for word in _words(table) if ":" in word}
        found: list[Component] = []
        for plural, name in sorted(seen):
            kind, path = REGISTRIES[plural], {"path": "any"} if plural == "sources" and name in paths else {}
            found.append(_Unread(kind.kind, name, 0, not_here, kind.with_defaults(name, path), UNREAD))
        return code, found

    return outside


def components(code: Iterable[Code]) -> list[Component]:
    """What all of ``code`` registers. Raises UserError for a name that is taken twice."""
    found: dict[str, tuple[Component, Code]] = {}
    for one in code:
        for component in one.run():
            if component.id in found:
                other = found[component.id][1]
                raise UserError(
                    f'{component.kind} "{component.name}" is registered by {one.name} and by {other.name}; '
                    "rename one of the two"
                )
            found[component.id] = component, one
    return [component for component, _ in found.values()]


def named(table: Tree, read: Callable[[str], Code]) -> tuple[Code, ...]:
    """The code that a study's table names: its own files, and entry points that are called as it says.

    read   a file, as the study writes it → its code
    """
    uses = table.get("uses", [])
    readable = isinstance(uses, list) and all(
        isinstance(each, str) for each in uses
    )  # else StudyFile says so
    files = [read(each) for each in dict.fromkeys(uses)] if readable else []
    words = set(_words(table))
    return (*files, *(one for one in installed() if one.name in words))


def installed() -> tuple[Code, ...]:
    """Every entry point that offers a component."""
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return tuple(Code(p.name, p.module, package=p.dist.name if p.dist else p.module) for p in found)


def _read(written: str, folder: Path) -> Code:
    """A file that a study names. Raises UserError for what is none, and for one outside of the folder."""
    try:
        path = (folder / written).resolve()
    except (RuntimeError, ValueError, OSError) as error:  # a link to itself, a null byte
        raise UserError(f"{shorten(written)} is no file: {error}; copy one beside the study") from None
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{shorten(written)} leaves the study's folder; copy the file beside the study")
    if path.suffix != ".py":
        raise UserError(f"{shorten(written)} is not a .py file")
    try:
        return Code(written, str(path), content_of(path))
    except OSError as error:
        raise UserError(f"{shorten(written)}: {path} cannot be read: {error.strerror}") from None


def _words(value: Any) -> Iterator[str]:
    """Every text in a table, and the score of a metric in it."""
    if isinstance(value, str):
        yield from (value, value.rpartition(".")[2])
    elif isinstance(value, Mapping):
        yield from (word for each in value.values() for word in _words(each))
    elif isinstance(value, list):
        yield from (word for each in value for word in _words(each))


def _seems_to_register(code: Code) -> Iterator[tuple[str, str]]:
    """Plural and name of the components that a file's text registers; an entry point's, of every kind."""
    if code.package:
        yield from ((plural, code.name) for plural, r in REGISTRIES.items() if code.name not in r.names())
        return
    try:
        tree = ast.parse(code.content, code.file)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{code.file}, line {getattr(error, 'lineno', 1)}: {error}") from None
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(ast.Name(plural) | ast.Attribute(attr=plural), "register"),
                args=[ast.Constant(str(name)), *_],
            ) if plural in REGISTRIES:
                yield plural, name


class _Unread(Component):
    """A component of which only the name was seen."""

    @functools.cached_property
    def schema(self) -> type[BaseModel]:
        return create_model(self.id, __config__=ConfigDict(extra="allow"))


def not_here() -> None:
    """In place of a factory that is not here. Raises UserError."""
    raise UserError("this component's code was not run here; only what is written of it is known")
