"""Losses on class probabilities, so that mixed images need no loss of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from bench.registry import losses

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Logits (B, K), target probabilities (B, K) float32 → mean loss of the batch, float32 scalar."""


@losses.register("cross-entropy")
def cross_entropy(label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0) -> Loss:
    """Cross-entropy between target and predicted class probabilities, in nats.

    label_smoothing   share of each target spread evenly over all classes, 0 to below 1

    logits    (B, K) of any precision; computed in float32
    targets   (B, K) float32, rows sum to 1

    Source: label smoothing, Szegedy et al. 2016, section 7.
    """
    from torch.nn import functional as F

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)

    return loss
