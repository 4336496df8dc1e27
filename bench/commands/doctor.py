"""``bench doctor``: what this machine can do, and what would stop a study before it starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from bench import provenance
from bench.claims import at_work, told
from bench.execute import look
from bench.execute.driver import unused_gpu
from bench.execute.slots import cores
from bench.machine import Machine
from bench.registry import executors

LEAST_FREE = 1e9
"""Bytes: less is soon filled by decoded images or by weights."""


def examine(machine: Machine) -> tuple[str, bool]:
    """A report, and whether nothing is wrong."""
    folders = [("results", machine.results), ("cache", machine.cache)]
    problems = [text for name, path in folders for text in (*_unwritable(name, path), *_full(name, path))]
    if why := unused_gpu():
        problems.append(
            f"gpu: there is one that torch cannot use: {why}; update the driver, or install a torch for it"
        )
    lines = [
        *_device(),
        "libraries  " + "  ".join(f"{name} {version}" for name, version in provenance.libraries().items()),
        *(f"{name:<10} {path}  {_free(path) / 1e9:.0f} GB free" for name, path in folders),
        f"executor   {machine.executor}, workers {machine.workers or 'chosen per device'}, "
        f"gang {machine.gang or 'chosen per device'}, {_extras()}",
        *_at_work(machine.results),
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

    memory = _memory()
    held = f", {memory / 1e9:.0f} GB of memory" if memory else ""
    lines = [
        f"cpu        {provenance.machine('cpu')['device_name']}, {cores()} of {os.cpu_count()} cores{held}",
        f"           fp32, {_cpu_bf16()}",
    ]
    if not torch.cuda.is_available():
        return [*lines, "gpu        none that torch sees; studies run on the CPU"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        kinds = ["fp32", *(["tf32"] if about.major >= 8 else []), *(["bf16"] if about.major >= 8 else [])]
        room = f"{free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        lines.append(f"gpu {index}      {about.name}, {room}, {', '.join(kinds)}")
    return [*lines, _mps()]


def _mps() -> str:
    """Whether processes of this machine share a GPU's time or its processors."""
    if look.mps():
        return "mps        its daemon runs: kernels of several workers can run side by side"
    return "mps        off: several workers take a GPU in turns, trials of a gang need no daemon"


def _cpu_bf16() -> str:
    """Whether bfloat16 makes a CPU faster or only less exact."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text("utf-8", errors="replace") if info.exists() else ""
    there = any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
    return "bf16" if there else "bf16 without support in hardware: slower than fp32"


def _memory() -> int:
    """Bytes of the machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _extras() -> str:
    """Version of each package that an executor needs beyond those of bench, or how to get it."""
    texts = []
    for name in filter(None, (executor.traits.get("needs") for executor in executors)):
        try:
            texts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            texts.append(f"{name} not installed (uv sync --extra {name})")
    return ", ".join(texts)


def _at_work(results: Path) -> list[str]:
    """The runs that share the results folder."""
    return [
        f"running    {run['title'] or 'at its start'}: {run['ended']}/{run['total']}, " + told(run["owner"])
        for run in at_work(results)
    ]


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _free(path: Path) -> int:
    return shutil.disk_usage(_nearest(path)).free


def _full(name: str, path: Path) -> list[str]:
    free = _free(path)
    return (
        [] if free >= LEAST_FREE else [f"{name}: {path} has {free / 1e6:.0f} MB left; bench clean frees some"]
    )


def _unwritable(name: str, path: Path) -> list[str]:
    try:
        with tempfile.TemporaryFile(dir=_nearest(path)):
            return []
    except OSError as error:
        return [f"{name}: {path} cannot be written ({error.strerror})"]
