"""``bench data``: where images come from."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.registry import sources as known


def sources(machine: Machine) -> str:
    """The sources a study can name, and the folders this machine names."""
    forms = known.forms()
    width = max(map(len, forms.values()))
    lines = [f"{form:<{width}} {known[name].summary}" for name, form in forms.items()]
    lines += ["", "folders named in [paths] of bench.toml"]
    lines += [
        f"  @{name:<12} {path}{'' if path.exists() else '   (missing)'}"
        for name, path in machine.paths.items()
    ]
    if not machine.paths:
        lines.append("  none")
    return "\n".join(lines)


def fetch(source: str, size_px: int, machine: Machine, terminal: Terminal) -> str:
    """Download a source into the cache; return where it lies."""
    from bench.data.fingerprint import locate
    from bench.recipe import Data

    component, _ = known.named(source)
    if "fetch" not in component.traits:
        downloaded = ", ".join(each.name for each in known if "fetch" in each.traits)
        raise UserError(f'"{source}": only {downloaded} is downloaded; the others are drawn here, or yours')
    path = locate(source, Data(source=source, size_px=size_px), machine, Path.cwd()).path
    with terminal.counting(f"downloading {path.name if path else source}", "bytes") as count:
        return str(component.traits["fetch"](path, count))
