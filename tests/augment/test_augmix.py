"""AugMix: the published code's strengths, chains of the drawn depth, weights that add up."""

from __future__ import annotations

from typing import Any

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


def test_jsd_gives_the_image_itself_and_two_different_mixtures_of_it(pictures: torch.Tensor) -> None:
    clean, first, second = mix(pictures, jsd=True).chunk(3)
    assert torch.equal(clean, pictures)
    assert torch.equal(first, mix(pictures))  # drawn first, and as without jsd
    for one, other in ((clean, first), (clean, second), (first, second)):
        assert ((one - other).abs().amax((1, 2, 3)) > 0.01).all()


def test_jsd_leaves_targets_as_one_row_per_image(pictures: torch.Tensor) -> None:
    run = build([Choice(name="augmix", params={"jsd": True})], size_px=48, channels=3)
    targets = torch.eye(len(pictures))
    images, same = run(pictures, targets, stream(0, "t"))
    assert (run.views, len(images)) == (3, 3 * len(pictures))
    assert same is targets


def test_what_comes_before_jsd_changes_all_three_views_alike(pictures: torch.Tensor) -> None:
    choices = [Choice(name="flip", params={"p": 1.0}), Choice(name="augmix", params={"jsd": True})]
    clean = build(choices, size_px=48, channels=3)(pictures, torch.ones(6, 1), stream(0, "t"))[0][:6]
    assert torch.equal(clean, pictures.flip(3))


@pytest.mark.parametrize(
    "names",
    [
        ["augmix", "cutout"],
        ["augmix", "augmix"],
        ["mixup", "augmix"],
        [{"name": "chain", "steps": [{"name": "augmix", "jsd": True}]}],
        [{"name": "one-of", "choices": ["flip", {"name": "augmix", "jsd": True}]}],
    ],
)
def test_several_views_are_refused_where_they_would_mean_nothing(names: list[Any]) -> None:
    choices = [Choice.model_validate({"name": n, "jsd": True} if n == "augmix" else n) for n in names]
    with pytest.raises(UserError, match="views"):
        build(choices, size_px=32, channels=3)
