"""Weight files in and out. Nothing read is executed: safetensors, or ``torch.load(weights_only=True)``."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.errors import UserError
from bench.files import move

StateDict = Mapping[str, Tensor]
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts commonly put the weights of a checkpoint."""

COUNTER = "num_batches_tracked"


def save(state: StateDict, path: Path) -> None:
    """Write a network's state, buffers included, as safetensors; whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, partial)
        move(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of a weight file by name, on the CPU.

    Raises UserError when the file is missing, damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"weights = {path}: no such file; give the path of a .pth or .safetensors file"
        ) from None
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(
            f"weights = {path}: not a readable weight file ({reason}); "
            "allowed: safetensors, or a .pth that holds tensors only"
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"weights = {path}: holds a {type(content).__name__}, not a table of tensors by name")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


@dataclass(frozen=True)
class Fitting:
    """How the tensors of a file fit a model, by name."""

    matching: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    """``name (file shape, not model shape)``."""
    missing: list[str] = field(default_factory=list)
    """The model has it, the file does not."""
    unknown: list[str] = field(default_factory=list)
    """The file has it, the model does not."""

    @property
    def fits(self) -> bool:
        """Whether every tensor of the model is in the file, and nothing else is."""
        return not (self.other_shape or self.missing or self.unknown)

    def __str__(self) -> str:
        total = len(self.matching) + len(self.other_shape) + len(self.missing)
        parts = [f"{len(self.matching)} of the model's {total} tensors match"]
        for label, names in (
            ("another shape", self.other_shape),
            ("not in the file", self.missing),
            ("not in the model", self.unknown),
        ):
            if names:
                more = ", …" if len(names) > 3 else ""
                parts.append(f"{len(names)} {label} ({', '.join(names[:3])}{more})")
        return "; ".join(parts)


def compare(model: StateDict, file: StateDict) -> Fitting:
    """Names and shapes of two states. Batch norm's counters may be missing: old files have none."""
    found = Fitting()
    for name, tensor in model.items():
        if name not in file:
            if not name.endswith(COUNTER):
                found.missing.append(name)
        elif file[name].shape != tensor.shape:
            found.other_shape.append(f"{name} {tuple(file[name].shape)}, not {tuple(tensor.shape)}")
        else:
            found.matching.append(name)
    found.unknown.extend(name for name in file if name not in model and not name.endswith(COUNTER))
    return found


def load_strictly(module: nn.Module, state: StateDict, what: str) -> None:
    """Copy ``state`` into ``module``.

    Raises UserError that starts with ``what`` and counts what fits, when anything is missing, foreign or of
    another shape. On the meta device it only compares.
    """
    found = compare(module.state_dict(), state)
    if not found.fits:
        raise UserError(f"{what}: {found}; give the file that was made for this model")
    if not any(parameter.is_meta for parameter in module.parameters()):
        module.load_state_dict(state, strict=False)
