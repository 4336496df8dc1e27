from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.corruptions import marks
from bench.corruptions.base import Corruption


def opacity(corruption: Corruption, severity: int, seed: int, size_px: int = 224) -> torch.Tensor:
    """(S, S): how white a black image becomes."""
    black = torch.zeros(1, 1, size_px, size_px)
    return corruption.apply(black, severity, [np.random.default_rng(seed)])[0, 0]


def test_occlusion_hides_one_grey_square_of_its_size_wholly_inside() -> None:
    places = set()
    for seed in range(20):
        out = opacity(marks.occlusion(), 2, seed, 40)
        rows, columns = (out == 0.5).any(1).nonzero(), (out == 0.5).any(0).nonzero()
        assert len(rows) == len(columns) == 8  # .20 × 40
        assert int((out != 0).sum()) == 64
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 15


@pytest.mark.parametrize("severity", [1, 5])
def test_bubbles_are_white_veils_with_a_brighter_rim(severity: int) -> None:
    out = opacity(marks.bubbles(), severity, 0)
    values, counts = out.unique(return_counts=True)
    assert float(out.max()) == pytest.approx(130 / 255)
    common = {round(float(v), 4) for v, n in zip(values, counts, strict=True) if n > 50}
    assert common == {0.0, round(100 / 255, 4), round(130 / 255, 4)}


def test_bubbles_cover_what_their_numbers_and_radii_say() -> None:
    # 7 to 10 bubbles of radius 3 to 10, 2 pixels of rim: 8.5 × π × mean (r + 2)² = 8.5 × π × (8.5² + 49/12).
    half = 65 / 255  # of the rim's opacity, at its edge
    shares = [float((opacity(marks.bubbles(), 3, seed) > half).float().mean()) for seed in range(60)]
    assert np.mean(shares) == pytest.approx(8.5 * np.pi * (8.5**2 + 49 / 12) / 224**2, rel=0.1)


def test_stain_deposits_have_the_colour_of_dye() -> None:
    white = torch.ones(1, 3, 112, 112)
    out = marks.stain_deposit().apply(white, 5, [np.random.default_rng(1)])[0]
    touched = (out < 0.5).any(0)
    red, green, blue = out[:, touched]
    assert touched.any()
    assert ((green < red) & (red < blue)).all()
    assert float(out.min()) >= 0.10


def test_stain_deposits_grow_in_number_then_in_size() -> None:
    def spots(severity: int, seed: int) -> int:
        """Connected dark areas."""
        from scipy.ndimage import label

        dark = opacity(marks.stain_deposit(), severity, seed) > 0.05
        return int(label(dark.numpy())[1])

    assert {spots(1, seed) for seed in range(12)} == {1}
    assert max(spots(3, seed) for seed in range(12)) == 3
    area = [
        np.mean([float((opacity(marks.stain_deposit(), s, seed) > 0).sum()) for seed in range(30)])
        for s in (3, 4, 5)
    ]
    # Radii 14, 18, 22: areas in proportion to their squares.
    assert area[1] / area[0] == pytest.approx((18 / 14) ** 2, rel=0.1)
    assert area[2] / area[0] == pytest.approx((22 / 14) ** 2, rel=0.1)


def test_an_outline_waves_about_a_circle() -> None:
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)[None]
    for seed in range(10):
        radius = marks.outline(np.random.default_rng(seed), angle)
        assert radius.mean() == pytest.approx(1)
        assert 0.02 < radius.std() < 0.4
