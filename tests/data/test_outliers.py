from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import as_images, noise, reordered, with_hashes
from scipy.fft import dctn

from bench.data.images import Images
from bench.data.outliers import GRAY_PX, LARGE_GROUP, exact_clusters, find, perceptual_hash


def test_two_copies_with_one_label_lose_one() -> None:
    (cluster,) = exact_clusters(with_hashes([7, 5, 7], [0, 1, 0]))
    assert (cluster.members, cluster.labels, cluster.dropped, cluster.reason) == ((0, 2), (0,), (2,), "copy")


def test_copies_with_two_labels_are_all_dropped() -> None:
    (cluster,) = exact_clusters(with_hashes([7, 5, 7], [0, 1, 1]))
    assert (cluster.labels, cluster.dropped, cluster.reason) == ((0, 1), (0, 2), "labels disagree")


def test_three_copies_with_one_label_are_all_dropped() -> None:
    (cluster,) = exact_clusters(with_hashes([7, 7, 5, 7], [0, 0, 1, 0]))
    assert (cluster.dropped, cluster.reason) == ((0, 1, 3), "3 or more copies")


@pytest.mark.parametrize(
    ("split", "dropped"), [([0, 2], (0,)), ([2, 0], (1,)), ([0, 1], (1,)), ([2, 2], (1,))]
)
def test_of_a_pair_the_test_image_of_the_sources_own_split_is_kept(
    split: list[int], dropped: tuple[int, ...]
) -> None:
    (cluster,) = exact_clusters(with_hashes([7, 7], [0, 0], split=split))
    assert cluster.dropped == dropped


def test_the_contests_outliers_are_found_and_nothing_else() -> None:
    pixels = noise(40)
    odd, other = noise(2, seed=1)
    every = np.concatenate([pixels, np.repeat(odd[None], 16, 0), np.repeat(other[None], 5, 0)])
    labels = [k % 8 for k in range(40)] + [k % 8 for k in range(16)] + [3] * 5
    findings = find(as_images(every, labels))
    np.testing.assert_array_equal(np.flatnonzero(findings.outlier), np.arange(40, 61))
    assert [(len(c.members), c.reason) for c in findings.exact] == [
        (16, "labels disagree"),
        (5, "3 or more copies"),
    ]


def test_the_hash_is_the_sign_of_low_dct_frequencies_against_their_median() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (5, GRAY_PX, GRAY_PX), dtype=np.uint8)
    low = dctn(gray.astype(float), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(5, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    expected = [int("".join("01"[int(bit)] for bit in row), 2) for row in bits]
    assert perceptual_hash(gray).tolist() == expected


def test_flat_pictures_share_a_hash_whatever_their_grey() -> None:
    gray = np.stack([np.full((GRAY_PX, GRAY_PX), level, np.uint8) for level in (1, 77, 200, 255)])
    assert len(set(perceptual_hash(gray).tolist())) == 1


def test_near_duplicates_chain_into_one_group() -> None:
    findings = find(with_hashes([1, 2, 3, 4], [0, 0, 1, 1], phash=[0, 0b111111, 0b111111111111, 2**64 - 1]))
    assert findings.near == ((0, 1, 2),)
    assert len(set(findings.group[:3])) == 1
    assert findings.group[3] != findings.group[0]
    assert not findings.outlier.any()


def test_a_chain_longer_than_twenty_is_reported_and_not_used() -> None:
    count = LARGE_GROUP + 1
    ids = list(range(count))
    findings = find(with_hashes(ids, [0] * count, phash=[0] * count))
    assert findings.large == (tuple(ids),)
    assert findings.near == ()
    assert len(set(findings.group)) == len(set(findings.clean_group)) == count
    used = find(with_hashes(ids[:-1], [0] * (count - 1), phash=[0] * (count - 1)))
    assert used.large == ()
    assert len(set(used.clean_group)) == 1


def test_copies_of_one_picture_are_one_group_however_many() -> None:
    findings = find(with_hashes([9] * 50, [0] * 50))
    assert len(set(findings.group)) == 1
    assert findings.large == ()


def test_outliers_do_not_hold_clean_images_together() -> None:
    """An outlier lies between two images: they are one group only when outliers are kept."""
    findings = find(with_hashes([1, 2, 2, 3], [0, 0, 1, 1], phash=[0, 0b111111, 0b111111, 0b111111111111]))
    assert findings.clean_group[0] != findings.clean_group[3]
    assert findings.clean_group[1] == findings.clean_group[2] == -1
    assert len(set(findings.group)) == 1


def test_outliers_that_make_a_group_too_large_leave_the_clean_groups_whole() -> None:
    """Two near images, and 20 distinct outlier pairs with two labels near to them."""
    ids = [1, 2] + [k for k in range(10, 30) for _ in range(2)]
    labels = [0, 0] + [0, 1] * 20
    findings = find(with_hashes(ids, labels, phash=[0] * 42))
    assert len(findings.large) == 1
    assert findings.clean_group[0] == findings.clean_group[1]
    assert findings.group[0] == findings.group[1]
    assert all(findings.group[2 + 2 * k] == findings.group[3 + 2 * k] for k in range(20))
    assert len(set(findings.group)) == 21


def groups_of_ids(images: Images, group: np.ndarray) -> set[frozenset[int]]:
    """A grouping (N,) as sets of ids; which of two identical images was kept does not show."""
    return {frozenset(images.ids[group == number].tolist()) for number in set(group.tolist()) - {-1}}


@given(st.lists(st.integers(0, 8), min_size=2, max_size=24), st.randoms(use_true_random=False))
def test_what_is_found_does_not_depend_on_the_order_of_images(ids: list[int], random: Random) -> None:
    images = with_hashes(ids, [k % 2 for k in range(len(ids))], phash=[1 << (8 * (i % 5)) for i in ids])
    order = np.arange(len(ids))
    random.shuffle(order)
    other = reordered(images, order)
    there, back = find(images), find(other)
    assert groups_of_ids(images, there.group) == groups_of_ids(other, back.group)
    assert groups_of_ids(images, there.clean_group) == groups_of_ids(other, back.clean_group)
    assert sorted(images.ids[there.outlier]) == sorted(other.ids[back.outlier])
