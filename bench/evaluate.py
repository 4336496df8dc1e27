"""A model and images → class probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.images import Samples
from bench.data.streamed import Rows, Split, placed
from bench.models.frozen import Evaluated
from bench.models.network import evaluating, forward_in
from bench.recipe import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

TestTime = Literal["none", "flips"]
MIRRORS: dict[TestTime, tuple[tuple[int, ...], ...]] = {"none": ((),), "flips": ((), (2,), (3,), (2, 3))}
"""Axes of (B, C, H, W) that each view mirrors."""
PORTION = 512 * 2**20
"""Most bytes of a scored set that are on the device at once; it is there for one look."""


def predict(
    network: nn.Module,
    samples: Samples | Split | Evaluated,
    device: str,
    *,
    batch_size: int = 256,
    tta: TestTime = "none",
    precision: Precision = "fp32",
) -> NDArray[np.float32]:
    """Class probabilities (N, K) float32 of ``samples``, rows in their order, on the host."""
    shown = predicted(network, samples, device, batch_size=batch_size, tta=tta, precision=precision)
    probabilities: NDArray[np.float32] = shown.cpu().numpy()
    return probabilities


def predicted(
    network: nn.Module,
    samples: Samples | Split | Evaluated,
    device: str,
    *,
    batch_size: int = 256,
    tta: TestTime = "none",
    precision: Precision = "fp32",
) -> Tensor:
    """Class probabilities (N, K) float32 of ``samples``, rows in their order, on the device, not waited for.

    samples     where they are not placed already, a set larger than ``PORTION`` is streamed to the device;
                with ``Evaluated`` ones a head in place of the network, and no ``tta``
    tta         ``flips``: the mean of the probabilities of the four mirror images
    precision   of the forward pass; probabilities are computed in float32

    The network evaluates, then each module's own mode is restored.
    """
    split = placed(samples, device, PORTION) if isinstance(samples, Samples) else samples
    parts = []
    with evaluating(network), torch.no_grad():
        starts = range(0, len(split), batch_size)
        rows = (_rows(split, start, batch_size, device) for start in starts)
        for start, (_, images) in zip(starts, split.batches(rows), strict=True):
            parts.append(_probabilities(network, images, tta, precision)[: len(split) - start])
    return torch.cat(parts)


def _rows(split: Split | Evaluated, start: int, batch_size: int, device: str) -> Rows:
    """The batch (B,) that begins at ``start``.

    A GPU meets no smaller last batch, for which cuDNN would try its kernels anew: the last image comes again.
    On a CPU there is nothing to try, and a batch's size can move the last bit.
    """
    smaller, last = torch.device(device).type == "cpu", len(split) - 1
    stop = min(start + batch_size, len(split)) if smaller else start + batch_size
    index = torch.arange(start, stop, device=split.labels.device).clamp_(max=last)
    return Rows(np.minimum(np.arange(start, stop), last), index)


def _probabilities(network: nn.Module, images: Tensor, tta: TestTime, precision: Precision) -> Tensor:
    """Images (B, C, H, W) → probabilities (B, K) float32."""
    with forward_in(precision, images.device):
        logits = [network(images.flip(axes) if axes else images) for axes in MIRRORS[tta]]
    views = [each.float().softmax(1) for each in logits]
    return views[0] if len(views) == 1 else torch.stack(views).mean(0)
