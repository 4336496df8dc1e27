from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.recipe import Recipe
from bench.train.device import computing, keep_freed_memory, peak_memory_mb, reset_peak_memory


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


def test_peak_memory_counts_from_the_reset_and_in_megabytes() -> None:
    gc.collect()  # what other tests left must not be given back meanwhile
    reset_peak_memory("cpu")
    before = peak_memory_mb("cpu")
    block = np.ones(600_000_000, np.uint8)
    after = peak_memory_mb("cpu")
    assert len(block)
    assert 450 < after - before < 750


def test_keeping_freed_memory_answers_whether_the_allocator_listened() -> None:
    assert keep_freed_memory() in (True, False)
