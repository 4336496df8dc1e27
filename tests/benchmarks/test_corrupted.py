"""Seconds to make corrupted sets, on one core: ``pytest tests/benchmarks --benchmark-only -s``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.corrupted import corrupted_samples
from bench.data.images import Samples
from bench.data.synthetic import draw as synthetic
from bench.recipe import Corrupted

SIZE_PX = 96
BARS: dict[str, tuple[Corrupted, int, float]] = {
    "heavy-mix of 1,700": (Corrupted(kind="corrupted"), 1700, 20.0),
    "micro-c of 200": (Corrupted(kind="corrupted", profile="micro-c"), 200, 120.0),
}
"""What is made, of how many images, within how many seconds."""


@pytest.mark.parametrize("name", BARS)
def test_a_set_is_made_within_its_bar(benchmark: Any, name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    hidden, count, bar = BARS[name]
    pixels, labels = synthetic.draw(count, SIZE_PX, 0)
    base = Samples(pixels, labels, np.arange(count, dtype=np.uint64))
    corrupted_samples(hidden, base.take(np.arange(2)), tmp_path / "warm")  # imports Kornia
    folders = itertools.count()
    benchmark.pedantic(
        lambda: corrupted_samples(hidden, base, tmp_path / str(next(folders))), rounds=1, iterations=1
    )
    assert benchmark.stats["mean"] < 2 * bar
