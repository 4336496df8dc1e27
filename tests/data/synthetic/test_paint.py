"""From shapes to pixels, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data.synthetic import paint
from bench.data.synthetic.cells import N_DRAWS, Cells, Draws, Knobs, choose

UNSHIFTED = Knobs(0.0, 0.0, 0.0, 0.0)


def draws(pictures: int) -> Draws:
    return Draws(np.random.default_rng(0).random((pictures, N_DRAWS)))


@pytest.fixture(scope="module")
def cells() -> Cells:
    return choose(np.arange(16) % 8, draws(16), UNSHIFTED)


class TestCanvas:
    @pytest.mark.parametrize(("size_px", "fine"), [(16, 4), (28, 3), (32, 2), (63, 2), (64, 1), (96, 1)])
    def test_paints_at_least_64_pixels_in_a_row(self, size_px: int, fine: int) -> None:
        canvas = paint.canvas_of(size_px)
        assert (canvas.fine, canvas.side) == (fine, size_px * fine)
        assert canvas.axis.shape == (canvas.side,)

    def test_goes_from_minus_one_to_one_over_the_middles_of_its_pixels(self) -> None:
        axis = paint.canvas_of(64).axis
        np.testing.assert_allclose(axis[[0, 1, -1]], [-63 / 64, -61 / 64, 63 / 64])

    def test_evaluates_a_form_at_every_pixel_with_x_along_a_row(self) -> None:
        canvas = paint.canvas_of(64)
        form = np.array([[[1, 2, 3, 4, 5, 6]]], np.float32)
        values = paint._evaluate(form, canvas).reshape(64, 64)
        x, y = canvas.axis[40], canvas.axis[7]
        expected = x * x + 2 * x * y + 3 * y * y + 4 * x + 5 * y + 6
        assert values[7, 40] == pytest.approx(expected, rel=1e-5)


class TestShapes:
    def test_cover_is_one_inside_a_half_on_the_outline_and_zero_outside(self) -> None:
        # Radius four outline widths: at 1.1 radii a pixel is 0.4 widths outside.
        form = np.array([[0.0, 1.0, 1.1**2, 4.0]], np.float32)
        np.testing.assert_allclose(paint._cover(form, np.float32([[4.0]])), [[1, 0.5, 0.1, 0]], atol=1e-6)

    def test_union_of_one_form_is_that_form(self) -> None:
        forms = np.array([[[0.2, 1.0, 3.0], [1e3, 1e3, 1e3]]], np.float32)
        np.testing.assert_allclose(paint._union(forms, np.float32(2.0)), forms[:, 0], rtol=1e-5)

    def test_union_reaches_further_between_two_forms(self) -> None:
        # exp(-2 × 1.2) twice: 1.2 - log(2) / 2
        forms = np.full((1, 2, 1), 1.2, np.float32)
        np.testing.assert_allclose(paint._union(forms, np.float32(2.0)), [[1.2 - np.log(2) / 2]], rtol=1e-5)

    def test_red_cells_are_pale_in_the_middle_and_denser_where_they_overlap(self) -> None:
        # Columns: middle of one, its rim, its rim where another's rim lies over it, outside.
        forms = np.array([[[0.0, 0.6, 0.6, 9.0], [9.0, 9.0, 0.6, 9.0]]], np.float32)
        amount = paint._red_cells(forms, np.float32([[0.02]]))
        np.testing.assert_allclose(amount, [[0.25, 1.0, 1.7, 0.0]], atol=1e-6)


class TestLayers:
    def test_hold_no_negative_amount_beyond_the_textures_dips(self, cells: Cells) -> None:
        layers = paint._layers(cells, paint.canvas_of(64))
        assert np.isfinite(layers).all()
        assert layers[:, [0, 1, 3]].min() >= -0.05
        assert layers[:, 2].max() < 3

    def test_leave_platelets_without_nucleus(self, cells: Cells) -> None:
        nucleus = paint._layers(cells, paint.canvas_of(64))[:, 2].max(axis=1)
        assert nucleus[[7, 15]].max() == 0
        assert nucleus[:7].min() > 0.5

    def test_tiles_have_their_stated_ranges_and_no_seam(self) -> None:
        outline, chromatin, *dots = (tile.reshape(256, 256) for tile in paint._tiles())
        for waves in (outline, chromatin):
            assert waves.mean() == pytest.approx(0, abs=1e-3)
            assert waves.std() == pytest.approx(1, abs=1e-3)
            seam, inside = np.abs(waves[:, 0] - waves[:, -1]).mean(), np.abs(np.diff(waves, axis=1)).mean()
            assert seam < 2 * inside
        for tile in dots:
            assert (tile.min(), tile.max()) == (0, 1)


class TestCamera:
    def test_pixels_without_dye_show_the_light(self) -> None:
        canvas = paint.canvas_of(64)
        optics = paint._optics(choose(np.arange(8), draws(8), UNSHIFTED), draws(8), UNSHIFTED)
        absorbed = np.full((8, 3, 64 * 64), np.log(2), np.float32)
        seen = paint._expose(absorbed, optics, canvas, radius=0)
        np.testing.assert_allclose(seen.mean(axis=(1, 2)), 127.5, atol=0.5)
        assert 0.8 < seen.std(axis=(1, 2, 3)).min() <= seen.std(axis=(1, 2, 3)).max() < 4.2

    def test_blur_keeps_the_sum_and_spreads_a_point_to_its_width(self) -> None:
        point = np.zeros((2, 3, 65, 65), np.float32)
        point[:, :, 32, 32] = 1
        sigma_px = np.array([1.5, 3.0])
        blurred = paint._blur(point, sigma_px, radius=12)
        np.testing.assert_allclose(blurred.sum(axis=(2, 3)), 1, rtol=1e-5)
        for direction in (2, 3):
            profile = blurred.sum(axis=5 - direction)[:, 0]
            spread = np.sqrt((profile * (np.arange(65) - 32) ** 2).sum(axis=1))
            np.testing.assert_allclose(spread, sigma_px, rtol=1e-2)

    def test_blur_leaves_an_even_picture_alone_up_to_its_borders(self) -> None:
        even = np.full((1, 3, 20, 20), 0.7, np.float32)
        np.testing.assert_allclose(paint._blur(even, np.array([2.0]), radius=6), even, rtol=1e-5)

    def test_blur_ends_three_deviations_away_and_is_skipped_without_defocus(self) -> None:
        # 1.4 × .018 × 48 px = 1.21 px is the strongest at 96 px: 3.6 px away.
        assert paint._blur_radius(1.0, 96) == 4
        assert paint._blur_radius(0.0, 96) == 0

    def test_noise_wraps_around_its_store(self) -> None:
        store = paint._noise_store()
        ends = paint._noise(100_000, 0.9999)
        start = int(0.9999 * len(store))
        assert np.array_equal(ends, np.concatenate([store[start:], store])[:100_000])
        assert store.std() == pytest.approx(1, abs=0.01)
