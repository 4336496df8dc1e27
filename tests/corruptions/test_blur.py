from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from kornia.filters import filter2d

from bench.corruptions.blur import convolve, defocus, disc, motion, picture_of_a_point, streak


def test_a_point_between_pixels_is_shared_bilinearly() -> None:
    # A quarter of a pixel right, half a pixel up: 0.75 and 0.25 across, 0.5 and 0.5 down.
    taps = picture_of_a_point(np.array([0.25]), np.array([-0.5]), np.array([3.0]))
    assert taps.tolist() == [[0, 0.375, 0.125], [0, 0.375, 0.125], [0, 0, 0]]


def test_points_on_pixels_stay_there() -> None:
    taps = picture_of_a_point(np.array([1.0, -1.0]), np.array([0.0, 1.0]), np.array([3.0, 1.0]))
    assert taps.tolist() == [[0, 0, 0], [0, 0, 0.75], [0.25, 0, 0]]


@pytest.mark.parametrize("radius", [0.2, 0.857, 2.57, 6.0])
def test_a_disc_is_even_round_and_as_wide_as_its_radius(radius: float) -> None:
    taps = disc(radius)
    assert taps.sum() == pytest.approx(1)
    np.testing.assert_allclose(taps, taps.T, atol=1e-12)
    np.testing.assert_allclose(taps, taps[::-1, ::-1], atol=1e-12)
    at = np.arange(len(taps)) - len(taps) // 2
    # Variance along an axis: r²/4 of a disc, and up to 1/4 that interpolation adds.
    variance = float((taps.sum(0) * at**2).sum())
    assert radius**2 / 4 - 0.01 <= variance <= radius**2 / 4 + 0.26
    if radius == 6.0:
        assert taps[6, 6] == pytest.approx(1 / (math.pi * 36), rel=0.02)


def test_a_wider_disc_blurs_more_also_below_one_pixel() -> None:
    peaks = [disc(radius).max() for radius in (0.01, 0.2, 0.4, 0.857, 1.3, 1.7)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 0.98


def test_a_streak_starts_at_the_centre_and_fades() -> None:
    row = streak(6.0, 3.0, 0.0)
    assert row.sum() == pytest.approx(1)
    centre = len(row) // 2
    assert row[centre].sum() == pytest.approx(1)
    along = row[centre]
    assert along[:centre].sum() == 0
    inner = along[centre + 1 : centre + 6]
    assert (np.diff(inner) < 0).all()
    # Half a Gaussian of width 3: one pixel further weighs exp((a² − b²)/18).
    assert inner[2] / inner[1] == pytest.approx(math.exp((4 - 9) / 18), rel=0.02)


def test_a_streak_goes_where_its_angle_points() -> None:
    taps = streak(8.0, 5.0, math.pi / 4)
    middle = len(taps) // 2
    y, x = np.indices(taps.shape) - middle
    assert (taps * x).sum() == pytest.approx((taps * y).sum())
    assert (taps * x).sum() > 1


def test_adding_up_taps_is_kornias_filter() -> None:
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, 24, 24), dtype=np.float32))
    for taps in (disc(2.57), streak(7.0, 3.0, 0.4)):
        expected = filter2d(image, torch.from_numpy(taps).float()[None], border_type="reflect")
        torch.testing.assert_close(convolve(image, taps), expected, atol=1e-6, rtol=0)


def test_a_flat_image_stays_flat() -> None:
    image = torch.full((1, 3, 32, 32), 0.3)
    for corruption in (defocus(), motion()):
        out = corruption.apply(image, 5, [np.random.default_rng(0)])
        torch.testing.assert_close(out, image, atol=1e-6, rtol=0)


def test_defocus_at_224_pixels_has_the_sources_radii() -> None:
    point = torch.zeros(1, 1, 224, 224)
    point[..., 112, 112] = 1
    for severity, radius in enumerate((2, 3, 4, 5, 6), 1):
        out = defocus().apply(point, severity, [np.random.default_rng(0)])[0, 0]
        lit = int((out[112] > 0).sum())
        assert lit == 2 * radius + 1
        assert out.sum() == pytest.approx(1, abs=1e-5)
