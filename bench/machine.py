"""What belongs to the machine and never changes a score: folders, device, executor.

Precedence: command line, environment (``BENCH_…``), ``bench.toml``, default.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.claims import LEASE_S
from bench.errors import Mistake, UserError, did_you_mean, mistakes_error, shorten
from bench.files import content_of
from bench.registry import executors

DEVICES = ("auto", "cpu", "cuda")
SETTINGS = ("results", "cache", "device", "executor", "workers", "gang", "address", "resident_gb", "lease_s")
"""Keys of ``bench.toml`` beside ``[paths]``, and of the environment as ``BENCH_…``."""
MOST_GB = 1e6
"""More gigabytes than any device has; what ``resident_gb`` must stay below."""


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bench"


@dataclass(frozen=True)
class Machine:
    """Settings of this machine. Paths are absolute."""

    results: Path = field(default_factory=lambda: Path("results").resolve())
    cache: Path = field(default_factory=_user_cache)
    device: str = "auto"
    executor: str = "local"
    workers: int = 0
    """Worker processes of the local executor; 0: as many as cores (CPU) or as fit (GPU)."""
    gang: int = 0
    """Trials that take turns in one worker; 0: one on a CPU, on a GPU as many as fit and pay."""
    resident_gb: float = 0.0
    """Images that a trial may keep on its device, in GB; a split beyond that is streamed. 0: half of a GPU's
    free memory, half a gigabyte on a CPU."""
    lease_s: float = LEASE_S
    """Seconds without a sign of life after which other runs on its results folder take its trials over."""
    address: str = ""
    """Ray cluster of ``executor = "ray"``; empty: one is started here."""
    paths: Mapping[str, Path] = field(default_factory=dict)
    """Named folders and files: a study writes ``folder:@pbc96``, this says where that is."""

    @property
    def resident_bytes(self) -> int:
        """``resident_gb`` in bytes, at least one where it is given."""
        return math.ceil(self.resident_gb * 1e9)

    def resolve(self, written: str, relative_to: Path, *, kind: Literal["file", "folder"] = "folder") -> Path:
        """The file or folder a study means: ``@name[/rest]`` through ``[paths]``, else relative to the study.

        kind   what it should be; ``@name/rest`` needs a folder under that name all the same
        Raises UserError for a name ``[paths]`` does not have.
        """
        if not written.startswith("@"):
            return _absolute(written, relative_to)
        name, _, rest = written[1:].partition("/")
        if name not in self.paths:
            hint = did_you_mean(name, self.paths) if self.paths else "it names none yet"
            what = "FILE" if kind == "file" and not rest else "FOLDER"
            raise UserError(
                f'"@{name}" is not in [paths] of bench.toml; {hint}\n'
                f'    add  {name} = "{what}"  under [paths], or set BENCH_PATHS_{_env_name(name)}={what}'
            )
        return _absolute(rest, self.paths[name])


def _absolute(written: str, relative_to: Path) -> Path:
    """``written`` as an absolute path. Raises UserError for what none can be: ``~nobody``, a null byte."""
    try:
        return (relative_to / Path(written).expanduser()).resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{shorten(written)} is no path: {error}; give a file or folder that can exist"
        ) from None


def _env_name(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).upper()


def find_settings(start: Path) -> Path | None:
    """The nearest ``bench.toml`` at ``start`` or above it."""
    for folder in (start, *start.parents):
        if (folder / "bench.toml").is_file():
            return folder / "bench.toml"
    return None


def load(start: Path, overrides: Mapping[str, Any] | None = None) -> Machine:
    """Settings as seen from folder ``start``; ``overrides`` are the command line's, None where not given.

    Raises UserError that lists every mistake of ``bench.toml``, or the offending environment variable.
    """
    file = find_settings(start)
    settings = _from_file(file) if file else {}
    settings |= _from_environment(os.environ, dict(settings.get("paths", {})))
    settings |= {key: value for key, value in (overrides or {}).items() if value is not None}
    for key in ("results", "cache"):
        if key in settings:
            settings[key] = _absolute(str(settings[key]), Path.cwd())
    return replace(Machine(), **settings)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(content_of(file).decode())
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOML and UTF-8 errors are ValueErrors, as is a huge number
        raise UserError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    mistakes: list[Mistake] = []
    settings: dict[str, Any] = {}
    for key, value in table.items():
        problem = _problem(key, value)
        try:
            settings[key] = value if problem else _placed(key, value, file.parent)
        except UserError as error:
            problem = str(error)
        if problem:
            mistakes.append(Mistake(key, shorten(value), problem))
    if mistakes:
        raise mistakes_error(str(file), mistakes)
    return settings


def _placed(key: str, value: Any, folder: Path) -> Any:
    """A checked setting, with folders seen from ``folder``."""
    if key == "paths":
        return {name: _absolute(written, folder) for name, written in value.items()}
    return _absolute(value, folder) if key in ("results", "cache") else value


def _problem(key: str, value: object) -> str | None:
    """What is wrong with one setting, or None."""
    if key in ("results", "cache"):
        return None if isinstance(value, str) and value else "must be a folder, as text"
    if key == "device":
        return None if value in DEVICES else f"must be one of {', '.join(DEVICES)}"
    if key == "executor":
        known = executors.names()
        return None if value in known else f"must be one of {', '.join(known)}"
    if key == "address":
        return None if isinstance(value, str) else 'must be text, for example "auto" or "HOST:6379"'
    if key in ("workers", "gang"):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if good else "must be a whole number, 0 (choose for me) or more"
    if key == "resident_gb":
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST_GB
        return None if good else "must be a number of gigabytes, 0 (choose for me) or more"
    if key == "lease_s":
        from bench.at_work import LONGEST_LEASE_S  # imports pydantic

        good = (
            isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LONGEST_LEASE_S
        )
        return None if good else f"must be a number of seconds, more than 0 and at most {LONGEST_LEASE_S}"
    if key == "paths":
        good = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        return None if good else 'must be a table of folders, for example pbc96 = "data/pbc96"'
    return f"unknown key; {did_you_mean(key, (*SETTINGS, 'paths'))}"


def _number(text: str) -> int | float | str:
    """``text`` as the number that it writes in ordinary digits; itself where it writes none."""
    if not (text.isascii() and len(text) < 10):
        return text
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


def _from_environment(environ: Mapping[str, str], paths: dict[str, Path]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    known = {_env_name(name): name for name in paths}
    for variable, text in environ.items():
        if variable.startswith("BENCH_PATHS_"):
            wanted = variable.removeprefix("BENCH_PATHS_")
            paths[known.get(wanted, wanted.lower())] = _absolute(text, Path.cwd())
            continue
        key = variable.removeprefix("BENCH_").lower()
        if not variable.startswith("BENCH_") or key not in SETTINGS:
            continue
        value: object = _number(text) if key in ("workers", "gang", "resident_gb", "lease_s") else text
        problem = _problem(key, value)
        if problem:
            raise UserError(f"environment variable {variable} = {shorten(text)}: {problem}")
        settings[key] = value
    return settings | {"paths": paths}
