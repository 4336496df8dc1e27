from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from samples import as_images, noise

from bench.data import resident as module
from bench.data.images import Samples
from bench.data.resident import Resident, statistics


def resident(channels: int = 3) -> tuple[np.ndarray, Resident]:
    pixels = noise(6)[..., :channels]
    samples = Samples(pixels, np.arange(6, dtype=np.int64) % 2, np.arange(6, dtype=np.uint64))
    return pixels, Resident(samples, "cpu")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_the_chosen_images_between_0_and_1(channels: int) -> None:
    pixels, split = resident(channels)
    batch = split.batch(torch.tensor([4, 0, 4]))
    assert batch.shape == (3, channels, 16, 16)
    assert batch.dtype == torch.float32
    expected = pixels[[4, 0, 4]].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(batch.numpy(), expected)


def test_black_is_exactly_0_and_white_exactly_1() -> None:
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    split = Resident(Samples(pixels, np.zeros(2, np.int64), np.arange(2, dtype=np.uint64)), "cpu")
    assert split.batch(torch.tensor([0, 1])).flatten().tolist() == [0.0, 1.0]


def test_images_and_batches_are_channels_last() -> None:
    _, split = resident()
    assert split.images.shape == (6, 3, 16, 16)
    assert split.images.dtype == torch.uint8
    assert split.images.is_contiguous(memory_format=torch.channels_last)
    assert split.batch(torch.tensor([1, 2])).is_contiguous(memory_format=torch.channels_last)


def test_labels_are_class_numbers() -> None:
    _, split = resident()
    assert split.labels.dtype == torch.int64
    assert split.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(split) == 6


def test_statistics_are_those_of_all_pixels_of_a_channel() -> None:
    pixels = noise(6)
    mean, deviation = statistics(pixels)
    shares = pixels.reshape(-1, 3).astype(np.float64) / 255
    np.testing.assert_allclose(mean.numpy(), shares.mean(0), rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), shares.std(0), rtol=1e-6)


def test_a_flat_channel_deviates_by_one_grey_level() -> None:
    images = as_images(np.full((3, 4, 4, 3), 100, np.uint8), [0, 1, 0])
    mean, deviation = statistics(images.images)
    np.testing.assert_allclose(mean.numpy(), 100 / 255, rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), 1 / 255, rtol=1e-6)


@pytest.mark.gpu
def test_a_batch_on_a_gpu_equals_the_one_on_the_host() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images, index = as_images(noise(6), [0, 1] * 3), torch.tensor([3, 1])
    there = Resident(images, "cuda").batch(index.cuda()).cpu()
    torch.testing.assert_close(there, Resident(images, "cpu").batch(index), rtol=0, atol=0)


def test_trials_that_hold_the_same_images_at_the_same_time_share_one_copy() -> None:
    samples = Samples(noise(6), np.zeros(6, np.int64), np.arange(6, dtype=np.uint64))
    one, other = module.resident(samples, "cpu"), module.resident(samples, "cpu")
    assert one is other
    assert module.resident(samples, "cpu", room=0) is one, "it takes no further room"
    assert module.resident(samples.take(np.arange(4)), "cpu") is not one
    assert module.resident(samples.take(np.arange(4)), "cpu", room=0) is None
    assert one is not None
    gone = weakref.ref(one)
    del one, other
    assert gone() is None, "it ends with the last of them"
