"""Options that several commands have, and the machine they come to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UserError, shorten
from bench.registry import executors

if TYPE_CHECKING:
    from bench.machine import Machine


UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 3.6e8
"""Eleven years."""


def path_of(text: str) -> Path:
    """A path that is some. Raises BadParameter."""
    if not text.strip():
        raise typer.BadParameter("is empty; give a path, . is this folder")
    return Path(text)


def _found(study: Path) -> Path:
    from bench.study.toml import find

    return find(study)


def _all_found(studies: list[Path]) -> list[Path]:
    return [_found(study) for study in studies]


Studies = Annotated[
    list[Path], typer.Argument(help="Study files (TOML).", show_default=False, callback=_all_found)
]
OneStudy = Annotated[Path, typer.Argument(help="A study file (TOML).", show_default=False, callback=_found)]
WithStudy = Annotated[
    Path | None,
    typer.Option(
        "--study",
        help="A study file, whose own code has further components.",
        show_default=False,
        callback=lambda study: study and _found(study),
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        parser=path_of,
        metavar="PATH",
        help="Results folder.  \\[default: results/]",
        show_default=False,
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda.  \\[default: auto]", show_default=False)
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Trials at once; 0: one per core, or as many as fit a GPU.  \\[default: 0]",
        show_default=False,
    ),
]
Gang = Annotated[
    int | None,
    typer.Option(
        "--gang",
        min=0,
        help="Trials that take turns in a worker; 0: one on a CPU, as many as pay on a GPU.  \\[default: 0]",
        show_default=False,
    ),
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        help=", ".join(f"{e.name} ({e.traits['where']})" for e in executors) + ".  \\[default: local]",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster for --executor ray: auto, HOST:6379.  \\[default: start one here]",
        show_default=False,
    ),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="TEXT",
        help="End with exit code 3 unless this was found: 'ARM: not harmful on METRIC'; several times for "
        "several.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Smoke = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Every arm on tiny synthetic images, two steps, one seed; results go to results/smoke-runs/.",
    ),
]


def _seconds(text: str, plain: str) -> float:
    """``90s``, ``30m``, ``2h`` in seconds, a number alone in units of ``plain``. Raises BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([smh]?)", text.strip().lower())
    seconds = float(found[1]) * UNITS_S[found[2] or plain] if found else 0.0
    if not 0 < seconds <= LONGEST_S:
        whole = f"{plain} where there is no unit; more than none, at most {LONGEST_S / UNITS_S['h']:,.0f}h"
        raise typer.BadParameter(f"{shorten(text)}: give a time such as 90s, 30m or 2h ({whole})")
    return seconds


def hours_of(text: str) -> float:
    """``8``, ``0.5``, ``8h`` or ``30m``, in hours. Raises BadParameter."""
    return _seconds(text, "h") / UNITS_S["h"]


def seconds_of(text: str) -> float:
    """``90``, ``90s``, ``30m`` or ``2h``, in seconds. Raises BadParameter."""
    return _seconds(text, "s")


def machine_of(**overrides: Any) -> Machine:
    """This machine's settings under those of the command line, None where not given. Raises UserError."""
    from bench import machine

    for key, allowed in (("device", machine.DEVICES), ("executor", executors.names())):
        if overrides.get(key) not in (None, *allowed):
            raise UserError(f'--{key} "{overrides[key]}": must be one of {", ".join(allowed)}')
    return machine.load(Path.cwd(), overrides)
