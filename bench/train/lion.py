"""Lion with one call per operation for all parameters, where launches count.

The arithmetic and its order are those of lion-pytorch, so results are bit-equal; it takes 7 calls per
parameter group in place of 7 per parameter. On a GPU, beside a fused Adam, the latter's time is an artefact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """Sign of an interpolated momentum, with decoupled weight decay. Chen et al. 2023, algorithm 2."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        """Set up; groups may override ``lr``, ``betas`` and ``weight_decay``."""
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, group)
        return loss

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
        averages = [self.state[p]["exp_avg"] for p in parameters]
        rate = group["lr"]
        torch._foreach_mul_(parameters, 1.0 - rate * group["weight_decay"])
        updates = torch._foreach_mul(averages, beta1)
        torch._foreach_add_(updates, gradients, alpha=1.0 - beta1)
        torch._foreach_sign_(updates)
        if isinstance(rate, Tensor):  # a recorded step reads it from the device
            torch._foreach_mul_(updates, rate)
            torch._foreach_sub_(parameters, updates)
        else:
            torch._foreach_add_(parameters, updates, alpha=-rate)
        torch._foreach_mul_(averages, beta2)
        torch._foreach_add_(averages, gradients, alpha=1.0 - beta2)
