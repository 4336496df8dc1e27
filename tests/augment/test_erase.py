"""Hidden regions: their size, place and colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment.erase import Cutout, Erase, cutout, erase
from bench.augment.pipeline import build
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream


def test_cutout_hides_a_square_of_its_fraction_cut_at_the_border() -> None:
    part = cutout(fraction=0.25)
    assert isinstance(part, Cutout)
    edges = part.edges(stream(0, "t"), 3000, 32)
    sides = edges[:, [1, 3]] - edges[:, [0, 2]]
    assert sides.max() == 8
    assert sides.min() == 4
    inner = (edges[:, 0] > 0) & (edges[:, 1] < 32)
    assert (sides[inner, 0] == 8).all()
    assert inner.mean() == pytest.approx(23 / 32, abs=0.03)  # centres 5 to 27 are clear of the border


def test_erase_draws_area_and_shape_from_their_ranges_inside_the_image() -> None:
    part = erase(low=0.1, high=0.2, ratio=0.5)
    assert isinstance(part, Erase)
    edges = part.edges(stream(0, "t"), 3000, 224)
    height, width = (edges[:, [1, 3]] - edges[:, [0, 2]]).T
    area = height * width / 224**2
    assert edges.min() >= 0
    assert edges.max() <= 224
    assert 0.097 < area.min() < 0.103
    assert 0.197 < area.max() < 0.203
    assert area.mean() == pytest.approx(0.15, abs=0.003)
    assert 0.49 < (height / width).min() < 0.52
    assert np.log(height / width).mean() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("name", ["cutout", "erase", "grid-mask"])
@pytest.mark.parametrize(("fill", "value"), [("black", [0.0, 0.0]), ("mean", [0.25, 0.75])])
def test_a_hidden_region_has_the_colour_asked_for(name: str, fill: str, value: list[float]) -> None:
    images = torch.zeros(20, 2, 16, 16)
    images[:, 0, ::2, ::2] = 1.0
    images[:, 1] = 1 - images[:, 0]
    run = build([Choice(name=name, params={"fill": fill, "p": 1.0})], size_px=16, channels=2)
    out, _ = run(images, torch.ones(20, 1), stream(0, "t"))
    changed = (out != images).any(1)
    assert changed.any((1, 2)).all()
    for channel in (0, 1):
        assert out[:, channel][changed].unique().tolist() == [value[channel]]


def test_grid_mask_hides_the_square_of_its_share() -> None:
    run = build([Choice(name="grid-mask", params={"p": 1.0, "fill": "black"})], size_px=128, channels=1)
    out, _ = run(torch.ones(300, 1, 128, 128), torch.ones(300, 1), stream(0, "t"))
    assert (1 - out).mean() == pytest.approx(0.4**2, abs=0.01)


def test_swapped_areas_are_refused() -> None:
    with pytest.raises(UserError, match=r"erase: low = 0.5 is above high = 0.33; swap them"):
        erase(low=0.5)
