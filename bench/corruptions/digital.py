"""What storing pictures does: few pixels, strong compression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.corruptions.base import Corruption, on
from bench.registry import corruptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image


@corruptions.register("pixelate", group="digital", kin=())
def pixelate() -> Corruption:
    """Shrink by averaging, then enlarge by repeating pixels.

    strengths  size of the small image .6, .5, .4, .3, .25 of the side, cut to whole pixels
    images     (B, C, H, W) float32 in [0, 1] → same, in steps of 1/255
    random     nothing

    Source: MedMNIST-C for BloodMNIST; Pillow's box and nearest filters as there. Kornia has no such
    operation, and torch's ``area`` counts a pixel on an edge twice: .6 then changes more than .5.
    """
    return Corruption("pixelate", (0.6, 0.5, 0.4, 0.3, 0.25), _pixelate)


@corruptions.register("jpeg", group="digital", kin=("jpeg",))
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
    """(1, C, H, W) float32 in [0, 1] → same; draws nothing."""
    from PIL import Image

    picture = _picture(image)
    width, height = picture.size
    small = picture.resize((int(share * width), int(share * height)), Image.Resampling.BOX)
    return _tensor(small.resize((width, height), Image.Resampling.NEAREST), image)


def _jpeg(image: torch.Tensor, quality: int, rng: np.random.Generator) -> torch.Tensor:
    """(1, C, H, W) float32 in [0, 1] → same; draws nothing."""
    import io

    from PIL import Image

    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    return _tensor(Image.open(file), image)


def _picture(image: torch.Tensor) -> Image:
    """(1, C, H, W) in [0, 1] as Pillow has it: 8 bits, on the host."""
    from PIL import Image

    pixels = (image[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])


def _tensor(picture: Image, like: torch.Tensor) -> torch.Tensor:
    """A picture as (1, C, H, W) float32 in [0, 1], on the device of ``like``."""
    import numpy as np

    pixels = np.asarray(picture).reshape(*like.shape[2:], like.shape[1])
    return on(like, pixels.transpose(2, 0, 1)[None] / 255)
