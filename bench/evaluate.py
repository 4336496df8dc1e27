"""A model and images → class probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.images import Samples
from bench.data.resident import Resident
from bench.models.network import evaluating, forward_in
from bench.recipe import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TestTime = Literal["none", "flips"]
MIRRORS: dict[TestTime, tuple[tuple[int, ...], ...]] = {"none": ((),), "flips": ((), (2,), (3,), (2, 3))}
"""Axes of (B, C, H, W) that each view mirrors."""
PORTION = 512 * 2**20
"""Most bytes of a scored set that are on the device at once."""


def predict(
    network: nn.Module,
    samples: Samples | Resident,
    device: str,
    *,
    batch_size: int = 256,
    tta: TestTime = "none",
    precision: Precision = "fp32",
) -> NDArray[np.float32]:
    """Class probabilities (N, K) float32 of ``samples``, rows in their order.

    tta         ``flips``: the mean of the probabilities of the four mirror images
    precision   of the forward pass; probabilities are computed in float32

    The network evaluates, then each module's own mode is restored. One transfer to the host, at the end.
    """
    parts = []
    with evaluating(network), torch.no_grad():
        for images in _portions(samples, device, batch_size):
            for start in range(0, len(images), batch_size):
                index = _rows(images, start, batch_size, device)
                shown = _probabilities(network, images.batch(index), tta, precision)
                parts.append(shown[: len(images) - start])
    probabilities: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return probabilities


def _rows(images: Resident, start: int, batch_size: int, device: str) -> Tensor:
    """Indices (B,) of the batch that begins at ``start``.

    A GPU meets no smaller last batch, for which cuDNN would try its kernels anew: the last image comes again.
    On a CPU there is nothing to try, and a batch's size can move the last bit.
    """
    index = torch.arange(start, start + batch_size, device=images.labels.device)
    if torch.device(device).type == "cpu":
        return index[: len(images) - start]
    return index.clamp_(max=len(images) - 1)


def _portions(samples: Samples | Resident, device: str, batch_size: int) -> Iterator[Resident]:
    """Images on the device, a whole number of batches at a time: a large set need not fit there whole."""
    if isinstance(samples, Resident):
        yield samples
        return
    size = max(1, PORTION // max(1, batch_size * int(np.prod(samples.images.shape[1:])))) * batch_size
    for start in range(0, len(samples), size):
        part = slice(start, start + size)
        yield Resident(Samples(samples.images[part], samples.labels[part], samples.ids[part]), device)


def _probabilities(network: nn.Module, images: Tensor, tta: TestTime, precision: Precision) -> Tensor:
    """Images (B, C, H, W) → probabilities (B, K) float32."""
    with forward_in(precision, images.device):
        logits = [network(images.flip(axes) if axes else images) for axes in MIRRORS[tta]]
    views = [each.float().softmax(1) for each in logits]
    return views[0] if len(views) == 1 else torch.stack(views).mean(0)
