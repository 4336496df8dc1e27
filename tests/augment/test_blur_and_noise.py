"""Blur against Kornia's, and noise that is as strong, as independent and as repeatable as it says."""

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


def noisy(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    params = {"low": 0.05, "high": 0.05, "p": 1.0}
    run = build([Choice(name="noise", params=params)], size_px=images.shape[-1], channels=images.shape[1])
    return run(images, torch.ones(len(images), 1), stream(seed, "t"))[0] - images


def test_noise_is_normal_with_the_deviation_asked_for() -> None:
    noise = noisy(torch.full((40, 3, 32, 32), 0.5)).flatten()
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    assert noise.std() == pytest.approx(0.05, rel=0.01)
    assert (noise.abs() < 0.05).float().mean() == pytest.approx(0.6827, abs=0.005)


def test_noise_is_independent_between_pixels_channels_and_images() -> None:
    noise = noisy(torch.full((40, 3, 32, 32), 0.5)) / 0.05
    for one, other in (
        (noise[..., 1:], noise[..., :-1]),
        (noise[..., 1:, :], noise[..., :-1, :]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[1:], noise[:-1]),
    ):
        assert (one * other).mean().abs() < 0.015


def test_noise_differs_between_calls_and_repeats_with_the_generator() -> None:
    images = torch.full((4, 1, 16, 16), 0.5)
    assert torch.equal(noisy(images, 1), noisy(images, 1))
    assert not torch.equal(noisy(images, 1), noisy(images, 2))
