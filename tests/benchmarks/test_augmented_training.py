"""What augmentation adds to a training loop: ``pytest tests/benchmarks --benchmark-only -s -k training``.

The loop with each policy against bare steps on ready batches, all taken in turns in one run: process CPU
time, medians of the ratios. A ratio fails only far from its bar.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench import models, registry
from bench.data.images import Development, Samples
from bench.recipe import Recipe
from bench.train.batches import Batches
from bench.train.device import computing
from bench.train.loop import Hooks, _Loop
from bench.train.stages import set_modes
from bench.train.stepper import Stepper
from bench.train.turns import finish

BATCH = 64
JSD = {"name": "augmix", "jsd": True}
POLICIES: dict[str, list[Any]] = {
    "none": [],
    "flip rotate zoom": ["flip", "rotate", "zoom"],
    "randaugment": ["randaugment"],
    "cutmix": ["cutmix"],
    "mixup": ["mixup"],
    "augmix": ["augmix"],
    "augmix jsd": [JSD],
}
BARS: dict[int, dict[str, float]] = {
    32: {"none": 1.05, "randaugment": 1.15, "cutmix": 1.08, "mixup": 1.08, "augmix": 1.30},
    96: {"none": 1.05, "randaugment": 1.08, "cutmix": 1.08, "mixup": 1.08, "augmix": 1.30},
}
"""Of the loop over bare steps, for the custom CNN. The steps of ``augmix jsd`` see three times the images."""
STEPS, ROUNDS = {32: 12, 96: 3}, 9


def recipe(augment: list[Any]) -> Recipe:
    kinds = {"model": registry.models, "optimizer": registry.optimizers}
    names = {"model": "custom_cnn", "optimizer": "adam"}
    filled = {k: {"name": name, **kinds[k][name].parameters({})} for k, name in names.items()}
    return Recipe.model_validate({**filled, "batch_size": BATCH, "augment": augment})


def development(size_px: int) -> Development:
    count = BATCH * STEPS[size_px]
    images = np.random.default_rng(0).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    samples = Samples(images, np.arange(count) % 8, np.arange(count, dtype=np.uint64))
    return Development(samples, samples.take(np.arange(8)), tuple("abcdefgh"))


def parts(augment: list[Any], data: Development, size_px: int) -> tuple[_Loop, Stepper]:
    chosen = recipe(augment)
    torch.manual_seed(0)
    network = models.build(chosen.model, models.Task(8, 3, size_px)).to(memory_format=torch.channels_last)
    stepper = Stepper(network, chosen, chosen.stages[0], 10**9)
    return _Loop(network, data, chosen, 0, "cpu", Hooks()), stepper


def loop_epoch(augment: list[Any], data: Development, size_px: int) -> Callable[[], object]:
    """What the training loop does between two evaluations."""
    loop, stepper = parts(augment, data, size_px)
    batches = loop.batches.of_stage(0)
    return lambda: finish(loop._leg(stepper, batches, loop.batches.per_epoch, 0)) and None


def bare_steps(data: Development, size_px: int) -> Callable[[], object]:
    """An epoch of steps on ready batches: nothing but forward, backward and the optimizer."""
    loop, stepper = parts([], data, size_px)
    source = Batches(data.train, 8, recipe([]), 0, "cpu")
    batches = [batch for batch, _ in zip(source.of_stage(0), range(source.per_epoch), strict=False)]
    set_modes(loop.network)
    return lambda: [stepper(*batch) for batch in batches]


@pytest.mark.parametrize("size_px", [32, 96])
def test_augmentation_costs_a_training_loop_little(benchmark: Any, size_px: int) -> None:
    data = development(size_px)
    runs = {"bare": bare_steps(data, size_px)}
    runs |= {name: loop_epoch(augment, data, size_px) for name, augment in POLICIES.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    with computing(recipe([]), "cpu"):
        for _ in range(ROUNDS + 1):
            for name, run in runs.items():
                begun = time.process_time()
                run()
                times[name].append(time.process_time() - begun)
    bare = times.pop("bare")
    ratios = {
        name: statistics.median(a / b for a, b in zip(t[1:], bare[1:], strict=True))
        for name, t in times.items()
    }
    step = 1e3 * statistics.median(bare[1:]) / STEPS[size_px]
    print(f"\ncustom CNN, {size_px} px, a bare step of {BATCH} images takes {step:.0f} ms")
    for name, ratio in ratios.items():
        bar = BARS[size_px].get(name)
        print(f"{name:17} {ratio:6.3f}   {f'≤ {bar:.2f}' if bar else '–'}")
    benchmark.extra_info.update(ratios)
    benchmark.pedantic(lambda: None, rounds=1)
    assert all(ratios[name] < 1 + 2.5 * (bar - 1) for name, bar in BARS[size_px].items())
