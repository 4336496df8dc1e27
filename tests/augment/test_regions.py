"""Masks of boxes and grids, pixel by pixel."""

from __future__ import annotations

import torch

from bench.augment.kernels.regions import boxes, grid, paint


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
