"""Weight files in and out. Nothing read is executed: safetensors, or ``torch.load(weights_only=True)``."""

from __future__ import annotations

import os
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.errors import UserError, shorten
from bench.files import move

StateDict = Mapping[str, Tensor]
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts commonly put weights; Lightning and timm use the first."""
FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")
"""How torch names what it does not load."""
SYSTEM = re.compile(r"\(os error (\d+)\)")
"""How safetensors names what the system refused."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

LAYERS = "features."
"""Under which torchvision keeps a network's convolutions."""
COUNTER = "num_batches_tracked"


def save(state: StateDict, path: Path) -> None:
    """Write a network's state, buffers included, as safetensors; whole or not at all. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, partial)
        move(partial, path)
    except SafetensorError as error:
        number = SYSTEM.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of a weight file by name, of any shape, on the CPU; of a checkpoint those of its network.

    Raises UserError, one message a cause, when the file is missing, damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"weights = {path}: no such file; give the path of a .pth or .safetensors file"
        ) from None
    except pickle.UnpicklingError as error:
        raise UserError(f"weights = {path}: {_not_loaded(error, path)}") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        reason = COLOURS.sub("", str(error)).partition("\n")[0][:200]
        raise UserError(
            f"weights = {path}: not a readable weight file ({reason}); copy it again, or give another: "
            "safetensors, or a .pth or .ckpt that holds tensors"
        ) from error
    state = content
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        inside = f"with {shorten(sorted(map(str, state)), 200)}" if isinstance(state, dict) else ""
        raise UserError(
            f"weights = {path}: holds a {type(state).__name__} {inside}, not a table of tensors by name\n"
            f"    a checkpoint has that under one of {', '.join(WRAPPERS)}"
        )
    return {str(name): tensor for name, tensor in state.items()}


def _not_loaded(error: pickle.UnpicklingError, path: Path) -> str:
    """Why a file was not unpickled."""
    found = FORBIDDEN.search(COLOURS.sub("", str(error)))
    if found is None:
        return "not a readable weight file: damaged, or of another kind; copy it again"
    return (
        f"holds more than tensors ({found[1]}), and code in a weight file is never run\n"
        "    where you trust it, take the weights out once, and name the new file:\n"
        '    python -c "import torch; torch.save('
        f"torch.load('{path.name}', weights_only=False)['state_dict'], 'weights.pth')\""
    )


def without_prefix(state: StateDict, wanted: Iterable[str]) -> dict[str, Tensor]:
    """A file's tensors, of any shape, in a network's names: what wrappers put before them all is taken off.

    wanted   names of the network's tensors

    ``module.`` (DataParallel), ``model.`` (Lightning), ``_orig_mod.`` (compiled) or several: the prefix under
    which most of ``wanted`` are found. What has another, the weights of a loss say, is left out. A file stays
    as it is where no prefix finds half of them. Raises UserError when two find equally many.
    """
    network = set(wanted)
    found = Counter(name.removesuffix(rest) for name in state for rest in _ends(name) if rest in network)
    most = max(found.values(), default=0)
    best = [prefix for prefix, count in found.items() if count == most]
    if "" in best or 2 * most < len(network):
        return dict(state)
    if len(best) > 1:
        named = " and ".join(sorted(best))
        raise UserError(f"the weight file holds the network more than once, under {named}; keep one of them")
    (prefix,) = best
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def from_torchvision(state: StateDict, network: StateDict) -> dict[str, Tensor] | None:
    """Tensors of torchvision's EfficientNet or MobileNetV2 under timm's names; None: they are not that.

    network   of timm's model without its classifier, in its order

    Both list the same layers in the order that an image passes them; only the names differ. All tensors below
    ``features.`` must agree in number, order, shape and the ends of their names.
    """
    wanted = [name for name in network if not name.endswith(COUNTER)]
    head = next((name[: name.index(LAYERS)] + LAYERS for name in state if LAYERS in name), None)
    theirs = [name for name in state if head and name.startswith(head) and not name.endswith(COUNTER)]
    pairs = list(zip(wanted, theirs, strict=False))
    same = len(wanted) == len(theirs) and all(
        network[ours].shape == state[name].shape and ours.split(".")[-1] == name.split(".")[-1]
        for ours, name in pairs
    )
    return {ours: state[name] for ours, name in pairs} if same else None


def _ends(name: str) -> Iterator[str]:
    """``a.b.c``, ``b.c``, ``c``."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


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
