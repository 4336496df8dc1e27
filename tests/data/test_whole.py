"""Groups of images that stay whole: which of them fill a side, and how they are dealt to folds."""

from __future__ import annotations

import numpy as np
import pytest
from samples import with_hashes

from bench.data.whole import Wholes


def wholes(*groups: tuple[int, ...]) -> Wholes:
    """Groups, each written as its images' classes."""
    labels = [label for group in groups for label in group]
    of = [number for number, group in enumerate(groups) for _ in group]
    return Wholes.of(np.arange(len(labels)), np.array(of), with_hashes(list(range(len(labels))), labels))


def test_a_group_is_taken_where_it_brings_the_images_nearer_to_the_share_worked_by_hand() -> None:
    made = wholes((0,) * 4, (0,) * 3, (0,) * 2, (0,), (0,) * 10)  # 20 images, a quarter is 5
    assert made.nearest([0, 1, 2, 3, 4], 0.25) == [0, 3], "4 fit, then 1"
    assert made.nearest([4, 1, 2, 3, 0], 0.25) == [1, 2], (
        "3 and 2 fit; 10 are too many while smaller ones fill"
    )
    assert made.nearest([4, 0, 1], 0.4) == [0, 1], "7 of 17 are nearer to 6.8 than 10"
    assert made.nearest([4, 0], 0.6) == [4], "10 of 14 are nearer to 8.4 than 4, where none fits"


def test_all_classes_of_a_group_have_a_say() -> None:
    # 12 images of class 0, 4 of class 1; a quarter is 3 and 1
    made = wholes((0,) * 3, (0, 0, 1), (0, 0, 0, 1), (0, 0, 1), (0, 0, 1))
    assert made.nearest([0, 1, 2, 3, 4], 0.25) == [0, 1], (
        "the class that would be missing comes by its smallest"
    )
    assert made.nearest([1, 0, 2, 3, 4], 0.25) == [1], "with it, 3 more of class 0 would be too many"


def test_a_share_no_group_fits_is_the_smallest_group_of_every_class() -> None:
    made = wholes((0,) * 40, (0,) * 30, (0,) * 35, (1,) * 50, (1,) * 60, (1,) * 70)
    assert made.nearest([0, 3, 1, 4, 2, 5], 0.05) == [3, 1]


def test_a_share_of_single_images_is_rounded_and_takes_the_first() -> None:
    made = wholes(*[(0,)] * 25, *[(1,)] * 3)
    assert made.nearest(list(range(28)), 0.1) == [0, 1, 2, 25]


def test_folds_get_the_largest_groups_first_and_then_what_evens_them_worked_by_hand() -> None:
    made = wholes((0,) * 2, (0,) * 5, (0,) * 3, (0,) * 1, (0,) * 4)
    assert made.dealt([0, 1, 2, 3, 4], 2) == [[1, 0, 3], [4, 2]], "5 + 2 + 1 and 4 + 3"


def test_folds_of_single_images_get_every_kth_of_each_class() -> None:
    made = wholes(*[(0,)] * 7, *[(1,)] * 4)
    assert made.dealt(list(range(11)), 3)[0] == [0, 3, 6, 9]
    assert [len(fold) for fold in made.dealt(list(range(11)), 3)] == [4, 4, 3]


def test_folds_of_patients_with_several_classes_are_even_in_every_class() -> None:
    rng = np.random.default_rng(0)
    made = wholes(*[tuple(rng.choice(3, rng.integers(5, 30), p=[0.6, 0.3, 0.1])) for _ in range(60)])
    every = made.counts.sum(axis=0)
    for fold in made.dealt(list(range(60)), 5):
        assert made.counts[fold].sum(axis=0) / every == pytest.approx(np.full(3, 0.2), abs=0.03)
