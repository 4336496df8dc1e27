"""Host draws packed into one buffer come out as what they were."""

from __future__ import annotations

import numpy as np
import torch

from bench.augment.transfer import ALIGN, column, pack, to_device, unpack

ARRAYS = [
    np.arange(5),
    np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    np.array([True, False, True]),
    np.zeros((0, 2, 3), np.float32),
    np.array([[7]]),
]


def test_packed_arrays_unpack_to_the_same_types_shapes_and_values() -> None:
    packed = pack(ARRAYS, pinned=False)
    out = unpack(packed, ARRAYS)
    assert len(packed) == (3 + 2 + 1 + 0 + 1) * ALIGN  # 40, 24, 3, 0 and 8 bytes, each rounded up
    for tensor, array in zip(out, ARRAYS, strict=True):
        assert tensor.dtype == torch.from_numpy(array).dtype
        assert tensor.shape == array.shape
        assert np.array_equal(tensor.numpy(), array)


def test_unpacked_arrays_share_the_one_buffer_that_was_copied() -> None:
    packed = pack(ARRAYS, pinned=False)
    buffers = {tensor.untyped_storage().data_ptr() for tensor in unpack(packed, ARRAYS)}
    assert buffers == {packed.untyped_storage().data_ptr()}


def test_float64_becomes_float32_on_every_device() -> None:
    (there,) = to_device([np.array([0.1, 0.2])], torch.device("cpu"))
    assert there.dtype == torch.float32
    (meta,) = to_device([np.array([0.1, 0.2])], torch.device("meta"))
    assert meta.dtype == torch.float32
    assert meta.shape == (2,)


def test_a_column_broadcasts_over_channels_and_pixels() -> None:
    assert column(torch.arange(3)).shape == (3, 1, 1, 1)
