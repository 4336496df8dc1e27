"""What a network costs, counted rather than timed: operations, and the weights of each block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from bench.models.network import Network, evaluating
from bench.recipe import Choice


@dataclass(frozen=True)
class Block:
    """One entry of ``Network.blocks()``."""

    name: str
    parameters: int


_counted: dict[tuple[str, int, int, int], int] = {}


def flops_of(network: Network, choice: Choice, classes: int, size_px: int) -> int:
    """``forward_flops`` of the network that ``choice`` makes, counted once per process.

    Counting takes longer than building: 0.07 s for EfficientNet-B0, 0.2 s for EfficientNetV2-M.
    """
    key = choice.model_dump_json(), classes, network.mean.shape[1], size_px
    if key not in _counted:
        _counted[key] = forward_flops(network, size_px)
    return _counted[key]


def forward_flops(network: Network, size_px: int) -> int:
    """Floating-point operations of one image's way through the network; the same on every device.

    A multiply-accumulate counts as two. Convolutions, matrix products and attention count; normalisation,
    activations, pooling and sums do not (a few percent). Backward takes about twice as much again for what
    trains. Nothing is computed: shapes alone pass through, and no weight, mode or generator changes.
    """
    channels = network.mean.shape[1]
    shapes = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    image = torch.zeros(1, channels, size_px, size_px, device="meta")
    with evaluating(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        functional_call(network, shapes, (image,))
    return int(counter.get_total_flops())


def blocks(network: Network) -> list[Block]:
    """Every block from input to output, the head last, with how many weights it has."""
    counts = [sum(p.numel() for p in block) for block in network.blocks()]
    return [Block(*pair) for pair in zip(network.block_names(), counts, strict=True)]
