"""An exponential moving average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.models.network import Network


class Average:
    """A second network that follows the first; it is the one that is evaluated and kept.

    After t updates the decay is min(decay, (1 + t) / (10 + t)), so that a short run is not ruled by its first
    weights (Tan and Le 2019, as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, network: Network, decay: float) -> None:
        """Start at the network's present weights.

        decay   share of the average that each step keeps, 0 to below 1
        """
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0
        self._share: float | Tensor = 1.0
        """What the next update takes of the network's weights."""
        mine, theirs = self.network.state_dict(), network.state_dict()
        moving = [name for name in mine if mine[name].is_floating_point()]
        counting = [name for name in mine if not mine[name].is_floating_point()]
        self._averages = [mine[name] for name in moving]
        self._weights = [theirs[name] for name in moving]
        self._counters = [(mine[name], theirs[name]) for name in counting]

    def state(self) -> dict[str, Any]:
        """What ``load`` takes; tensors are not copied."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])

    def share_on_device(self, device: torch.device) -> None:
        """Keep the changing share where a recorded update reads it."""
        self._share = torch.ones((), device=device)

    def advance(self) -> None:
        """Count an update, which sets how far it moves; ``update`` then does it."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        if isinstance(self._share, Tensor):
            self._share.fill_(share)
        else:
            self._share = share

    @torch.no_grad()
    def update(self) -> None:
        """Move a step towards the network's weights, batch norm's statistics included."""
        if isinstance(self._share, Tensor):
            # lerp takes no share from the device; this is what it computes, up to the last bit
            moves = torch._foreach_sub(self._weights, self._averages)
            torch._foreach_mul_(moves, self._share)
            torch._foreach_add_(self._averages, moves)
        else:
            torch._foreach_lerp_(self._averages, self._weights, self._share)
        for mine, theirs in self._counters:
            mine.copy_(theirs)
