from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import as_images, noise

from bench.data.images import Mapped, Samples, let_go, pixel_id


def test_an_id_is_the_start_of_sha256_over_shape_and_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    expected = hashlib.sha256(b"2x2x3" + bytes(range(12))).digest()[:8]
    assert pixel_id(image) == int.from_bytes(expected, "big")


def test_the_same_bytes_in_another_shape_have_another_id() -> None:
    image = np.arange(12, dtype=np.uint8)
    assert pixel_id(image.reshape(2, 6, 1)) != pixel_id(image.reshape(6, 2, 1))


def test_an_id_does_not_depend_on_memory_layout() -> None:
    image = noise(1)[0]
    assert pixel_id(np.asfortranarray(image)) == pixel_id(image)


def test_taking_copies_and_sorts_by_id() -> None:
    images = as_images(noise(6), [0, 1, 0, 1, 0, 1])
    taken = images.take(np.array([5, 0, 3]))
    assert type(taken) is Samples
    assert list(taken.ids) == sorted(images.ids[[5, 0, 3]])
    assert not np.shares_memory(taken.images, images.images)
    where = int(np.flatnonzero(taken.ids == images.ids[3])[0])
    np.testing.assert_array_equal(taken.images[where], images.images[3])
    assert taken.labels[where] == 1


def test_of_a_large_split_only_positions_are_taken_and_images_stay_in_their_file(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", noise(6))
    images = replace(as_images(noise(6), [0, 1] * 3), images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    index = np.array([5, 0, 3, 2])
    copied, mapped = images.take(index), images.take(index, most=noise(4).nbytes - 1)
    assert type(copied.images) is np.ndarray
    assert type(mapped.images) is Mapped
    assert (mapped.images.shape, mapped.images.nbytes) == (copied.images.shape, copied.images.nbytes)
    for key in (2, -1, slice(1, 3), np.array([3, 0, 3]), np.array([], np.int64)):
        np.testing.assert_array_equal(mapped.images[key], copied.images[key])
    some = np.array([2, 1])
    for most in (0, 1 << 20):
        again = mapped.take(some, most)
        np.testing.assert_array_equal(again.images[:], copied.take(some).images)
    for outside in (4, -5, np.array([0, 4])):
        with pytest.raises(IndexError):
            mapped.images[outside]


def test_parts_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        Samples(noise(2), np.zeros(3, np.int64), np.zeros(2, np.uint64))


def test_conditions_go_where_their_images_go() -> None:
    copies = Samples(
        noise(4),
        np.zeros(4, np.int64),
        np.array([7, 3, 7, 3], np.uint64),
        conditions=np.array([0, 0, 1, 1], np.int16),
        condition_names=("hue/1", "hue/2"),
    )
    taken = copies.take(np.array([3, 2, 0]))
    assert taken.ids.tolist() == [3, 7, 7]
    assert taken.conditions is not None
    assert taken.conditions.tolist() == [1, 1, 0]
    assert taken.condition_names == ("hue/1", "hue/2")
    assert copies.take(np.array([0])).conditions is not None
    with pytest.raises(ValueError, match="conditions"):
        Samples(noise(2), np.zeros(2, np.int64), np.zeros(2, np.uint64), conditions=np.zeros(3, np.int16))


def test_pages_of_a_mapped_file_can_be_let_go_and_are_read_again(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", noise(6))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for images in (mapped, np.load(tmp_path / "images.npy", mmap_mode="c"), noise(6)):
        let_go(images)
        np.testing.assert_array_equal(images, noise(6))
    private = np.load(tmp_path / "images.npy", mmap_mode="c")
    private[0] = 7
    let_go(private)
    assert (private[0] == 7).all(), "what was written into private pages would be lost"
