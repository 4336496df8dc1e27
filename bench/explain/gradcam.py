"""Grad-CAM: where in an image a network sees what it says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.network import Network, evaluating


def places_of(network: Network, size_px: int) -> tuple[int, int] | None:
    """Height and width of the last feature maps: all that Grad-CAM can tell apart in an image.

    None for a backbone that ends in a sequence of tokens, which have no place; every CNN ends in maps.
    """
    channels = network.mean.shape[1]
    with evaluating(network), torch.no_grad():
        maps = _maps(network, torch.zeros(1, channels, size_px, size_px))
    if maps is None:
        return None
    height, width = maps.shape[1:3] if _channels_last(network) else maps.shape[2:]
    return height, width


def gradcam(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    """How much each place speaks for a class: (B, H, W) float32 in [0, 1], the strongest place 1.

    images    (B, C, H, W) float32 in [0, 1]
    classes   (B,) int64: the class to explain for each image

    The last feature maps before pooling, weighted by the mean gradient of the class's logit, positive part,
    enlarged to the image. All 0 where nothing speaks for the class. Network and gradients stay as they are.

    Source: Selvaraju et al. 2017, section 3. The library ``grad-cam`` needs to be told a layer of every model
    and brings OpenCV along; timm models divide themselves into ``forward_features`` and ``forward_head``.
    """
    with evaluating(network), torch.no_grad():
        maps = _maps(network, images)
    if maps is None:
        raise ValueError(f"a {type(network.backbone).__name__} has no feature maps; ask places_of first")
    with evaluating(network), torch.enable_grad():
        maps = maps.detach().requires_grad_()
        logits = _answer(network, maps)
        chosen = logits.gather(1, classes[:, None]).sum()  # images do not mix: each gets its own gradient
        (gradient,) = torch.autograd.grad(chosen, maps)
    if _channels_last(network):
        maps, gradient = maps.permute(0, 3, 1, 2), gradient.permute(0, 3, 1, 2)
    weights = gradient.mean((2, 3), keepdim=True)
    places = (weights * maps.detach()).sum(1, keepdim=True).relu()
    large = F.interpolate(places, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    strongest = large.amax((1, 2), keepdim=True)
    return large / strongest.where(strongest > 0, torch.ones_like(strongest))


def _maps(network: Network, images: Tensor) -> Tensor | None:
    """The last maps before pooling, (B, F, h, w) or (B, h, w, F); None when there are none."""
    backbone = network.backbone
    normalised = (images - network.mean) / network.std
    found = getattr(backbone, "forward_features", backbone)(normalised)
    return found if isinstance(found, Tensor) and found.ndim == 4 else None


def _answer(network: Network, maps: Tensor) -> Tensor:
    """Those maps → logits (B, K)."""
    pooled = getattr(network.backbone, "forward_head", None)
    logits: Tensor = network.head(maps if pooled is None else pooled(maps))
    return logits


def _channels_last(network: Network) -> bool:
    return str(getattr(network.backbone, "output_fmt", "NCHW")) == "NHWC"
