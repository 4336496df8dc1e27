"""Kernels on values, by hand; the tables' tests compare them with torchvision and Kornia."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from bench.augment.kernels import tone


def one(value: float, count: int = 1) -> torch.Tensor:
    return torch.full((count, 1, 1, 1), value)


@pytest.mark.parametrize("turn", [-0.5, -0.17, 0.0, 0.08, 0.5])
def test_hue_equals_torchvisions_adjust_hue(turn: float, pictures: torch.Tensor) -> None:
    ours = tone.hue(pictures.clone(), torch.full((6, 1, 1, 1), turn))
    assert (ours - F.adjust_hue(pictures, turn)).abs().max() < 1e-4


def test_hue_turns_red_into_green_and_leaves_grey_alone() -> None:
    images = torch.tensor([[1.0, 0.0, 0.0], [0.4, 0.4, 0.4]]).view(2, 3, 1, 1)
    out = tone.hue(images, torch.full((2, 1, 1, 1), 1 / 3)).view(2, 3)
    torch.testing.assert_close(out, torch.tensor([[0.0, 1.0, 0.0], [0.4, 0.4, 0.4]]))


def test_grey_weighs_the_channels_and_leaves_one_channel_alone() -> None:
    pixel = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    assert tone.grey(pixel).item() == pytest.approx(0.2989 + 0.587 / 2)
    single = torch.rand(2, 1, 3, 3)
    assert tone.grey(single) is single


def test_contrast_zero_is_the_mean_grey_and_colour_zero_is_the_pixels_grey() -> None:
    images = torch.zeros(1, 3, 1, 2)
    images[0, 1, 0, 0] = 1.0
    assert tone.contrast(images.clone(), one(0.0)).unique().tolist() == pytest.approx([0.2935])
    assert tone.colour(images.clone(), one(0.0))[0, :, 0, 0].tolist() == pytest.approx([0.587] * 3)


def test_auto_contrast_stretches_a_channel_and_leaves_a_flat_one() -> None:
    images = torch.tensor([[[[0.2, 0.4, 0.6]], [[0.3, 0.3, 0.3]]]])
    out = tone.auto_contrast(images.clone(), one(0.0))
    torch.testing.assert_close(out, torch.tensor([[[[0.0, 0.5, 1.0]], [[0.3, 0.3, 0.3]]]]))


def test_posterize_keeps_high_bits_and_rounds_interpolated_values_up() -> None:
    images = torch.tensor([255.0, 64.0, 63.999, 63.0]).view(1, 1, 2, 2) / 255
    rounded = tone.posterize(images.clone(), one(64.0), one(0.5)) * 255
    assert rounded.view(-1).round().tolist() == [192, 64, 64, 0]
    cut = tone.posterize(images.clone(), one(64.0), one(0.0)) * 255
    assert cut.view(-1).round().tolist() == [192, 64, 0, 0]


def test_equalize_spreads_two_levels_to_the_ends_and_leaves_a_flat_channel() -> None:
    # 512 pixels, half of level 10 and half of 20: step = 256 // 255 = 1, so 10 → 0 and 20 → min(256, 255).
    images = torch.full((1, 2, 16, 32), 10 / 255)
    images[0, 0, 8:] = 20 / 255
    out = tone.equalize(images.clone(), one(0.5)) * 255
    assert out[0, 0, 0, 0] == 0
    assert out[0, 0, 15, 0] == 255
    torch.testing.assert_close(out[0, 1], torch.full((16, 32), 10.0))


def test_sharpness_zero_smooths_the_inside_and_keeps_the_border() -> None:
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 1, 1] = 1.0
    images[0, 0, 0, 0] = 1.0
    out = tone.sharpness(images.clone(), one(0.0))[0, 0]
    assert out[1, 1].item() == pytest.approx((5 + 1) / 13)
    assert out[2, 2].item() == pytest.approx(1 / 13)
    assert out[0].tolist() == [1, 0, 0, 0]


def test_solarize_adds_before_it_inverts() -> None:
    images = torch.tensor([0.1, 0.4, 0.6, 0.9]).view(1, 1, 2, 2)
    out = tone.solarize(images, one(0.5), one(0.2))
    torch.testing.assert_close(out.view(-1), torch.tensor([0.3, 0.4, 0.2, 0.0]))
