"""``bench doctor``: what this machine can do, and what would stop a study before it starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bench import provenance
from bench.machine import Machine


def examine(machine: Machine) -> tuple[str, bool]:
    """A report, and whether nothing is wrong."""
    folders = [("results", machine.results), ("cache", machine.cache)]
    problems = [text for name, path in folders for text in _unwritable(name, path)]
    lines = [
        *_device(),
        "libraries  " + "  ".join(f"{name} {version}" for name, version in provenance.libraries().items()),
        *(f"{name:<10} {path}  {_free(path)}" for name, path in folders),
        f"executor   {machine.executor}, workers {machine.workers or 'chosen per device'}",
        *(
            f"path       @{name} → {path}{'' if path.exists() else '  (missing)'}"
            for name, path in machine.paths.items()
        ),
        *(f"problem    {problem}" for problem in problems),
        "all well" if not problems else f"{len(problems)} problem{'s' * (len(problems) > 1)}",
    ]
    return "\n".join(lines), not problems


def _device() -> list[str]:
    import torch

    lines = [f"cpu        {provenance.machine('cpu')['device_name']}, {os.cpu_count()} cores"]
    if not torch.cuda.is_available():
        return [*lines, "gpu        none that torch sees; studies run on the CPU"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        lines.append(f"gpu {index}      {about.name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free, {bf16}")
    return lines


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _free(path: Path) -> str:
    return f"{shutil.disk_usage(_nearest(path)).free / 1e9:.0f} GB free"


def _unwritable(name: str, path: Path) -> list[str]:
    try:
        with tempfile.TemporaryFile(dir=_nearest(path)):
            return []
    except OSError as error:
        return [f"{name}: {path} cannot be written ({error.strerror})"]
