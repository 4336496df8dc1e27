from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.corruptions import geometry
from bench.corruptions.geometry import view

RAMP = torch.linspace(0, 1, 33).expand(33, 33)[None, None].contiguous()
"""Brightness grows from left (0) to right (1)."""


def noisy(size_px: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, size_px, size_px), dtype=np.float32))


def test_whole_pixels_move_exactly_and_what_was_outside_is_mirrored() -> None:
    image = noisy(8)
    out = view(image, right=2, down=1)
    torch.testing.assert_close(out[..., 1:, 2:], image[..., :-1, :-2], atol=1e-5, rtol=0)
    # Mirrored about the first pixel's centre: to the left of column 0 comes column 1, then 2.
    torch.testing.assert_close(out[..., 1:, 1], image[..., :-1, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(out[..., 1:, 0], image[..., :-1, 2], atol=1e-5, rtol=0)


def test_a_quarter_turn_against_the_clock_is_exact() -> None:
    image = noisy()
    torch.testing.assert_close(view(image, degrees=90), torch.rot90(image, 1, (2, 3)), atol=1e-4, rtol=0)


def test_enlarging_keeps_the_centre_and_spreads_the_rest() -> None:
    out = view(RAMP, factor=2.0)
    # Half as steep around the middle: from .25 to .75.
    torch.testing.assert_close(out[0, 0, 5], torch.linspace(0.25, 0.75, 33), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("severity", "degrees"), [(1, 10), (3, 30), (5, 60)])
def test_rotation_turns_by_its_angle_one_way_or_the_other(severity: int, degrees: float) -> None:
    image = noisy()
    either = [view(image, degrees=d).clamp(0, 1) for d in (degrees, -degrees)]
    hits = set()
    for seed in range(12):
        out = geometry.rotation().apply(image, severity, [np.random.default_rng(seed)])
        hits |= {way for way, expected in enumerate(either) if torch.equal(out, expected)}
    assert hits == {0, 1}


def test_zoom_enlarges_or_shrinks() -> None:
    steepness = set()
    for seed in range(12):
        out = geometry.zoom().apply(RAMP, 5, [np.random.default_rng(seed)])[0, 0, 16]
        steepness.add(round(float((out[18] - out[14]) * 32 / 4), 2))
    assert steepness == {0.67, 1.5}


@pytest.mark.parametrize(("severity", "share"), [(1, 0.05), (5, 0.25)])
def test_a_shift_has_its_length_in_every_direction(severity: int, share: float) -> None:
    size = 101
    image = torch.zeros(1, 1, size, size)
    image[..., 48:53, 48:53] = 1
    angles = []
    for seed in range(30):
        out = geometry.shift().apply(image, severity, [np.random.default_rng(seed)])[0, 0].double()
        at = torch.arange(size).double() - 50
        x, y = float((out.sum(0) * at).sum() / out.sum()), float((out.sum(1) * at).sum() / out.sum())
        assert np.hypot(x, y) == pytest.approx(share * size, abs=0.02)
        angles.append(np.arctan2(y, x))
    assert {int(angle // (np.pi / 2)) for angle in angles} == {-2, -1, 0, 1}


@pytest.mark.parametrize(("severity", "side"), [(1, 0.92), (3, 0.78), (5, 0.62)])
def test_a_crop_shows_a_square_from_inside(severity: int, side: float) -> None:
    starts = []
    for seed in range(30):
        out = geometry.crop().apply(RAMP, severity, [np.random.default_rng(seed)])[0, 0, 16]
        steps = out.diff()
        # Steps of a straight ramp, side times as steep; a mirrored border would turn it round.
        assert steps[1:-1].min() == pytest.approx(side / 32, rel=0.01)
        assert steps[1:-1].max() == pytest.approx(side / 32, rel=0.01)
        starts.append(float(out[0]))
    assert max(starts) - min(starts) > 0.6 * (1 - side)
