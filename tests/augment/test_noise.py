"""Noise that is as strong, as independent and as repeatable as it says."""

from __future__ import annotations

import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.streams import stream


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
