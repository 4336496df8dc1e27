"""What it costs to stream a split instead of keeping it: epochs of the training loop, in turns, medians.

Process CPU time counts the thread that gathers too. Beside it wall time, which other load moves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training import network, ratio, recipe, report

from bench.data.images import Development, Samples
from bench.evaluate import predict
from bench.train.device import computing
from bench.train.loop import Hooks, _Loop
from bench.train.stepper import Stepper


def in_file(folder: Path, size_px: int, count: int) -> Samples:
    """Images (count, S, S, 3) as the cache maps them."""
    images = np.random.default_rng(0).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    np.save(folder / "images.npy", images)
    mapped = np.load(folder / "images.npy", mmap_mode="r")
    return Samples(mapped, np.arange(count) % 8, np.arange(count, dtype=np.uint64))


@pytest.mark.parametrize(
    ("size_px", "count", "augment"), [(32, 2048, []), (96, 256, []), (96, 256, ["flip"])]
)
def test_a_streamed_epoch_costs_little_more_than_a_resident_one(
    benchmark: Any, tmp_path: Path, size_px: int, count: int, augment: list[str]
) -> None:
    chosen, source = recipe("custom_cnn", augment=augment), in_file(tmp_path, size_px, count)
    runs, wall = [], {}
    for name, most in (("streamed", 1), ("resident", 1 << 40)):
        samples = source.take(np.arange(count), most)
        data = Development(samples, samples.take(np.arange(count // 8), most), tuple("abcdefgh"))
        loop = _Loop(network(chosen, size_px), data, chosen, 0, "cpu", Hooks(resident_bytes=most))
        assert bool(loop.placing.streamed) == (name == "streamed")
        stepper = Stepper(loop.network, chosen, chosen.stages[0], 10**9)
        batches, times = loop.batches.of_stage(0), wall.setdefault(name, [])

        def epoch(
            loop: Any = loop, stepper: Any = stepper, batches: Any = batches, times: Any = times
        ) -> None:
            begun = time.perf_counter()
            loop._leg(stepper, batches, loop.batches.per_epoch, 0)
            predict(loop.network, loop.val, "cpu")
            times.append(time.perf_counter() - begun)

        runs.append(epoch)
    with computing(chosen, "cpu"):
        value = ratio(runs[0], runs[1], 15)
    told = np.median(np.divide(wall["streamed"][1:], wall["resident"][1:]))
    report(benchmark, f"streamed / resident, {size_px} px {augment}, wall {told:.3f}", value, "≤ 1.05")
    assert value < 1.15
