"""The report's own small network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, Len

from bench.errors import UserError
from bench.models.architecture import Architecture, Task
from bench.registry import models

if TYPE_CHECKING:
    from torch import nn

    from bench.models.network import Network

WIDTHS = [32, 64, 128, 256]
Width = Annotated[int, Interval(ge=1, le=4096)]


@models.register("custom_cnn", head=("dense", "dropout"))
def custom_cnn(
    widths: Annotated[list[Width], Len(1, 8)] = WIDTHS,
    dense: Width = 256,
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3,
) -> Architecture:
    """Blocks of 3×3 convolution, batch norm, ReLU and max pooling; flatten, dense, dropout, classifier.

    widths    channels of each block; every block halves height and width
    dense     width of the layer before the classifier
    dropout   0 to below 1, before the classifier

    images    (B, C, H, W) float32 in [0, 1], normalised by the training split → logits (B, K)
    random    initial weights (torch's defaults) and dropout, from the trial's streams

    Source: the custom CNN of AN2DL 2024, homework 1, team NeuralNexus.
    """
    return CustomCnn(tuple(widths), dense, dropout)


@dataclass(frozen=True)
class CustomCnn:
    """The network's sizes."""

    widths: tuple[int, ...]
    dense: int
    dropout: float

    def fits(self, name: str, task: Task, weights: Path | None) -> None:
        """Raise UserError when pooling leaves no pixel."""
        needed = 2 ** len(self.widths)
        if task.size_px < needed:
            raise UserError(
                f"{name}: {len(self.widths)} blocks halve the image {len(self.widths)} times and need "
                f"at least {needed} px, the study has "
                f"size_px = {task.size_px}; give fewer widths or a larger size_px"
            )

    def build(self, name: str, task: Task, weights: Path | None) -> Network:
        """A fresh network on the default device."""
        from torch import nn

        from bench.models.head import flat_head
        from bench.models.network import Network

        self.fits(name, task, weights)
        inputs = (task.channels, *self.widths[:-1])
        backbone = nn.Sequential(*(_block(a, b) for a, b in zip(inputs, self.widths, strict=True)))
        side_px = task.size_px // 2 ** len(self.widths)
        head = flat_head(self.widths[-1] * side_px**2, task.classes, dense=self.dense, dropout=self.dropout)
        groups = [[f"{i}.{n}" for n, _ in block.named_parameters()] for i, block in enumerate(backbone)]
        return Network(backbone, head, groups, task.normalisation)

    def bare(self) -> CustomCnn:
        """Itself: it never has pretrained weights."""
        return self


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    from torch import nn

    return nn.Sequential(
        # batch norm follows and would subtract a bias again
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
