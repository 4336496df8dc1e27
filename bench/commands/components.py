"""``bench list``: what a study can name. Reads docstrings and signatures; builds nothing."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from bench.errors import UserError, did_you_mean, shorten
from bench.registry import REGISTRIES, Component, use
from bench.study.code import components as offered
from bench.study.code import installed
from bench.study.read import load


def components(kind: str, *, as_json: bool, study: Path | None = None) -> str:
    """All kinds, or every component of one kind with its parameters.

    study   also what this one offers; without it, what any installed package does
    """
    code = load(study).code if study else installed()
    use(offered(code))
    whence = {one.origin: one.name for one in code if not one.package}
    if not kind:
        counts = {plural: len(registry.names()) for plural, registry in REGISTRIES.items()}
        lines = [f"{plural:<14} {count:>3}   bench list {plural}" for plural, count in counts.items()]
        return json.dumps(counts) if as_json else "\n".join(lines)
    if kind not in REGISTRIES:
        raise UserError(f'"{kind}" is not a kind of component; {did_you_mean(kind, REGISTRIES)}')
    found, families = list(REGISTRIES[kind]), REGISTRIES[kind].families
    if as_json:
        about = {
            c.name: {
                "summary": c.summary,
                "parameters": parameters(c),
                "version": c.version,
                "origin": c.origin,
            }
            for c in found
        }
        return json.dumps(about, indent=1)
    width = max(len(component.name) for component in found)
    width = max([width, *(len(named(prefix)) for prefix in families)])
    lines = []
    for component in found:
        where = component.origin and f"  ({whence.get(component.origin, component.origin)})"
        lines.append(f"{component.name:<{width}}  {component.summary}{where}")
        settings = ", ".join(f"{key} = {value}" for key, value in parameters(component).items())
        if settings:
            lines.append(f"{'':<{width}}    {settings}")
    for prefix, member in families.items():
        lines.append(f"{named(prefix):<{width}}  {(inspect.getdoc(member) or '').partition(chr(10))[0]}")
    return "\n".join(lines)


def named(prefix: str) -> str:
    """How a study names a class of another package."""
    return f"{prefix}:ClassName"


def parameters(component: Component) -> dict[str, str]:
    """Parameter → its default as TOML writes it, or ``required``."""
    out = {}
    for name, parameter in inspect.signature(component.factory).parameters.items():
        default = parameter.default
        if default is inspect.Parameter.empty:
            out[name] = "required"
        else:
            out[name] = "not set" if default is None else shorten(default)
    return out
