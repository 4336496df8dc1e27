"""Moving pixels by hand-worked matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.augment import matrices as mat
from bench.augment.kernels.warp import move


def test_a_quarter_turn_puts_a_corner_where_it_belongs() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 0, 15] = 1.0
    turned = move(image.clone(), mat.rotation(np.array([90.0]), 16), "black")
    assert turned[0, 0, 0, 0] == pytest.approx(1.0, abs=1e-5)
    assert turned.sum() == pytest.approx(1.0, abs=1e-4)


def test_a_shift_by_whole_pixels_copies_them() -> None:
    image = torch.rand(2, 1, 16, 16)
    moved = move(image.clone(), mat.translation(np.array([3.0, -2.0]), np.array([0.0, 1.0])), "black")
    torch.testing.assert_close(moved[0, 0, :, 3:], image[0, 0, :, :-3], atol=2e-5, rtol=0)
    torch.testing.assert_close(moved[1, 0, 1:, :-2], image[1, 0, :-1, 2:], atol=2e-5, rtol=0)
    assert moved[0, 0, :, :2].abs().max() == 0
