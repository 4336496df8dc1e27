"""A submission: a zip of a network, its weights and how it reads images, that needs torch and timm only."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data import reading
from bench.data.images import Pixels
from bench.errors import UserError
from bench.export import submission
from bench.models import Task, architecture_of
from bench.models.custom_cnn import CustomCnn
from bench.models.network import Network
from bench.models.pretrained import TimmModel
from bench.recipe import Recipe

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in the zip: equal weights make equal bytes."""
TRIAL_S = 600
ASK = """\
import json, numpy as np
from pathlib import Path
from model import Model
files = json.loads(Path("files.json").read_text())
arrays = np.load("X.npz", allow_pickle=False)
said = Model().predict_files(files) if files else Model().predict([arrays[name] for name in arrays.files])
np.save("said.npy", said, allow_pickle=False)
"""


def layers(recipe: Recipe, network: Network, size_px: int) -> dict[str, Any]:
    """What ``submission.Network`` builds the same layers from. Raises UserError for other kinds of model."""
    found = architecture_of(recipe.model).bare()
    if isinstance(found, CustomCnn):
        return {"kind": "custom_cnn", "widths": list(found.widths), "dense": found.dense}
    if not isinstance(found, TimmModel):
        raise UserError(
            f'model "{recipe.model.name}": a submission writes out custom_cnn and timm models only\n'
            "    --format onnx takes any model"
        )
    head: Any = network.head
    first = head.dense if found.dense else head.classifier
    backbone: Any = network.backbone
    pools = [module.ceil_mode for module in backbone.modules() if isinstance(module, torch.nn.MaxPool2d)]
    task = Task(head.classifier.out_features, network.mean.shape[1], size_px)
    return {
        "kind": "timm",
        "name": recipe.model.name,
        "arguments": found.arguments(recipe.model.name, task),
        "features": first.in_features,
        "dense": found.dense,
        "vgg": type(backbone).__name__ == "VGG",
        "ceil_mode": any(pools),
    }


def write(network: Network, about: dict[str, Any], file: Path) -> Path:
    """Write the zip; ``about`` is ``recipe.json``, ``layers`` under its key ``model``."""
    weights = io.BytesIO()
    torch.save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
    source = (
        Path(submission.__file__)
        .read_bytes()
        .replace(b"from bench.data.reading import", b"from reading import")
    )
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    read = Path(reading.__file__).read_bytes()
    parts = {
        "model.py": source,
        "reading.py": read,
        "recipe.json": text.encode(),
        "weights.pt": weights.getvalue(),
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            member = zipfile.ZipInfo(name, EPOCH)
            member.external_attr, member.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return file


def answers(file: Path, images: Sequence[Pixels] | Sequence[Path]) -> np.ndarray:
    """What the submission in ``file`` says of N images (H, W, C) or files: (N,), in a process of its own.

    There nothing of ``bench`` is on the path but what is installed; ``model.py`` imports none of it.
    """
    files = [os.fspath(image) for image in images if isinstance(image, Path)]
    arrays = [image for image in images if not isinstance(image, Path)]
    with tempfile.TemporaryDirectory(prefix="bench-export-") as folder:
        home = Path(folder)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(home)
        (home / "files.json").write_text(json.dumps(files))
        np.savez(home / "X.npz", *arrays)
        command = [sys.executable, "-c", ASK]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=TRIAL_S, check=False)
        if done.returncode:
            raise RuntimeError(f"the submission does not run:\n{done.stderr}")
        said: np.ndarray = np.load(home / "said.npy", allow_pickle=False)
    return said
