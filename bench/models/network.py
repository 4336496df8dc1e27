"""The one kind of model that is trained: normalise → backbone → head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bench.recipe import Precision


class Network(nn.Module):
    """Images in [0, 1] to logits. Normalisation is inside, so the weights file is all one needs to use it."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        groups: Sequence[Sequence[str]],
        normalisation: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        """Put the parts together.

        backbone        (B, C, H, W) normalised images → features, as ``head`` takes them
        groups          names of the backbone's parameters, one group per block, from input to output
        normalisation   mean and standard deviation, C numbers each
        """
        super().__init__()
        named = {name for group in groups for name in group}
        missing = {name for name, _ in backbone.named_parameters()} ^ named
        if missing or sum(map(len, groups)) != len(named):
            raise ValueError(f"every parameter belongs to exactly one block; look at {sorted(missing)[:3]}")
        self.backbone = backbone
        self.head = head
        self._groups = [tuple(group) for group in groups]
        for name, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(list(values), dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] → logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] → features (B, …), as the head takes them."""
        features: Tensor = self.backbone((images - self.mean) / self.std)
        return features

    def blocks(self) -> list[list[nn.Parameter]]:
        """Parameters by block, from input to output; the last block is the head."""
        named = dict(self.backbone.named_parameters())
        return [[named[name] for name in group] for group in self._groups] + [list(self.head.parameters())]

    def block_names(self) -> list[str]:
        """What each block is called: the modules it is made of, as the backbone names them; then ``head``."""
        return [_called(group) for group in self._groups] + ["head"]


def _called(parameters: Sequence[str]) -> str:
    """``blocks.6 conv_head bn2`` for the parameters of those modules: their paths, two steps deep at most."""
    paths: dict[str, set[str]] = {}
    for name in parameters:
        path = name.split(".")[:-1]
        paths.setdefault(path[0] if path else name, set()).add(".".join(path[:2]) or name)
    return " ".join(only.pop() if len(only) == 1 else first for first, only in paths.items())


def forward_in(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Where a forward pass computes in ``precision``; its loss and backward pass belong outside.

    ``bf16``: convolutions and matrix products in bfloat16, what needs more in float32; weights stay float32.
    The other precisions need nothing here: ``train.device`` sets TF32 for the whole trial.

    Source: Micikevicius et al. 2018, as torch.autocast; bfloat16 needs no scaling of the loss.
    """
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module's own mode again (a frozen one keeps evaluating)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
