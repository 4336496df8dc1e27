"""Masks of boxes and grids, pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from bench.augment.kernels.regions import boxes, columns_repeat, grid, paint, paste, sides


def test_a_box_mask_holds_exactly_its_pixels() -> None:
    mask = boxes(torch.tensor([[1, 3, 0, 4], [2, 2, 0, 4]]), 4)
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert not mask[1].any()


def test_a_grid_mask_repeats_squares_every_period() -> None:
    mask = grid(torch.tensor([4.0]), torch.tensor([2.0]), torch.tensor([[1.0, 0.0]]), 6)[0, 0]
    across = [1, 1, 0, 0, 1, 1]
    assert mask.int().tolist() == [[0] * 6, across, across, [0] * 6, [0] * 6, across]


def test_the_mean_colour_is_each_images_own_and_each_channels_own() -> None:
    images = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[0.2, 0.2], [0.4, 0.4]]]])
    mask = torch.tensor([[True, False], [False, False]]).view(1, 1, 2, 2)
    out = paint(images, mask, "mean")
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([0.5, 0.3]))
    assert torch.equal(out[0, :, 1], images[0, :, 1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pasting_takes_either_image_bit_for_bit_in_both_memory_formats(
    channels: int, memory_format: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    images, others = torch.rand(2, 4, channels, 6, 6, generator=generator)
    images[0, 0, 0, 0], others[1, 0, 2, 2] = 1e-30, 1.0
    edges = torch.tensor([[0, 6, 0, 6], [1, 3, 2, 5], [3, 3, 0, 6], [0, 1, 5, 6]])
    expected = images.clone()
    for i, (top, bottom, left, right) in enumerate(edges.tolist()):
        expected[i, :, top:bottom, left:right] = others[i, :, top:bottom, left:right]
    given = [x.contiguous(memory_format=memory_format) for x in (images, others)]
    weights = sides(edges.numpy(), 6, columns_repeat(given[0]))
    out = paste(*given, *map(torch.from_numpy, weights))
    assert torch.equal(out, expected)
    assert out.is_contiguous(memory_format=memory_format)
