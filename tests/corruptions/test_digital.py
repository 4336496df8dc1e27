from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bench.corruptions import digital
from bench.corruptions.base import Corruption
from bench.data.synthetic import draw as synthetic


def cell(size_px: int = 48) -> np.ndarray:
    """(S, S, 3) uint8."""
    return synthetic.draw(1, size_px, 0)[0][0]


def corrupt(corruption: Corruption, severity: int, pixels: np.ndarray) -> np.ndarray:
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    out = corruption.apply(image, severity, [np.random.default_rng(0)])
    return (out[0].permute(1, 2, 0) * 255).numpy()


def test_half_the_pixels_means_blocks_of_two_by_two() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    out = corrupt(digital.pixelate(), 2, pixels)
    blocks = pixels.reshape(8, 2, 8, 2, 3).mean((1, 3))
    # Pillow averages along one axis, rounds, then along the other: half a level each.
    np.testing.assert_allclose(out, np.kron(blocks, np.ones((2, 2, 1))), atol=1.01)


@pytest.mark.parametrize(("severity", "side"), [(1, 57), (2, 48), (3, 38), (4, 28), (5, 24)])
def test_the_small_image_has_whole_pixels(severity: int, side: int) -> None:
    ramp = np.broadcast_to((np.arange(96) * 2).astype(np.uint8)[None, :, None], (96, 96, 1))
    out = corrupt(digital.pixelate(), severity, np.ascontiguousarray(ramp))
    assert len(np.unique(out[0, :, 0].round())) == side


def test_jpeg_is_the_codecs_picture_at_the_sources_qualities() -> None:
    pixels = cell()
    for severity, quality in enumerate((50, 30, 15, 10, 7), 1):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file))
        np.testing.assert_allclose(corrupt(digital.jpeg(), severity, pixels), expected, atol=1e-3)


def test_kornias_differentiable_jpeg_is_another_picture() -> None:
    """Why Pillow's codec is used: should Kornia come close one day, this fails and the choice can change."""
    from kornia.enhance import jpeg_codec_differentiable

    pixels = cell(96)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    theirs = jpeg_codec_differentiable(image, torch.tensor([10.0]))[0].permute(1, 2, 0).numpy() * 255
    codec = corrupt(digital.jpeg(), 4, pixels)
    assert np.abs(theirs - codec).mean() > 0.5


def test_gray_images_stay_gray() -> None:
    out = corrupt(digital.jpeg(), 5, np.ascontiguousarray(cell()[..., :1]))
    assert out.shape == (48, 48, 1)
