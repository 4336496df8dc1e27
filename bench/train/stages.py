"""What a stage trains: which blocks, at which rate, and how the frozen ones stay exactly as they are."""

from __future__ import annotations

from typing import Any

from torch import nn

from bench.models.architecture import unfrozen
from bench.models.network import Network
from bench.recipe import Stage
from bench.train.optimizers import OptimizerChoice


def freeze(network: Network, train: str) -> int:
    """Make the head and the blocks that ``train`` names trainable and all others not; how many weights train.

    Autograd records nothing below the first trainable block, so a head-only step costs a forward pass.
    """
    blocks = network.blocks()
    # The last block is the head, which trains with any of them.
    trained = unfrozen(train, len(blocks) - 1) + 1
    for depth, block in enumerate(reversed(blocks)):
        for parameter in block:
            parameter.requires_grad_(depth < trained)
            parameter.grad = None
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def set_modes(network: Network) -> None:
    """Training mode for what trains, evaluation mode for what is frozen.

    A frozen batch norm in training mode would go on updating its running statistics, and a frozen dropout
    would go on drawing.
    """
    _set_mode(network, True)


def _set_mode(module: nn.Module, inherited: bool) -> None:
    parameters = list(module.parameters())
    # a module without weights (dropout, pooling) follows the one that holds it
    training = any(p.requires_grad for p in parameters) if parameters else inherited
    if not training:
        module.eval()
        return
    module.training = True
    for child in module.children():
        _set_mode(child, training)


def parameter_groups(network: Network, stage: Stage, choice: OptimizerChoice) -> list[dict[str, Any]]:
    """Trainable parameters with their rate and decay, as torch's optimizers take them.

    A block d blocks below the head learns at lr × lr_scale × layer_decay^d. ``base_lr`` keeps that number,
    for the schedule to multiply.
    """
    groups: list[dict[str, Any]] = []
    for depth, block in enumerate(reversed(network.blocks())):
        rate = choice.lr * stage.lr_scale * stage.layer_decay**depth
        for spared in (False, True):
            members = [
                p for p in block if p.requires_grad and (not choice.decay_norms and p.ndim <= 1) == spared
            ]
            decay = 0.0 if spared else choice.weight_decay
            if members:
                groups.append({"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay})
    return _merged(groups)


def _merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of equal rate and decay become one: fewer launches."""
    merged: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        key = group["lr"], group["weight_decay"]
        if key in merged:
            merged[key]["params"] = merged[key]["params"] + group["params"]
        else:
            merged[key] = group
    return list(merged.values())
