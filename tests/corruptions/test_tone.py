from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.corruptions import tone
from bench.corruptions.base import Corruption


def row(*values: float) -> torch.Tensor:
    """(1, 1, n, n) gray image whose rows are ``values``."""
    return torch.tensor(values).view(1, 1, 1, -1).expand(1, 1, len(values), -1).contiguous()


def first_row(corruption: Corruption, severity: int, image: torch.Tensor, seed: int = 0) -> list[float]:
    return corruption.apply(image, severity, [np.random.default_rng(seed)])[0, 0, 0].tolist()


def test_brightness_is_a_factor_cut_at_white() -> None:
    assert first_row(tone.brightness_up(), 2, row(0.0, 0.5, 0.9)) == pytest.approx([0, 0.6, 1])
    assert first_row(tone.brightness_down(), 5, row(0.0, 0.5, 1.0)) == pytest.approx([0, 0.25, 0.5])


def test_contrast_is_a_factor_on_the_distance_from_the_mean() -> None:
    # Mean 0.4: 0.4 ± 0.2 × 0.5 and × 1.3.
    assert first_row(tone.contrast_down(), 5, row(0.2, 0.6)) == pytest.approx([0.3, 0.5])
    assert first_row(tone.contrast_up(), 5, row(0.2, 0.6)) == pytest.approx([0.14, 0.66])


def test_the_mean_of_a_colour_image_is_that_of_its_luma() -> None:
    # Pure green: luma 0.587; half of the distance: green (1 + .587)/2, the others .587/2.
    green = torch.zeros(1, 3, 4, 4)
    green[:, 1] = 1
    out = tone.contrast_down().apply(green, 5, [np.random.default_rng(0)])
    assert out[0, :, 0, 0].tolist() == pytest.approx([0.2935, 0.7935, 0.2935], abs=1e-3)


def test_gamma_darkens_some_images_and_brightens_others() -> None:
    # Severity 4: gamma 2 or 1/2.
    results = {round(first_row(tone.gamma(), 4, row(0.25, 1.0), seed)[0], 4) for seed in range(20)}
    assert results == {0.0625, 0.5}


def test_a_vignette_takes_the_share_it_says_from_the_far_corner_and_nothing_from_its_centre() -> None:
    white = torch.ones(1, 1, 200, 200)
    for severity, lost in enumerate((0.2, 0.35, 0.5, 0.65, 0.8), 1):
        for seed in range(5):
            out = tone.vignette().apply(white, severity, [np.random.default_rng(seed)])[0, 0]
            corners = out[[0, 0, -1, -1], [0, -1, 0, -1]]
            assert float(out.min()) == float(corners.min()) == pytest.approx(1 - lost, abs=0.01)
            assert float(out.max()) > 0.999
            y, x = divmod(int(out.argmax()), 200)
            assert 70 <= x < 130
            assert 70 <= y < 130
