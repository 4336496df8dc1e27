from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from bench.data import balance
from bench.recipe import Balance
from bench.streams import stream

LABELS = np.array([0] * 7 + [1] * 3 + [2] * 2)
"""Three classes of 7, 3 and 2 images; a fourth has none."""


def sizes(deck: balance.Deck) -> list[int]:
    """Images of each class in an epoch."""
    return np.bincount(LABELS[deck.index], minlength=4).tolist()


def test_every_choice_of_a_recipe_is_there():
    assert set(balance.CHOICES) == set(get_args(Balance))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", [7, 3, 2, 0]),
        ("upsample", [7, 7, 7, 0]),
        ("upsample-static", [7, 7, 7, 0]),
        ("downsample", [2, 2, 2, 0]),
        ("class-weights", [7, 3, 2, 0]),
        ("sqrt-sampler", [7, 3, 2, 0]),
    ],
)
def test_images_of_each_class_in_an_epoch(choice: Balance, expected: list[int]):
    deck = balance.deal(choice, LABELS, 4, seed=0)
    assert sizes(deck) == expected
    assert len(deck) == sum(expected) == len(deck.copy)


def test_without_balance_every_image_is_there_once():
    deck = balance.deal("none", LABELS, 4, 0)
    assert deck.index.tolist() == list(range(12))
    assert not deck.copy.any()
    assert deck.odds is deck.class_weights is None


def test_upsampled_images_of_a_class_are_there_equally_often_or_once_more():
    deck = balance.deal("upsample", LABELS, 4, 0)
    times = Counter(deck.index.tolist())
    assert [times[i] for i in range(7)] == [1] * 7
    assert sorted(times[i] for i in (7, 8, 9)) == [2, 2, 3]
    assert sorted(times[i] for i in (10, 11)) == [3, 4]


def test_copies_of_an_image_are_numbered_from_0_without_a_gap():
    deck = balance.deal("upsample", LABELS, 4, 3)
    for image, times in Counter(deck.index.tolist()).items():
        assert sorted(deck.copy[deck.index == image].tolist()) == list(range(times))


def test_the_largest_class_is_never_repeated_and_equal_classes_stay():
    assert not balance.deal("upsample", LABELS, 4, 0).copy[:7].any()
    even = np.array([0, 1, 0, 1])
    assert len(balance.deal("upsample", even, 2, 0)) == len(balance.deal("downsample", even, 2, 0)) == 4


def test_downsampling_keeps_no_image_twice():
    deck = balance.deal("downsample", LABELS, 4, 0)
    assert len(set(deck.index.tolist())) == 6
    assert not deck.copy.any()
    assert {10, 11} <= set(deck.index.tolist())


@pytest.mark.parametrize("choice", get_args(Balance))
def test_the_seed_decides_what_chance_decides(choice: Balance):
    decks = [balance.deal(choice, LABELS, 4, seed).index.tolist() for seed in (0, 0, 1, 2, 3)]
    assert decks[0] == decks[1]
    assert (len({tuple(deck) for deck in decks}) > 1) == (
        choice in ("upsample", "upsample-static", "downsample")
    )


def test_class_weights_are_inverse_to_frequency_and_1_on_average_over_images():
    deck = balance.deal("class-weights", LABELS, 4, 0)
    # 12 images in 3 classes that have any: 12 / (3 · 7), 12 / (3 · 3), 12 / (3 · 2)
    assert deck.class_weights.tolist() == pytest.approx([4 / 7, 4 / 3, 2.0, 0.0])
    assert deck.class_weights[LABELS].mean() == pytest.approx(1.0)


def test_equal_classes_weigh_1():
    assert balance.deal("class-weights", np.arange(6) % 3, 3, 0).class_weights.tolist() == [1.0, 1.0, 1.0]


def test_the_root_sampler_draws_an_image_with_odds_of_one_over_the_root_of_its_class():
    labels = np.array([0] * 16 + [1] * 4)
    deck = balance.deal("sqrt-sampler", labels, 2, 0)
    # 16 images of odds 1/4 and 4 of odds 1/2 make 6: the classes come up as 4 to 2, as √16 to √4
    assert deck.odds.tolist() == pytest.approx([1 / 24] * 16 + [1 / 12] * 4)
    drawn = np.concatenate([labels[deck.index[deck.order(stream(0, "x", e))]] for e in range(500)])
    assert len(drawn) == 500 * 20
    assert np.mean(drawn == 1) == pytest.approx(1 / 3, abs=0.02)  # 4 standard errors


def test_one_epoch_without_odds_is_a_shuffle_of_the_whole_deck():
    deck = balance.deal("upsample", LABELS, 4, 0)
    order = deck.order(stream(0, "order", 0))
    assert sorted(order.tolist()) == list(range(21))
    assert order.tolist() != sorted(order.tolist())
    assert order.tolist() == stream(0, "order", 0).permutation(21).tolist()
