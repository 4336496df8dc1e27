"""A trained image classifier: ``Model().predict(X)``, ``Model().predict_files(paths)``.

Needs torch, timm where the model is timm's, and Pillow for files and for images of another size.
``weights.pt``, ``recipe.json`` and ``reading.py`` lie beside this file. Made by ``bench export --format
codabench``; the layers are those of ``bench.models``, written out, predictions those that were scored there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
BATCH = 256
MIRRORS: dict[str, tuple[tuple[int, ...], ...]] = {"none": ((),), "flips": ((), (2,), (3,), (2, 3))}
"""Test-time augmentation: axes of (B, C, H, W) that each view mirrors."""


class Model:
    """Loads the weights when it is made; on a GPU when there is one."""

    def __init__(self) -> None:
        self.recipe = json.loads((HERE / "recipe.json").read_text("utf-8"))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = Network(self.recipe)
        state = torch.load(HERE / "weights.pt", map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
        network.eval().to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network

    def predict(self, X: Any) -> np.ndarray:
        """Images → class numbers (n,) int64, those of ``class_numbers``.

        X   (n, H, W, C), or a list of n (H, W, C) of any sizes, values 0 to 255

        Images of another size than trained with become square as for training.
        """
        # rounded as trials store them: where two classes tie there, the first wins here as well
        place = self.probabilities(X).astype(np.float16).argmax(1)
        answers: np.ndarray = np.array(self.recipe["class_numbers"], np.int64)[place]
        return answers

    def predict_files(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Image files → class numbers int64, shape (n,), read as they were for training."""
        from bench.data.reading import read

        read_as = self.recipe["bit_range"]
        parts = [
            self.predict([read(Path(path).read_bytes(), read_as) for path in paths[start : start + BATCH]])
            for start in range(0, len(paths), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    @torch.no_grad()
    def probabilities(self, X: Any) -> np.ndarray:
        """Images as ``predict`` takes them → class probabilities (n, K) float32."""
        channels = self.recipe["channels"]
        for shape in {np.shape(image) for image in X}:
            if len(shape) != 3 or shape[2] != channels:
                found = np.shape(X) if isinstance(X, np.ndarray) else shape
                raise ValueError(f"images are (n, H, W, {channels}) with values 0 to 255, got {found}")
        parts = [self._batch(self._squares(X[start : start + BATCH])) for start in range(0, len(X), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.recipe["classes"])), np.float32)

    def _squares(self, X: Any) -> np.ndarray:
        """Images (B, S, S, C) of the size that the network was trained with."""
        size = self.recipe["size_px"]
        if all(np.shape(image)[:2] == (size, size) for image in X):
            return np.asarray(X)
        from bench.data.reading import square

        how = size, self.recipe["fit"], self.recipe["fill"]
        return np.stack([square(np.clip(np.rint(image), 0, 255).astype(np.uint8), *how) for image in X])

    def _batch(self, X: np.ndarray) -> np.ndarray:
        """(B, H, W, C) uint8 → (B, K) float32 probabilities."""
        images = torch.from_numpy(np.ascontiguousarray(X)).to(self.device).permute(0, 3, 1, 2)
        images = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe["precision"] == "bf16"):
            views = [self.network(images.flip(axes) if axes else images) for axes in self.mirrors]
        each = [logits.float().softmax(1) for logits in views]
        mean = each[0] if len(each) == 1 else torch.stack(each).mean(0)
        return mean.cpu().numpy()

    @property
    def mirrors(self) -> tuple[tuple[int, ...], ...]:
        """Views of each image that are averaged."""
        return MIRRORS[self.recipe["tta"]]


class Network(nn.Module):
    """Normalise → backbone → head; images (B, C, H, W) in [0, 1] → logits (B, K)."""

    mean: Tensor
    std: Tensor

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__()
        model, classes, channels = recipe["model"], len(recipe["classes"]), recipe["channels"]
        if model["kind"] == "timm":
            self.backbone, features = timm_backbone(model)
            self.head = head(features, classes, model["dense"])
        else:
            self.backbone = custom_cnn(channels, model["widths"])
            side = recipe["size_px"] // 2 ** len(model["widths"])
            self.head = flat_head(model["widths"][-1] * side * side, classes, model["dense"])
        for name in ("mean", "std"):
            self.register_buffer(name, torch.zeros(1, channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] → logits (B, K)."""
        logits: Tensor = self.head(self.backbone((images - self.mean) / self.std))
        return logits


def timm_backbone(model: dict[str, Any]) -> tuple[nn.Module, int]:
    """A timm model without classifier, and how many pooled features it has."""
    import timm

    backbone: Any = timm.create_model(model["name"], pretrained=False, **model["arguments"])
    if model["vgg"]:
        backbone.pre_logits = nn.Identity()  # VGG's hidden classifier
        for module in backbone.modules():
            if isinstance(module, nn.MaxPool2d):
                module.ceil_mode = model["ceil_mode"]
    return backbone, model["features"]


def custom_cnn(channels: int, widths: list[int]) -> nn.Sequential:
    """Blocks of convolution, batch norm, ReLU, max pooling."""
    inputs = [channels, *widths[:-1]]
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)
            )
            for a, b in zip(inputs, widths, strict=True)
        )
    )


def head(features: int, classes: int, dense: int) -> nn.Module:
    """Pooled features → (dense layer, ReLU) → logits."""
    layers: dict[str, nn.Module] = {}
    if dense:
        layers = {"dense": nn.Linear(features, dense), "activation": nn.ReLU()}
    return named(layers | {"classifier": nn.Linear(dense or features, classes)})


def flat_head(features: int, classes: int, dense: int) -> nn.Module:
    """Feature maps → dense layer, ReLU → logits."""
    return named(
        {
            "flatten": nn.Flatten(),
            "dense": nn.Linear(features, dense),
            "activation": nn.ReLU(),
            "classifier": nn.Linear(dense, classes),
        }
    )


def named(layers: dict[str, nn.Module]) -> nn.Sequential:
    """Layers in order, under their names."""
    sequence = nn.Sequential()
    for name, layer in layers.items():
        sequence.add_module(name, layer)
    return sequence
