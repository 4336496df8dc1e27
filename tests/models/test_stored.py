from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from bench import models
from bench.errors import UserError
from bench.models.stored import stored_network
from bench.models.weights import save
from bench.recipe import Choice

SMALL = Choice(name="custom_cnn", params={"widths": [2, 4], "dense": 6, "dropout": 0.1})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = models.build(SMALL, models.Task(5, 1, 8, (0.25,), (0.5,)))
    save(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_classes_channels_and_normalisation_are_read_off_the_file(file: Path) -> None:
    network = stored_network(SMALL, 8, file, "abc")
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 5)
    assert (network.mean.item(), network.std.item()) == (0.25, 0.5)


def test_pretrained_weights_are_not_asked_for_again(tmp_path: Path) -> None:
    params = {"dropout": 0.0, "dense": 0}
    fresh = models.build(Choice(name="resnet10t", params=params), models.Task(3, 3, 32))
    save(fresh.state_dict(), tmp_path / "weights.safetensors")
    for source in ({"pretrained": True}, {"weights": "sha256:" + "0" * 64}):
        network = stored_network(
            Choice(name="resnet10t", params=params | source), 32, tmp_path / "weights.safetensors", "abc"
        )
        assert torch.equal(network.head.classifier.weight, fresh.head.classifier.weight)


def test_weights_of_another_model_are_refused_with_the_trial_s_name(file: Path) -> None:
    other = Choice(name="custom_cnn", params=SMALL.params | {"dense": 7})
    with pytest.raises(UserError, match=r"weights\.safetensors is not of trial abc: .* another shape"):
        stored_network(other, 8, file, "abc")


def test_what_is_no_trained_trial_is_refused(tmp_path: Path) -> None:
    save({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="holds 1 tensors, but not those of a trained trial; use --rescore"):
        stored_network(SMALL, 8, tmp_path / "w.safetensors", "abc")


def test_the_lines_of_the_docs_load_an_exported_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "explain-and-export.md"
    (lines,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    fresh = models.build(Choice(name="custom_cnn"), models.Task(3, 3, 96))
    save(fresh.state_dict(), tmp_path / "ID.safetensors")
    (tmp_path / "load.py").write_text(lines, "utf-8")
    monkeypatch.chdir(tmp_path)
    network = runpy.run_path("load.py")["network"]
    images = torch.rand(2, 3, 96, 96)
    assert torch.equal(network(images), fresh.eval()(images))
