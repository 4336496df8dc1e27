"""Colour jitter against torchvision's own functions."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as F

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream


def test_each_image_gets_torchvisions_chain_in_the_order_of_its_batch(pictures: torch.Tensor) -> None:
    amounts = (0.4, 0.3, 0.5, 0.1)
    names = ("brightness", "contrast", "saturation", "hue")
    params = dict(zip(names, amounts, strict=True))
    run = build([Choice(name="colour-jitter", params=params)], size_px=48, channels=3)
    ours, _ = run(pictures, torch.ones(6, 1), stream(5, "t"))
    rng = stream(5, "t")
    rng.random(6)
    order = rng.permutation(4)
    draws = rng.uniform(-1, 1, (6, 4)) * amounts + (1, 1, 1, 0)
    functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for image, factors, out in zip(pictures, draws, ours, strict=True):
        expected = image
        for index in order:
            expected = functions[index](expected, float(factors[index]))
        assert (out - expected).abs().max() < 1e-4


def test_one_channel_needs_saturation_and_hue_off() -> None:
    with pytest.raises(UserError, match=r"augment\[0\] colour-jitter .* set saturation = 0.0 and hue = 0.0"):
        build([Choice(name="colour-jitter")], size_px=32, channels=1)
    build([Choice(name="colour-jitter", params={"saturation": 0.0, "hue": 0.0})], size_px=32, channels=1)
