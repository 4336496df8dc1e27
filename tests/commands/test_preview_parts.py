from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import as_images, noise

from bench.commands import preview_parts as parts
from bench.data.reader import Reader
from bench.recipe import Balance, Choice, Corrupted, Recipe

LABELS = np.array([0] * 6 + [1] * 3 + [2] * 1)


def test_images_are_dealt_over_the_classes_in_turn() -> None:
    assert parts.spread(LABELS, 6).tolist() == [0, 1, 2, 6, 7, 9]
    assert parts.spread(LABELS, 2).tolist() == [0, 6]
    assert parts.spread(LABELS, 99).tolist() == list(range(10))


def test_classes_without_images_are_passed_over() -> None:
    assert parts.spread(np.array([5, 2, 5]), 2).tolist() == [1, 0]


def test_the_longest_of_some_images_come_first_and_square_ones_never() -> None:
    sizes = [(16, 16), (16, 20), (30, 10), (16, 16), (10, 40)]
    natives = [np.zeros((*size, 1), np.uint8) for size in sizes]
    reader = Reader(("a", "b"), np.array([0, 1, 0, 1, 0]), 1, natives.__getitem__)
    assert [image.shape[:2] for image in parts.longest(reader, 2)] == [(10, 40), (30, 10)]
    assert len(parts.longest(reader, 9)) == 3
    assert parts.longest(replace(reader, drawn=lambda index: natives[0]), 2) == []


def test_a_frame_lies_at_the_central_square() -> None:
    drawn = parts.framed(np.zeros((4, 10, 3), np.uint8))
    assert drawn[0, :, 0].tolist() == [0, 0, 0, 255, 255, 255, 255, 0, 0, 0]
    assert drawn[1, :, 0].tolist() == [0, 0, 0, 255, 0, 0, 255, 0, 0, 0]
    assert parts.framed(np.zeros((4, 10, 1), np.uint8)).max() == 255


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        ("none", [6, 3, 1]),
        ("upsample", [6, 6, 6]),
        ("downsample", [1, 1, 1]),
        ("class-weights", [3, 3, 3]),  # 10 images / 3 classes
        ("sqrt-sampler", [5, 3, 2]),  # in proportion to √6 √3 √1, ten in all
    ],
)
def test_balance_is_shown_as_images_of_each_class(balance: Balance, counts: list[int]) -> None:
    assert parts.balanced(balance, LABELS, 3, seed=0)[1].tolist() == counts


def test_every_draw_differs_and_is_the_same_next_time() -> None:
    train = as_images(noise(8, size=16), [0, 1] * 4)
    recipe = Recipe(model=Choice(name="custom_cnn"), augment=(Choice(name="randaugment"),))
    index = np.array([0, 3, 5])
    first, again = (list(parts.draws(recipe, train, index, train.classes, seed=0)) for _ in range(2))
    assert len(first) == parts.DRAWS
    assert len({samples.images.tobytes() for samples, _ in first}) == parts.DRAWS
    for (one, captions), (other, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert one.images.shape == (3, 16, 16, 3)
        assert captions == ["", "", ""]


def test_mixed_images_are_captioned_with_their_shares() -> None:
    train = as_images(noise(8, size=16), [0, 1] * 4)
    recipe = Recipe(model=Choice(name="custom_cnn"), augment=(Choice(name="cutmix"),))
    for _, captions in parts.draws(recipe, train, np.arange(8), train.classes, seed=0):
        assert all("class" in caption for caption in captions)
    assert any("% class 0\n" in caption or "% class 1\n" in caption for caption in captions)


@pytest.mark.parametrize(
    ("shares", "caption"),
    [
        ([0, 1, 0], "b"),
        ([0.3, 0.7, 0], "70% b\n30% a"),
        ([0.25, 0.25, 0.5], "50% c\n25% a\n25% b"),
        ([0.999, 0.001, 0], "a"),
    ],
)
def test_shares_are_written_largest_first(shares: list[float], caption: str) -> None:
    assert parts.mixed_label(np.array(shares, np.float32), ("a", "b", "c")) == caption


def test_an_augmentation_is_written_with_its_parameters() -> None:
    assert parts.written(Choice(name="flip", params={"p": 0.5, "x": 1})) == "flip (p=0.5, x=1)"
    assert parts.written(Choice(name="flip")) == "flip"


def test_gray_images_are_not_captioned_with_colour_corruptions() -> None:
    hidden = Corrupted(kind="corrupted", families=("hue", "noise", "zoom", "jpeg"))
    colour = [parts.mixture(hidden, image, channels=3) for image in range(40)]
    gray = [parts.mixture(hidden, image, channels=1) for image in range(40)]
    assert any("hue" in text for text in colour)
    assert not any("hue" in text for text in gray)


def test_views_are_shown_one_after_another_and_said_which() -> None:
    jsd = Choice(name="augmix", params={"jsd": True})
    recipe = Recipe(model=Choice(name="custom_cnn"), augment=(jsd,))
    train = as_images(noise(8, size=16), [0, 1] * 4)
    shown = list(parts.draws(recipe, train, np.arange(4), train.classes, seed=0))
    assert [captions[0] for _, captions in shown] == ["view 1", "view 2", "view 3"] * parts.DRAWS
    assert all(len(some) == 4 for some, _ in shown)
    assert np.array_equal(shown[0][0].images, train.images[:4])
