from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bench import models
from bench.models.network import Network
from bench.recipe import Choice, Recipe, Stage
from bench.registry import models as registered
from bench.registry import optimizers
from bench.train.stages import freeze, parameter_groups, set_modes

Make = Callable[..., Recipe]
Build = Callable[..., Network]


def trainable(network: Network) -> list[bool]:
    """Per block, from input to output, whether it trains; a block never trains in part."""
    states = [{p.requires_grad for p in block} for block in network.blocks()]
    assert all(len(state) == 1 for state in states)
    return [state.pop() for state in states]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("head", [False, False, False, True]),
        ("top:1", [False, False, True, True]),
        ("top:3", [True, True, True, True]),
        ("fraction:0.5", [False, True, True, True]),
        ("fraction:0.01", [False, False, True, True]),
        ("all", [True, True, True, True]),
    ],
)
def test_a_stage_trains_the_blocks_nearest_the_output_and_the_head(
    train: str, expected: list[bool], recipe: Make, network: Build
) -> None:
    built = network(recipe())
    count = freeze(built, train)
    assert trainable(built) == expected
    assert count == sum(p.numel() for p in built.parameters() if p.requires_grad)


def test_frozen_batch_norm_and_dropout_stay_in_evaluation_mode(recipe: Make, network: Build) -> None:
    built = network(recipe())
    freeze(built, "top:1")
    set_modes(built)
    norms = [module.training for module in built.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms == [False, False, True]
    assert built.head.dropout.training


def test_every_dropout_of_a_frozen_timm_backbone_stays_off() -> None:
    choice = Choice(name="efficientnet_b0", params=registered["timm"].parameters({"dropout": 0.3}))
    built = models.build(choice, models.Task(8, 3, 32))
    freeze(built, "head")
    set_modes(built)
    assert not any(module.training for module in built.backbone.modules())
    assert built.head.dropout.training
    freeze(built, "top:3")
    set_modes(built)
    stages = list(built.backbone.blocks)
    # timm counts conv_head and its norm with the last stage
    assert [stage.training for stage in stages] == [False] * 4 + [True] * 3
    assert built.backbone.bn2.training
    assert not built.backbone.bn1.training


def test_head_only_records_no_gradient_below_the_head(recipe: Make, network: Build) -> None:
    built = network(recipe())
    freeze(built, "head")
    set_modes(built)
    assert not built.backbone(torch.rand(2, 3, 16, 16)).requires_grad
    assert built(torch.rand(2, 3, 16, 16)).requires_grad


def test_rates_fall_with_depth_and_scale_with_the_stage(recipe: Make, network: Build) -> None:
    built = network(recipe())
    freeze(built, "all")
    choice = optimizers["adam"].build(optimizers["adam"].parameters({"lr": 0.1, "weight_decay": 0.2}))
    groups = parameter_groups(built, Stage(train="all", epochs=1, lr_scale=0.1, layer_decay=0.5), choice)
    assert [g["lr"] for g in groups] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    assert [{id(p) for p in g["params"]} for g in groups] == [
        {id(p) for p in block} for block in reversed(built.blocks())
    ]
    assert {g["weight_decay"] for g in groups} == {0.2}


def test_norms_and_biases_can_be_spared_from_decay(recipe: Make, network: Build) -> None:
    built = network(recipe())
    freeze(built, "all")
    choice = optimizers["adamw"].build(
        optimizers["adamw"].parameters({"weight_decay": 0.2, "decay_norms": False})
    )
    groups = parameter_groups(built, Stage(train="all", epochs=1), choice)
    decays = {g["weight_decay"]: {p.ndim for p in g["params"]} for g in groups}
    assert decays == {0.2: {2, 4}, 0.0: {1}}
    assert sum(len(g["params"]) for g in groups) == len(list(built.parameters()))


def test_equal_rates_share_one_group(recipe: Make, network: Build) -> None:
    built = network(recipe())
    freeze(built, "all")
    choice = optimizers["adam"].build(optimizers["adam"].parameters({}))
    assert len(parameter_groups(built, Stage(train="all", epochs=1), choice)) == 1
