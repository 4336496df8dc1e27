from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bench import models
from bench.errors import UserError
from bench.models.network import Network
from bench.recipe import Choice
from bench.registry import models as registered


def build(size_px: int = 32, channels: int = 3, **given: Any) -> Network:
    choice = Choice(name="custom_cnn", params=registered["custom_cnn"].parameters(given))
    return models.build(choice, models.Task(8, channels, size_px, (0.5,) * channels, (0.25,) * channels))


def test_four_blocks_of_convolution_norm_and_pooling_then_dense_dropout_classifier() -> None:
    network = build()
    kinds = [[type(layer) for layer in block] for block in network.backbone]
    assert kinds == [[nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]] * 4
    assert [type(layer) for layer in network.head] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]


def test_parameters_are_those_counted_by_hand() -> None:
    network = build(widths=[4, 8], dense=10, size_px=16)
    convolutions = 3 * 4 * 9 + 4 * 8 * 9
    norms = 2 * 4 + 2 * 8
    head = (8 * 4 * 4) * 10 + 10 + 10 * 8 + 8
    assert sum(p.numel() for p in network.parameters()) == convolutions + norms + head


@pytest.mark.parametrize(("size_px", "channels"), [(16, 3), (33, 3), (96, 1)])
def test_any_size_and_number_of_channels_gives_logits(size_px: int, channels: int) -> None:
    network = build(size_px, channels)
    assert network(torch.rand(2, channels, size_px, size_px)).shape == (2, 8)
    assert len(network.blocks()) == 5


def test_images_are_normalised_inside_the_network() -> None:
    network = build(widths=[4]).eval()
    seen = []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 3, 32, 32), 0.75))
    assert torch.equal(seen[0], torch.ones(1, 3, 32, 32))
    assert {"mean", "std"} <= network.state_dict().keys()


def test_an_image_that_pooling_would_make_vanish_is_refused() -> None:
    with pytest.raises(UserError, match=r"5 blocks .* at least 32 px, .* size_px = 16"):
        build(16, widths=[4] * 5)


@pytest.mark.parametrize(
    "given", [{"widths": []}, {"widths": [0]}, {"dropout": 1.0}, {"dense": 0}, {"width": [3]}]
)
def test_impossible_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(**given)


def test_every_parameter_belongs_to_exactly_one_block() -> None:
    backbone, head = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)
    names = [[name] for name, _ in backbone.named_parameters()]
    Network(backbone, head, names, ([0.0], [1.0]))
    for wrong in (names[:-1], [*names, ["2.weight"]], [*names, names[0]]):
        with pytest.raises(ValueError, match="exactly one block"):
            Network(backbone, head, wrong, ([0.0], [1.0]))
