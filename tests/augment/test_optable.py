"""Strengths of every level, against torchvision's and the published code's."""

from __future__ import annotations

import numpy as np
import pytest
from torchvision.transforms.v2 import RandAugment as TorchvisionRandAugment

from bench.augment import optable

SIZE = 48


@pytest.mark.parametrize("size_px", [16, 28, 32, 96, 97, 224])
def test_translations_are_torchvisions_whole_pixels_at_every_size(size_px: int) -> None:
    space = TorchvisionRandAugment._AUGMENTATION_SPACE["TranslateX"][0]
    theirs = [int(value) for value in space(31, size_px, size_px)]
    assert optable.randaugment_strengths(size_px).translate_px.tolist() == theirs


def test_posterize_keeps_torchvisions_bits_at_every_level() -> None:
    theirs = TorchvisionRandAugment._AUGMENTATION_SPACE["Posterize"][0](31, SIZE, SIZE)
    assert optable.randaugment_strengths(SIZE).bits.tolist() == theirs.tolist()


def test_strengths_are_the_published_codes_at_known_levels() -> None:
    # One step from 0.1 to 9.9: level 5, half of each operation's largest strength.
    at = optable.augmix_strengths(10, 96, steps=1)
    assert at.shear.tolist() == pytest.approx([0.3 * 0.505])
    assert at.translate_px.tolist() == [16]  # int(32 * 0.505)
    assert at.rotate_degrees.tolist() == [15]  # int(30 * 0.505)
    assert at.bits.tolist() == [2]  # 4 - int(4 * 0.505)
    assert at.solarize.tolist() == [256 - 129]  # 256 - int(256 * 0.505)


def test_strengths_of_severity_three_span_the_published_range() -> None:
    at = optable.augmix_strengths(3, 96)
    assert len(at.shear) == 30
    assert at.shear[0] == pytest.approx(0.3 * (0.1 + 2.9 / 60) / 10)
    assert at.shear[-1] == pytest.approx(0.3 * (3 - 2.9 / 60) / 10)
    assert set(at.bits) == {3, 4}


def test_only_signed_operations_differ_between_the_signs() -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    for index, name in enumerate(table.names):
        values, moves = table.values[index, 9], table.moves[index, 9]
        differs = not np.array_equal(values[0], values[1]) or not np.array_equal(moves[0], moves[1])
        assert differs is (name in optable.SIGNED), name


def test_level_zero_is_the_identity_of_everything_that_has_a_level() -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    assert np.array_equal(table.moves[:, 0], np.tile(np.eye(3), (14, 2, 1, 1)))
    for name in ("brightness", "color", "contrast", "sharpness"):
        assert table.values[table.names.index(name), 0, :, 0].tolist() == [1, 1]
    assert table.values[table.names.index("posterize"), 0, 0, 0] == 0


def test_a_threshold_lies_between_two_8_bit_values() -> None:
    assert optable.threshold(np.array([102.0, 102.5, 256.0])) * 255 == pytest.approx([101.5, 102.5, 255.5])
