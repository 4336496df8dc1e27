from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.corruptions.noise import noise


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.03), (2, 0.05), (3, 0.08), (4, 0.11), (5, 0.15)])
def test_noise_has_its_deviation_in_every_channel_independently(severity: int, deviation: float) -> None:
    image = torch.full((1, 3, 128, 128), 0.5)
    out = noise().apply(image, severity, [np.random.default_rng(0)])[0] - 0.5
    for channel in out:
        assert float(channel.std()) == pytest.approx(deviation, rel=0.02)
        assert float(channel.mean()) == pytest.approx(0, abs=deviation / 25)
    between = np.corrcoef(out.flatten(1).numpy())
    assert np.abs(between - np.eye(3)).max() < 0.03


def test_the_camera_is_as_noisy_at_any_size() -> None:
    for size_px in (32, 256):
        out = noise().apply(torch.full((1, 1, size_px, size_px), 0.5), 3, [np.random.default_rng(0)])
        assert float(out.std()) == pytest.approx(0.08, rel=0.05)
