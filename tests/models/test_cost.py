from __future__ import annotations

import pytest
import torch

from bench import models
from bench.models.cost import Block, blocks, flops_of, forward_flops
from bench.models.network import Network
from bench.recipe import Choice
from bench.registry import models as registered


def build(name: str, size_px: int = 32, **given: object) -> Network:
    choice = Choice(name=name, params=registered[name].parameters(given))
    return models.build(choice, models.Task(8, 3, size_px))


def test_operations_of_a_hand_worked_network_count_two_per_multiply_accumulate() -> None:
    network = build("custom_cnn", 16, widths=[4, 8], dense=5)
    # 16 px, 3 → 4 channels, then 8 px, 4 → 8; features 8 channels of 4 × 4 px; dense 5; 8 classes
    convolutions = 16 * 16 * 4 * 3 * 9 + 8 * 8 * 8 * 4 * 9
    assert forward_flops(network, 16) == 2 * (convolutions + 8 * 4 * 4 * 5 + 5 * 8)


# Billions of multiply-accumulates at 224 px: Tan and Le 2019, table 2; torchvision's for VGG, less its three
# dense layers of 0.1236 together.
@pytest.mark.parametrize(
    ("name", "published"), [("vgg16", 15.47 - 0.1236), ("vgg19", 19.63 - 0.1236), ("efficientnet_b0", 0.39)]
)
def test_operations_agree_with_the_published_ones(name: str, published: float) -> None:
    with torch.device("meta"):
        network = build(name, 224)
    assert forward_flops(network, 224) / 2e9 == pytest.approx(published, abs=0.01)


def test_counting_changes_no_weight_mode_or_generator() -> None:
    network = build("mobilenetv2_035")
    network.head.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    drawn = torch.random.get_rng_state()
    forward_flops(network, 32)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_operations_are_counted_once_for_each_model_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("bench.models.cost._counted", {})
    monkeypatch.setattr(
        "bench.models.cost.forward_flops", lambda network, size_px: calls.append(1) or size_px
    )
    small, large = (build("custom_cnn", 16, widths=[width]) for width in (4, 8))
    choices = [Choice(name="custom_cnn", params={"widths": [width]}) for width in (4, 8)]
    for _ in range(2):
        assert flops_of(small, choices[0], 8, 16) == 16
        flops_of(large, choices[1], 8, 16)
        flops_of(small, choices[0], 8, 32)
    assert len(calls) == 3


def test_blocks_are_listed_from_input_to_head_with_their_weights() -> None:
    assert blocks(build("custom_cnn", 16, widths=[4, 8], dense=5)) == [
        Block("0", 3 * 4 * 9 + 2 * 4),
        Block("1", 4 * 8 * 9 + 2 * 8),
        Block("head", 8 * 16 * 5 + 5 + 5 * 8 + 8),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("efficientnet_b0", ["conv_stem bn1", *(f"blocks.{i}" for i in range(6)), "blocks.6 conv_head bn2"]),
        ("resnet18", ["conv1 bn1", "layer1", "layer2", "layer3", "layer4"]),
    ],
)
def test_a_block_is_called_after_its_modules(name: str, expected: list[str]) -> None:
    with torch.device("meta"):
        assert build(name).block_names() == [*expected, "head"]
