from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from bench.recipe import Recipe
from bench.train.device import computing, is_out_of_memory, keep_freed_memory


def test_a_trial_uses_the_recipes_threads_and_puts_the_process_back(recipe: Callable[..., Recipe]) -> None:
    before = torch.get_num_threads()
    with computing(recipe(cpu_threads=2), "cpu"):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_everything_is_put_back_when_a_trial_breaks(recipe: Callable[..., Recipe]) -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), computing(recipe(cpu_threads=2), "cpu"):
        raise KeyError
    assert (torch.get_num_threads(), torch.backends.cudnn.allow_tf32) == before


def test_fp32_is_not_quietly_tf32(recipe: Callable[..., Recipe]) -> None:
    with computing(recipe(), "cpu"):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_allowed_where_the_recipe_says_so_and_put_back(recipe: Callable[..., Recipe]) -> None:
    with computing(recipe(precision="tf32"), "cpu"):
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


GROWTH = """
import numpy as np
from bench.train.device import peak_memory_mb, reset_peak_memory
first = np.ones(400_000_000, np.uint8)
del first
reset_peak_memory("cpu")
before = peak_memory_mb("cpu")
second = np.ones(300_000_000, np.uint8)
print(peak_memory_mb("cpu") - before, len(second))
"""


def test_peak_memory_counts_from_the_reset_and_in_megabytes() -> None:
    """In a process of its own: what other tests leave behind is given back at any time."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert 290 < float(done.stdout.split()[0]) < 330


def test_keeping_freed_memory_answers_whether_the_allocator_listened() -> None:
    assert keep_freed_memory() in (True, False)


def raised_from(cause: BaseException) -> BaseException:
    try:
        raise ValueError("the compiler broke off") from cause
    except ValueError as error:
        return error


TOO_LITTLE = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later", 2),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    raised_from(torch.OutOfMemoryError("CUDA out of memory")),
]


@pytest.mark.parametrize("error", TOO_LITTLE, ids=lambda error: f"{type(error).__name__} {str(error)[:40]}")
def test_every_form_of_too_little_memory_is_told(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes cannot be multiplied"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("allocate memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        raised_from(KeyError("out of memory")),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_too_little_memory(error: BaseException) -> None:
    assert not is_out_of_memory(error)
