"""AugMix: the published code's strengths, chains of the drawn depth, weights that add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment import optable
from bench.augment.augmix import AugMix, augmix
from bench.augment.pipeline import build
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream


def mix(images: torch.Tensor, **params: object) -> torch.Tensor:
    run = build([Choice(name="augmix", params=params)], size_px=images.shape[-1], channels=3)
    return run(images, torch.ones(len(images), 1), stream(0, "t"))[0]


def chains(depth: int, count: int = 3000) -> np.ndarray:
    part = AugMix(severity=3, width=2, depth=depth, alpha=1.0, fill="black")
    return part.chains(stream(0, "t"), optable.augmix_table(3, 32), count).op


def test_depths_are_uniform_from_one_to_three_and_operations_uniform_over_nine() -> None:
    op = chains(-1)
    assert op.shape == (3, 6000)
    depths = (op >= 0).sum(0)
    assert np.bincount(depths)[1:] / 2000 == pytest.approx([1, 1, 1], abs=0.06)
    counts = np.bincount(op[op >= 0], minlength=9)
    assert counts / counts.mean() == pytest.approx(np.ones(9), abs=0.1)


@pytest.mark.parametrize("depth", [1, 5])
def test_a_fixed_depth_is_kept_by_every_chain(depth: int) -> None:
    op = chains(depth, 50)
    assert op.shape == (depth, 100)
    assert (op >= 0).all()


def test_weights_add_up_so_that_a_white_image_keeps_its_light_where_nothing_moves() -> None:
    # Autocontrast, equalize and small solarize and posterize leave a flat picture flat; moves bring in black.
    images = torch.full((64, 3, 32, 32), 1.0)
    centre = mix(images, fill="edge")[:, :, 16, 16]
    assert centre.max() <= 1
    assert (centre > 0.99).float().mean() > 0.2
    assert centre.min() >= 0


def test_every_copy_of_an_image_is_mixed_differently(pictures: torch.Tensor) -> None:
    out = mix(pictures[:1].repeat(32, 1, 1, 1))
    assert len({image.numpy().tobytes() for image in out}) == 32


def test_a_small_alpha_takes_nearly_only_the_image_or_nearly_only_the_chains(pictures: torch.Tensor) -> None:
    many = pictures.repeat(20, 1, 1, 1)
    gap = (mix(many, alpha=0.01, width=1, depth=1) - many).abs().amax((1, 2, 3))
    assert (gap < 0.02).float().mean() == pytest.approx(0.5, abs=0.2)


def test_depth_zero_is_refused_with_a_reason() -> None:
    with pytest.raises(UserError, match=r"augmix: depth = 0; give 1 to 10"):
        augmix(depth=0)
