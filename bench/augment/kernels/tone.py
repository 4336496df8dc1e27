"""What an operation does to the values of pixels, each kernel over a batch with one strength per image.

All take images (B, C, H, W) float32 in [0, 1] that they may write into, and a strength as (B, 1, 1, 1),
and return images of the same shape in [0, 1]. Arithmetic is Pillow's, as torchvision and Kornia have it;
where those two differ a second strength says which.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), torchvision's digits."""


def grey(images: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) → (B, 1, H, W) luma; one channel is its own grey value."""
    if images.shape[1] == 1:
        return images
    red, green, blue = LUMA
    out = images[:, 0:1] * red
    return out.add_(images[:, 1:2], alpha=green).add_(images[:, 2:3], alpha=blue)


def affine(images: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """gain · x + offset: brightness (offset 0), Kornia's additive brightness (gain 1), inversion (−1, 1).

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    return images.mul_(gain).add_(offset).clamp_(0, 1)


def contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Distance from the image's mean grey value times ``factor``; 1 changes nothing.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    mean = grey(images).mean((1, 2, 3), keepdim=True)
    return affine(images, factor, mean * (1 - factor))


def colour(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Distance from the pixel's grey value times ``factor``; 1 changes nothing, 0 is a grey picture.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    shade = grey(images) * (1 - factor)
    return images.mul_(factor).add_(shade).clamp_(0, 1)


def saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """HSV saturation times ``factor``, hue and value kept: Kornia's "color". Needs 3 channels.

    Written as a scaling of each channel's distance from the brightest one, as
    kornia.enhance.adjust_saturation is.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    top = images.amax(1, keepdim=True)
    spread = top - images.amin(1, keepdim=True)
    wanted = top * (spread / (top + 1e-8).masked_fill_(top == 0, 1.0) * factor).clamp_(0, 1)
    scale = wanted / spread.masked_fill(spread == 0, 1.0)
    return images.sub_(top).mul_(scale).add_(top).clamp_(0, 1)


def auto_contrast(images: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Stretch every channel to [0, 1]. ``epsilon`` 0 keeps flat channels (Pillow); Kornia has 1e-6.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    low = images.amin((2, 3), keepdim=True)
    spread = images.amax((2, 3), keepdim=True) - low + epsilon
    flat = spread == 0
    low, spread = low.masked_fill_(flat, 0.0), spread.masked_fill_(flat, 1.0)
    return images.sub_(low).div_(spread).clamp_(0, 1)


def solarize(images: torch.Tensor, threshold: torch.Tensor, addition: torch.Tensor) -> torch.Tensor:
    """Add, then invert what reaches the threshold.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    images = images.add_(addition).clamp_(0, 1)
    return torch.where(images < threshold, images, 1 - images)


def posterize(images: torch.Tensor, step: torch.Tensor, rounding: torch.Tensor) -> torch.Tensor:
    """Keep the high bits of 8: ``step`` = 2^(bits dropped), 0 changes nothing.

    ``rounding`` is added before the 8-bit value is cut off: 0.5 rounds, so that an interpolated 63.9999
    counts as 64; 0 truncates as Kornia does.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    coarse = (images * 255).add_(rounding).floor_().div_(step.clamp_min(1)).floor_().mul_(step / 255)
    return torch.where(step > 0, coarse, images)


def equalize(images: torch.Tensor, rounding: torch.Tensor) -> torch.Tensor:
    """Pillow's histogram equalization of every channel, on 8-bit values; ``rounding`` as in ``posterize``.

    A channel with fewer than 255 pixels outside its brightest level stays as it is. Counts are exact in
    float32 up to 2^24 pixels.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    B, C, H, W = images.shape
    level = (images * 255).add_(rounding).clamp_(0, 255).long().view(B * C, H * W)
    counts = torch.zeros(B * C, 256, device=images.device)
    counts.scatter_add_(1, level, torch.ones(1, 1, device=images.device).expand_as(level))
    brightest = level.amax(1, keepdim=True)
    step = ((H * W - counts.gather(1, brightest)) / 255).floor_()
    table = (counts.cumsum(1) + (step / 2).floor_()).div_(step.clamp_min(1)).floor_()
    # Pillow counts the pixels below a level, not those of it.
    table = F.pad(table[:, :-1], (1, 0)).clamp_(0, 255) / 255
    flat = images.view(B * C, H * W)
    return torch.where(step == 0, flat, table.gather(1, level)).view(B, C, H, W)


def sharpness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Distance from a 3×3 smoothed copy (centre 5, others 1, of 13) times ``factor``; border pixels stay.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    across = images[..., :-2] + images[..., 1:-1]
    across += images[..., 2:]
    smooth = across[..., :-2, :] + across[..., 1:-1, :]
    smooth += across[..., 2:, :]
    inner = images[..., 1:-1, 1:-1]
    smooth.add_(inner, alpha=4).mul_(1 / 13)
    inner.copy_(smooth + (inner - smooth) * factor)
    return images.clamp_(0, 1)


def hue(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Move the hue by ``turn`` of the colour circle (−0.5 to 0.5); HSV saturation and value stay.

    Needs 3 channels. Without a way through HSV: a channel lies between the pixel's darkest and brightest
    one, at a place that is a piecewise linear function of the hue.

    images (B, C, H, W), strengths (B, 1, 1, 1) → (B, C, H, W)
    """
    red, green, blue = images.unbind(1)
    top, low = images.amax(1), images.amin(1)
    spread = top - low
    safe = spread.masked_fill(spread == 0, 1.0)
    sextant = torch.where(
        top == red,
        (green - blue) / safe,
        torch.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    ).add_(turn[:, 0] * 6)
    out = torch.empty_like(images)
    for channel, offset in enumerate((0, 4, 2)):
        place = torch.remainder(sextant + offset, 6).sub_(3).abs_().sub_(1).clamp_(0, 1)
        torch.addcmul(low, spread, place, out=out[:, channel])
    return out
