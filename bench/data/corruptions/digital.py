"""What storing pictures does: few pixels, strong compression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.corruptions.base import Corruption, on
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch


@corruptions.register("pixelate", group="digital", kin=())
def pixelate() -> Corruption:
    """Shrink by averaging, then enlarge by repeating pixels.

    strengths  size of the small image .6, .5, .4, .3, .25 of the side, cut to whole pixels
    images     (B, C, H, W) float32 in [0, 1] → same
    random     nothing

    Source: MedMNIST-C for BloodMNIST. Pillow's box filter weights a pixel on an edge by the part inside,
    torch's ``area`` gives it to both sides. Kornia has no such operation.
    """
    return Corruption("pixelate", (0.6, 0.5, 0.4, 0.3, 0.25), _pixelate)


@corruptions.register("jpeg", group="digital", kin=())
def jpeg() -> Corruption:
    """Compress as JPEG.

    strengths  quality 50, 30, 15, 10, 7
    images     (B, C, H, W) float32 in [0, 1] → same, in steps of 1/255
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Pillow's codec as there. Kornia's ``jpeg_codec_differentiable``
    replaces rounding by a smooth curve: on blood cells it changes 10 % less and is 1.4 to 2.5 levels away
    from the codec, which itself changes 4 to 10.
    """
    return Corruption("jpeg", (50, 30, 15, 10, 7), _jpeg)


def _pixelate(image: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    import torch.nn.functional as F

    height, width = image.shape[-2:]
    small = F.interpolate(image, size=(int(share * height), int(share * width)), mode="area")
    return F.interpolate(small, size=(height, width), mode="nearest-exact")


def _jpeg(image: torch.Tensor, quality: int, rng: np.random.Generator) -> torch.Tensor:
    import io

    import numpy as np
    from PIL import Image

    pixels = (image[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality)
    stored = np.asarray(Image.open(file)).reshape(pixels.shape)
    return on(image, stored.transpose(2, 0, 1)[None] / 255)
