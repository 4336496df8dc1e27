"""Blur against Kornia's, with a width per image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d

import bench.augment  # noqa: F401
from bench.augment.blur import taps
from bench.augment.kernels.blur import separable
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.streams import stream


def test_blur_equals_kornias_gaussian_blur_with_a_width_per_image(pictures: torch.Tensor) -> None:
    sigma = np.linspace(0.3, 2.0, 6)
    ours = separable(pictures, torch.from_numpy(taps(sigma, 6)).float())
    widths = torch.from_numpy(sigma).float()[:, None].expand(-1, 2)
    theirs = gaussian_blur2d(pictures, (13, 13), widths, border_type="reflect")
    assert (ours - theirs).abs().max() < 1e-5


def test_kernel_weights_are_symmetric_and_add_up_to_one() -> None:
    weights = taps(np.array([0.1, 1.0, 5.0]), 3)
    assert weights.sum(1) == pytest.approx([1, 1, 1])
    assert np.array_equal(weights, weights[:, ::-1])
    assert weights[0] == pytest.approx([0, 0, 0, 1, 0, 0, 0], abs=1e-9)
    assert weights[1, 3] / weights[1, 4] == pytest.approx(np.exp(0.5))


def test_a_blur_wider_than_the_image_is_cut_to_fit() -> None:
    run = build([Choice(name="blur", params={"low": 20.0, "high": 20.0, "p": 1.0})], size_px=16, channels=1)
    out, _ = run(torch.rand(2, 1, 16, 16), torch.ones(2, 1), stream(0, "t"))
    assert out.std() < 0.06
