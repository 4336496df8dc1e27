"""Geometric augmentations: Kornia's own classes, one matrix for neighbours, images that stay untouched."""

from __future__ import annotations

from collections.abc import Callable

import kornia.augmentation as K
import numpy as np
import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment import matrices as mat
from bench.augment.geometry import flip, rotate, shear, shift, zoom
from bench.augment.kernels.warp import move
from bench.augment.pipeline import build, fusable
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream

SIZE = 48


def targets(count: int) -> torch.Tensor:
    return torch.eye(4)[torch.arange(count) % 4]


def test_rotation_equals_kornias_random_rotation(pictures: torch.Tensor) -> None:
    aug = K.RandomRotation(180.0, p=1.0, align_corners=True)
    expected = aug(pictures)
    ours = move(pictures.clone(), mat.rotation(aug._params["degrees"].double().numpy(), SIZE), "black")
    assert (ours - expected).abs().max() < 1e-4


def affine(pictures: torch.Tensor, **given: object) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    aug = K.RandomAffine(degrees=0.0, p=1.0, align_corners=True, **given)
    return aug(pictures), {key: value.double().numpy() for key, value in aug._params.items()}


def test_zoom_equals_the_scale_of_kornias_random_affine(pictures: torch.Tensor) -> None:
    expected, drawn = affine(pictures, scale=(0.7, 1.4))
    ours = move(pictures.clone(), mat.scaling(drawn["scale"][:, 0], SIZE), "black")
    assert (ours - expected).abs().max() < 1e-4


def test_shift_equals_the_translation_of_kornias_random_affine(pictures: torch.Tensor) -> None:
    expected, drawn = affine(pictures, translate=(0.3, 0.3))
    ours = move(pictures.clone(), mat.translation(*drawn["translations"].T), "black")
    assert (ours - expected).abs().max() < 1e-4


def test_shear_equals_the_shear_of_kornias_random_affine(pictures: torch.Tensor) -> None:
    expected, drawn = affine(pictures, shear=(-20.0, 20.0, -15.0, 15.0))
    x, y = np.tan(np.deg2rad([drawn["shear_x"], drawn["shear_y"]]))
    ours = move(pictures.clone(), mat.shearing(x, y, mat.middle(SIZE)), "black")
    assert (ours - expected).abs().max() < 1e-4


def test_flip_equals_torchs_flip_bit_for_bit(pictures: torch.Tensor) -> None:
    run = build([Choice(name="flip", params={"p": 1.0, "vertical_p": 1.0})], size_px=SIZE, channels=3)
    out, _ = run(pictures, targets(6), stream(0, "t"))
    assert torch.equal(out, pictures.flip(2, 3))


@pytest.mark.parametrize(("fill", "corner"), [("black", 0.0), ("edge", 0.75), ("reflect", 0.75)])
def test_fill_says_what_stands_in_the_corners(fill: str, corner: float) -> None:
    run = build([Choice(name="zoom", params={"low": 0.5, "high": 0.5, "fill": fill})], size_px=16, channels=1)
    out, _ = run(torch.full((1, 1, 16, 16), 0.75), targets(1), stream(0, "t"))
    assert out[0, 0, 0, 0] == pytest.approx(corner, abs=1e-6)
    assert out[0, 0, 8, 8] == pytest.approx(0.75, abs=1e-6)


def test_three_in_a_row_are_sampled_once_with_the_product_of_their_matrices(pictures: torch.Tensor) -> None:
    names = ["flip", "rotate", "zoom"]
    run = build([Choice(name=name) for name in names], size_px=SIZE, channels=3)
    assert len(run.steps) == 1
    rng, total = stream(1, "t"), mat.identity(6)
    for part in (flip(), rotate(), zoom()):
        total = part.matrices(rng, 6, SIZE) @ total
    out, _ = run(pictures, targets(6), stream(1, "t"))
    torch.testing.assert_close(out, move(pictures.clone(), total, "black"))


def test_neighbours_with_different_fills_stay_apart() -> None:
    step: Callable[..., None] = lambda *_: None  # noqa: E731
    parts = [rotate(), flip(), zoom(fill="edge"), shift(fill="edge"), shear()]
    groups = fusable([(part, step) for part in parts])
    assert [len(group) for group, _ in groups] == [2, 2, 1]


def test_images_that_are_not_chosen_are_not_touched(pictures: torch.Tensor) -> None:
    many = pictures.repeat(20, 1, 1, 1)
    run = build([Choice(name="rotate", params={"p": 0.5})], size_px=SIZE, channels=3)
    out, _ = run(many, targets(120), stream(0, "t"))
    same = torch.tensor([torch.equal(a, b) for a, b in zip(out, many, strict=True)])
    assert 40 <= same.sum() <= 80


@pytest.mark.parametrize("part", [rotate(degrees=40.0), shift(), shear(), zoom()])
def test_draws_are_spread_evenly_around_the_identity(part: object) -> None:
    drawn = part.matrices(stream(0, "t"), 4000, SIZE)  # type: ignore[attr-defined]
    middle = np.array([mat.middle(SIZE), mat.middle(SIZE), 1.0])
    off = np.abs((drawn @ middle - middle).mean(0)) / SIZE
    linear = np.abs(drawn[:, :2, :2].mean(0) - np.eye(2) * drawn[:, 0, 0].mean())
    assert off.max() < 0.01
    assert linear.max() < 0.03


def test_rotation_angles_are_uniform_up_to_the_limit() -> None:
    drawn = rotate(degrees=40.0).matrices(stream(0, "t"), 8000, SIZE)
    degrees = np.rad2deg(np.arctan2(drawn[:, 0, 1], drawn[:, 0, 0]))
    counts, _ = np.histogram(degrees, bins=8, range=(-40, 40))
    assert counts.sum() == 8000
    assert np.abs(counts / 1000 - 1).max() < 0.12


def test_a_range_with_swapped_ends_is_refused() -> None:
    with pytest.raises(UserError, match=r"zoom: low = 1.3 is above high = 1.2"):
        zoom(low=1.3)
