"""The forward pass as ``torch.compile`` makes it, and its gradient with it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch._dynamo
from torch import Tensor

from bench.models.network import Network

VARIANTS = 256
"""Of one network's code that a process may hold: one for each set of trainable blocks, image size, batch
size … that its trials come with. After 8, torch's own limit, further ones would silently run as written."""


class Compiled:
    """A network for batches of one shape. Compiled at the first call, for what trains then."""

    def __init__(self, network: Network, note: Callable[[str], None]) -> None:
        """Nothing is compiled yet.

        note   told when compiling fails and the network runs as it is written
        """
        self._network, self._note = network, note
        self._compiled: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False)
        self._tried = self._failed = False

    @property
    def runs(self) -> bool:
        """Whether calls run compiled code."""
        return self._tried and not self._failed

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] → logits (B, K)."""
        if not self._tried:
            return self._first(images)
        logits: Tensor = (self._network if self._failed else self._compiled)(images)
        return logits

    def _first(self, images: Tensor) -> Tensor:
        """The call that compiles, or finds out that it cannot: there is no compiler, or torch has a bug."""
        self._tried = True
        try:
            with torch._dynamo.config.patch(recompile_limit=VARIANTS, fail_on_recompile_limit_hit=True):
                logits: Tensor = self._compiled(images)
                return logits
        except torch._dynamo.exc.TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = (lines or [type(error).__name__])[0][:200]
            self._note(f"compile = true: the network cannot be compiled, trains without ({reason})")
            self._failed = True
            return self(images)
