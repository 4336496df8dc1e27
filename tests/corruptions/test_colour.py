from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.corruptions import colour
from bench.corruptions.base import Corruption

STRENGTHS = (0.15, 0.3, 0.45, 0.6, 0.75)


def pixel(corruption: Corruption, severity: int, rgb: tuple[float, ...], seed: int = 0) -> list[float]:
    image = torch.tensor(rgb).view(1, 3, 1, 1)
    return corruption.apply(image, severity, [np.random.default_rng(seed)]).flatten().tolist()


def test_saturation_is_added_in_hsv() -> None:
    # Value .8, saturation .5: .5 + .1 makes the smallest channel .8 × (1 − .6).
    assert pixel(colour.saturation(), 2, (0.8, 0.4, 0.4)) == pytest.approx([0.8, 0.32, 0.32])
    # Already full: cut at 1.
    assert pixel(colour.saturation(), 5, (0.8, 0.0, 0.1))[:2] == pytest.approx([0.8, 0.0], abs=1e-6)


def test_grey_turns_reddish_when_saturation_is_added() -> None:
    assert pixel(colour.saturation(), 5, (0.5, 0.5, 0.5)) == pytest.approx([0.5, 0.4, 0.4], abs=1e-4)


def test_hue_turns_one_way_or_the_other() -> None:
    # A tenth of the circle from red: 36 of the 60 degrees to yellow or to magenta.
    found = {tuple(round(v, 3) for v in pixel(colour.hue(), 5, (1.0, 0.0, 0.0), s)) for s in range(20)}
    assert found == {(1.0, 0.6, 0.0), (1.0, 0.0, 0.6)}


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("dye", [0, 1])
def test_a_stain_of_one_dye_changes_in_density_only(severity: int, dye: int) -> None:
    density = np.array(colour.DYES[dye]) * 0.8
    logs = []
    for seed in range(40):
        out = -np.log(pixel(colour.stain(), severity, tuple(np.exp(-density)), seed))
        ratios = out / density
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
        logs.append(math.log(ratios[0]))
    size = np.abs(logs)
    assert STRENGTHS[severity - 1] / 2 <= size.min() + 1e-4
    assert size.max() <= STRENGTHS[severity - 1] + 1e-4
    assert min(logs) < 0 < max(logs)


def test_the_two_dyes_change_independently() -> None:
    density = np.array(colour.DYES[0]) + np.array(colour.DYES[1])
    unmix = np.linalg.inv(np.array(colour.DYES))
    signs = set()
    for seed in range(40):
        found = -np.log(pixel(colour.stain(), 2, tuple(np.exp(-0.5 * density)), seed)) @ unmix
        assert found[2] == pytest.approx(0, abs=1e-4)
        signs.add(tuple(np.sign(found[:2] - 0.5)))
    assert len(signs) == 4


def test_unstained_glass_stays_white() -> None:
    assert pixel(colour.stain(), 5, (1.0, 1.0, 1.0)) == [1.0, 1.0, 1.0]
