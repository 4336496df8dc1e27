"""Affine matrices by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.augment import matrices as mat


def place(matrix: np.ndarray, x: float, y: float) -> list[float]:
    """Where pixel (x, y) goes."""
    return list((matrix[0] @ np.array([x, y, 1.0]))[:2])


def test_each_matrix_puts_a_pixel_where_it_says() -> None:
    ones = np.ones(1)
    assert place(mat.rotation(90 * ones, 11), 10, 5) == pytest.approx([5, 0])  # right goes up
    assert place(mat.scaling(2 * ones, 11), 6, 4) == pytest.approx([7, 3])
    assert place(mat.translation(3 * ones, -2 * ones), 1, 1) == pytest.approx([4, -1])
    assert place(mat.shearing(0.5 * ones, 0 * ones, 5), 5, 7) == pytest.approx([4, 7])
    assert place(mat.shearing(0 * ones, 0.5 * ones, 5), 7, 5) == pytest.approx([7, 4])
    assert place(mat.mirror(ones > 0, ones < 0, 11), 2, 3) == pytest.approx([8, 3])


def test_sampling_runs_from_output_to_input_between_minus_one_and_one() -> None:
    # Half an image (4 of 8 pixels) to the right: an output pixel comes from 1.0 further left.
    theta = mat.sampling(mat.translation(np.array([4.0]), np.array([0.0])), 8)
    assert theta.dtype == np.float32
    np.testing.assert_allclose(theta[0], [[1, 0, -1], [0, 1, 0]], atol=1e-7)
    turned = mat.sampling(mat.rotation(np.array([30.0]), 8), 8)[0]
    assert turned[:, 2] == pytest.approx([0, 0], abs=1e-7)


def test_a_product_of_mirrors_is_a_mirror_and_nothing_else_is() -> None:
    yes, no = np.array([True, False]), np.array([False, False])
    once = mat.mirror(yes, yes, 9)
    assert mat.is_mirror(once)
    assert np.array_equal(once @ once, mat.identity(2))
    assert mat.is_mirror(mat.identity(3))
    assert not mat.is_mirror(mat.translation(np.array([0.0, 1.0]), np.zeros(2)) @ once)
    assert not mat.is_mirror(mat.rotation(np.array([0.0, 5.0]), 9))
    assert mat.is_mirror(mat.mirror(no, no, 9))


def test_only_where_leaves_the_others_where_they_are() -> None:
    moved = mat.only_where(np.array([True, False]), mat.translation(np.ones(2), np.ones(2)))
    assert moved[0, 0, 2] == 1
    assert np.array_equal(moved[1], np.eye(3))
