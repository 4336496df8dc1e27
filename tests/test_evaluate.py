from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench import evaluate
from bench.data.images import Samples
from bench.data.resident import Resident
from bench.evaluate import evaluating, predict


def samples(count: int) -> Samples:
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return Samples(images, np.zeros(count, np.int64), np.arange(count, dtype=np.uint64))


class TopLeft(nn.Module):
    """Two logits: the top left pixel's red, times a weight, and 0."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = self.norm(images)[:, 0, 0, 0]
        return torch.stack([red, torch.zeros_like(red)], 1)


def test_probabilities_come_in_the_images_order_whatever_the_batch_size() -> None:
    network, images = TopLeft(), samples(7)
    whole = predict(network, images, "cpu", batch_size=100)
    assert whole.dtype == np.float32
    assert np.array_equal(whole, predict(network, images, "cpu", batch_size=3))
    red = torch.from_numpy(images.images[:, 0, 0, 0] / 255) / np.sqrt(1 + 1e-5)
    assert np.allclose(whole[:, 0], torch.sigmoid(red), atol=1e-6)


def test_a_gpu_is_shown_batches_of_one_size_only() -> None:
    """With images that are on the CPU: what would be a GPU's is only its name."""
    network, sizes = TopLeft(), []
    network.register_forward_hook(lambda module, given, logits: sizes.append(len(given[0])))
    images = Resident(samples(7), "cpu")
    whole = predict(network, images, "cuda", batch_size=3)
    assert sizes == [3, 3, 3]
    assert np.array_equal(whole, predict(network, images, "cpu", batch_size=3))
    assert sizes[3:] == [3, 3, 1]


def test_a_large_set_is_streamed_to_the_device_in_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = TopLeft(), samples(17)
    whole = predict(network, images, "cpu", batch_size=4)
    sizes = []
    network.register_forward_hook(lambda module, given, logits: sizes.append(len(given[0])))
    monkeypatch.setattr(evaluate, "PORTION", 5 * 48)  # bytes of five images
    monkeypatch.setattr("bench.data.streamed.Resident", None)  # nothing is placed there whole
    assert np.array_equal(predict(network, images, "cpu", batch_size=4), whole)
    assert sizes == [4, 4, 4, 4, 1]


def test_images_already_on_the_device_are_used_as_they_are() -> None:
    images = samples(5)
    direct = predict(TopLeft(), images, "cpu")
    assert np.array_equal(predict(TopLeft(), Resident(images, "cpu"), "cpu"), direct)


def test_flips_average_the_probabilities_of_the_four_mirror_images() -> None:
    network, images = TopLeft(), samples(5)
    views = [images.images[:, ::v, ::h] for v in (1, -1) for h in (1, -1)]
    expected = np.mean([predict(network, Samples(v, images.labels, images.ids), "cpu") for v in views], 0)
    assert np.allclose(predict(network, images, "cpu", tta="flips"), expected, atol=1e-7)


def test_evaluation_changes_neither_statistics_nor_any_modules_mode() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 2))
    network.train()
    network[0].eval()  # a frozen block
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    predict(network, samples(4), "cpu")
    assert [module.training for module in network] == [False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_modes_are_restored_when_evaluation_breaks() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Linear(2, 2).eval())
    try:
        with evaluating(network):
            assert not network[0].training
            raise KeyError
    except KeyError:
        pass
    assert (network.training, network[0].training, network[1].training) == (True, True, False)


def test_bf16_rounds_the_logits_and_keeps_probabilities_float32() -> None:
    images = samples(50)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    with torch.no_grad():
        network[1].weight.copy_(torch.linspace(-1, 1, 240).view(5, 48))
    plain = predict(network, images, "cpu")
    low = predict(network, images, "cpu", precision="bf16")
    assert low.dtype == np.float32
    assert np.allclose(low.sum(1), 1, atol=1e-6)  # sums of bfloat16 probabilities would be off by 1e-3
    assert not np.array_equal(plain, low)
    assert np.allclose(plain, low, atol=0.1)
