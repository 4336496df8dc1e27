from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from bench.corruptions.base import Corruption, one_thread, scaled, sign


def added(image: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    """Adds strength, and a whole number that the image's generator draws."""
    return image.add_(strength + int(rng.integers(2)))


ADD = Corruption("add", (0.1, 0.2, 0.3, 0.4, 0.5), added)


def fixed(number: int) -> np.random.Generator:
    """A generator whose first draw from {0, 1} is ``number``."""
    return next(rng for s in range(99) if np.random.default_rng(s).integers(2) == number
                for rng in [np.random.default_rng(s)])  # fmt: skip


def test_every_image_gets_the_severitys_strength_and_its_own_draws() -> None:
    images = torch.tensor([0.25, 0.5]).view(2, 1, 1, 1)
    out = ADD.apply(images, 2, [fixed(0), fixed(1)])
    assert out.flatten().tolist() == pytest.approx([0.45, 1.0])  # 0.5 + 0.2 + 1, cut at white
    assert images.flatten().tolist() == [0.25, 0.5]


@pytest.mark.parametrize("severity", [0, 6])
def test_other_severities_than_1_to_5_are_our_mistake(severity: int) -> None:
    with pytest.raises(ValueError, match=rf"add: severity {severity}, 1 to 5"):
        ADD.apply(torch.zeros(1, 1, 1, 1), severity, [fixed(0)])


def test_every_image_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="1 generators for 2 images"):
        ADD.apply(torch.zeros(2, 1, 1, 1), 1, [fixed(0)])


def test_one_thread_is_left_as_it_was_entered_also_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with contextlib.suppress(KeyError), one_thread():
            inside = torch.get_num_threads()
            raise KeyError
        assert inside == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_lengths_are_of_an_image_of_224_pixels() -> None:
    assert scaled(14, torch.zeros(1, 3, 96, 96)) == 6.0
    assert scaled(14, torch.zeros(1, 3, 224, 224)) == 14.0


def test_signs_are_one_or_minus_one_equally_often() -> None:
    rng = np.random.default_rng(0)
    signs = [sign(rng) for _ in range(1000)]
    assert set(signs) == {-1, 1}
    assert abs(sum(signs)) < 130  # 4 standard deviations
