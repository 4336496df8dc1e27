"""ONNX: the network as a graph that any runtime computes, checked against torch before it is kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.data.images import Pixels
from bench.errors import UserError
from bench.models.network import Network, evaluating

TOLERANCE = 1e-3
"""Largest difference of a logit between torch and onnxruntime."""
BATCH = 64
INPUT, OUTPUT = "images", "logits"


class FromBytes(nn.Module):
    """The network behind what cameras and files give: images as bytes, channels last."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, H, W, C) uint8 → logits (B, K) float32."""
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).to(torch.float32).div(255))
        return logits


def require() -> None:
    """Raise UserError when what ONNX needs is not installed."""
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs {' and '.join(missing)}, which this environment lacks\n"
            "    uv sync --extra onnx, or pip install 'bench-ablations[onnx]'"
        )


def write(network: Network, size_px: int, about: Mapping[str, str], file: Path) -> Path:
    """Write the graph: ``images`` (B, H, W, C) uint8 → ``logits`` (B, K) float32, any B.

    about   text by name, kept in the file as its metadata
    """
    require()
    model = FromBytes(network)
    example = torch.zeros(2, size_px, size_px, network.mean.shape[1], dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    with warnings.catch_warnings(), _silent("torch.onnx"), evaluating(model), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own making
        program = torch.onnx.export(
            model,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    program.model.metadata_props.update(about)
    program.save(str(file), external_data=False)
    return file


def difference(network: Network, file: Path, images: Pixels) -> tuple[float, int]:
    """Largest difference of a logit, and how many answers differ, on images (N, H, W, C) uint8.

    Batches of 64 and a rest: the graph must take any number.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = FromBytes(network)
    largest, differ = 0.0, 0
    with evaluating(network), torch.no_grad():
        for start in range(0, len(images), BATCH):
            some = np.ascontiguousarray(images[start : start + BATCH])
            ours: NDArray[np.float32] = model(torch.from_numpy(some)).numpy()
            (theirs,) = session.run([OUTPUT], {INPUT: some})
            largest = max(largest, float(np.abs(ours - theirs).max()))
            differ += int((ours.argmax(1) != theirs.argmax(1)).sum())
    return largest, differ


class _silent:  # noqa: N801
    """Errors only from a logger, for a while."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self.before = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.before)
