from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import models
from bench.errors import UserError
from bench.export import onnx as exporter
from bench.models.network import Network
from bench.recipe import Choice
from bench.registry import models as registered

onnx = pytest.importorskip("onnx", reason="needs the extra bench[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra bench[onnx]")
pytest.importorskip("onnxscript", reason="needs the extra bench[onnx]")


def built(name: str, size_px: int, channels: int = 3, **given: Any) -> Network:
    torch.manual_seed(5)
    choice = Choice(name=name, params=registered[name].parameters(given))
    task = models.Task(4, channels, size_px, (0.4,) * channels, (0.2,) * channels)
    return models.build(choice, task).eval()


def pixels(count: int, size_px: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size_px, size_px, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    return built("custom_cnn", 16, widths=[4, 8], dense=8, dropout=0.5)


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("onnx") / "x.onnx"
    return exporter.write(network, 16, {"classes": '["a"]'}, place)


def test_bytes_go_in_and_logits_come_out_for_any_number_of_images(network: Network, file: Path) -> None:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("images", "tensor(uint8)", [16, 16, 3])
    assert isinstance(taken.shape[0], str), "the batch has a name, not a number"
    assert (given.name, given.type) == ("logits", "tensor(float)")
    for count in (1, 2, 7):
        images = pixels(count, 16)
        (logits,) = session.run(None, {"images": images})
        with torch.no_grad():
            expected = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)


def test_the_file_is_valid_and_says_what_its_classes_are(file: Path) -> None:
    model = onnx.load(str(file))
    onnx.checker.check_model(model, full_check=True)
    assert {prop.key: prop.value for prop in model.metadata_props}["classes"] == '["a"]'


def test_a_timm_model_of_gray_images_is_the_same_in_onnxruntime(tmp_path: Path) -> None:
    network = built("resnet10t", 32, channels=1)
    written = exporter.write(network, 32, {}, tmp_path / "x.onnx")
    largest, differ = exporter.difference(network, written, pixels(70, 32, channels=1))
    assert largest < 1e-4
    assert differ == 0


def test_another_network_is_told_apart(file: Path) -> None:
    torch.manual_seed(6)
    choice = Choice(name="custom_cnn", params={"widths": [4, 8], "dense": 8, "dropout": 0.0})
    other = models.build(choice, models.Task(4, 3, 16)).eval()
    largest, differ = exporter.difference(other, file, pixels(66, 16))
    assert largest > exporter.TOLERANCE
    assert differ > 0


def test_the_network_keeps_its_mode(tmp_path: Path) -> None:
    network = built("custom_cnn", 8, widths=[2], dense=2, dropout=0.5).train()
    exporter.write(network, 8, {}, tmp_path / "x.onnx")
    assert all(module.training for module in network.modules())


def test_what_is_missing_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(exporter, "find_spec", lambda name: None if name == "onnxscript" else real(name))
    with pytest.raises(UserError, match=r"needs onnxscript, which .* lacks\n    uv sync --extra onnx"):
        exporter.require()
