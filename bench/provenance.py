"""Where a result comes from: libraries, machine, commit. None of it takes part in a trial's id."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

LIBRARIES = ("torch", "torchvision", "timm", "kornia", "lion-pytorch", "optuna", "numpy", "scipy", "pillow")


@functools.cache
def libraries() -> dict[str, str]:
    """Installed versions of what can change a score."""
    return {"python": platform.python_version()} | _versions(LIBRARIES)


def packages(origins: Iterable[str]) -> dict[str, str]:
    """The same of the packages that components are from; ``package:NAME`` among their origins."""
    return _versions(sorted({one.partition(":")[2] for one in origins if one.startswith("package:")}))


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@functools.cache
def commit() -> str:
    """Commit of the source tree bench runs from, ``+`` when it has changes; empty outside a checkout."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return ""
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    return head + "+" if head and _git(folder, "status", "--porcelain", "--", "bench") else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(device: str) -> dict[str, str | int]:
    """The computer a trial ran on, without its name."""
    about: dict[str, str | int] = {
        "device": device.partition(":")[0],
        "device_name": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "system": platform.system(),
    }
    if device.startswith("cuda"):
        about["device_name"] = _gpu_name(device)
    return about


def _gpu_name(device: str) -> str:
    """What the GPU is called; a process that has none open, as a conductor, asks the driver instead."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return torch.cuda.get_device_name(device)
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return "unknown GPU"


@functools.cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
