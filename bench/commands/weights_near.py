"""Pretrained weights that can be had here: files that bench.toml names, else those of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.machine import Machine
from bench.recipe import Choice

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".bin")
LARGEST_MB = {"cpu": 20.0, "cuda": 400.0}
"""Of several files the largest up to so many megabytes, 4 to a million weights: what trains in minutes."""
FROM_HUB = {"cpu": "tf_efficientnet_lite0", "cuda": "efficientnet_b0"}
TENSORFLOW = {"pad_type": "same", "bn_eps": 1e-3, "mean": [0.5] * 3, "std": [0.5] * 3}
"""How networks of Keras pad, normalise and scale."""
DROPOUT = 0.2


@dataclass(frozen=True)
class Start:
    """A model to start from, and why this one."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def pretrained(self) -> bool:
        """Whether it comes with weights."""
        return bool(self.params)


def start(machine: Machine, channels: int, device: str) -> Start:
    """The best network to start from on this machine; ``custom_cnn`` where no weights can be had.

    channels  of the images: 1 or 3
    device    ``cpu`` or ``cuda``

    Asks the hub only where ``[paths]`` names no file that fits.
    """
    fitting = [one for one in _files(machine) if _fits(*one, channels)]
    if fitting:
        small = [one for one in fitting if _mb(one[1]) <= LARGEST_MB[device]]
        choice, path = max(small, key=_size) if small else min(fitting, key=_size)
        made = "; made by Keras, as its name says" if "pad_type" in choice.params else ""
        why = f"{path.name}, {_mb(path):.0f} MB, from [paths] of bench.toml{made}"
        return Start(choice.name, choice.params, why)
    name = FROM_HUB[device]
    offline = Choice(name=name, params={"pretrained": True, "dropout": DROPOUT})
    try:
        _architecture(offline).fits(name, _task(channels), None)
    except UserError:
        return Start("custom_cnn", {}, NOWHERE)
    return Start(name, offline.params, "weights of ImageNet from the hub, downloaded once")


NOWHERE = (
    "from random weights, which learns little from few images: the hub cannot be reached (offline), and "
    '[paths] of bench.toml names no weight file (tf_efficientnet_lite0 = "FILE.pth", by timm\'s name)'
)


def _files(machine: Machine) -> Iterator[tuple[Choice, Path]]:
    """Weight files under ``[paths]`` whose name says of which model they are: (model, file)."""
    for key, path in machine.paths.items():
        inside = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
        for file in inside:
            if file.suffix not in SUFFIXES or not file.is_file():
                continue
            written = f"@{key}" if file == path else f"@{key}/{file.name}"
            name = _model(key) if file == path else ""
            if name := name or _model(file.stem):
                yield Choice(name=name, params=_params(written, file)), file


def _model(text: str) -> str:
    """The timm model that a name is, or begins with: ``mobilenetv2_035`` of ``mobilenetv2_035_keras``."""
    import timm

    known = set(timm.list_models())
    parts = re.split(r"(?=[_.-])", text)
    begins = ("".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in begins if name in known), "")


def _params(written: str, file: Path) -> dict[str, Any]:
    keras = re.search(r"(^|[_.-])(keras|tensorflow)([_.-]|$)", file.stem)
    return {"weights": written, "dropout": DROPOUT, **(TENSORFLOW if keras else {})}


def _fits(choice: Choice, path: Path, channels: int) -> bool:
    """Whether the network takes every tensor of the file."""
    try:
        params = choice.params if channels == 3 else {**choice.params, "mean": None, "std": None}
        _architecture(Choice(name=choice.name, params=params)).build(choice.name, _task(channels), path)
    except UserError:
        return False
    return True


def _architecture(choice: Choice) -> Any:
    from bench.models.architecture import architecture_of

    return architecture_of(choice)


def _task(channels: int) -> Any:
    from bench.models.architecture import Task

    return Task(classes=2, channels=channels, size_px=64)


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6


def _size(one: tuple[Choice, Path]) -> int:
    return one[1].stat().st_size
