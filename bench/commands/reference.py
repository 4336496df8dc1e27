"""docs/components.md: every component a study can name, written from docstrings and signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from bench.commands.components import named, parameters
from bench.registry import REGISTRIES, Component

HEADER = """\
# Components

Written from the docstrings by `uv run just docs`; a test fails when stale. `bench list KIND` prints the same.
Shapes: B images in a batch, C channels, H × W pixels, K classes.
"""


def markdown() -> str:
    """The whole page."""
    parts = [HEADER]
    for plural, registry in REGISTRIES.items():
        parts.append(f"\n## {plural.capitalize()}\n")
        parts += [
            _entry(_title(component, registry.fallback), parameters(component), component.factory)
            for component in registry
        ]
        parts += [_entry(f"`{named(prefix)}`", {}, member) for prefix, member in registry.families.items()]
    return "\n".join(parts)


def _title(component: Component, fallback: str | None) -> str:
    return f"any other name: {component.name}" if component.name == fallback else f"`{component.name}`"


def _entry(title: str, settings: Mapping[str, str], told: Callable[..., Any]) -> str:
    lines = [f"### {title}", ""]
    if settings:
        lines += ["`" + ", ".join(f"{key} = {value}" for key, value in settings.items()) + "`", ""]
    text = inspect.getdoc(told) or ""
    summary, _, rest = text.partition("\n")
    lines += [summary, ""]
    if rest.strip():
        # docstrings align their columns by spaces, which Markdown would fold
        lines += ["```text", *re.sub(r"\n{2,}", "\n\n", rest.strip("\n")).splitlines(), "```", ""]
    return "\n".join(lines)
