"""Ours against Kornia's classes and torchvision's: ``pytest tests/benchmarks --benchmark-only -s``.

pytest-benchmark prints the ratios within a group; the tests of ratios fail only far from the bar.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import kornia.augmentation as K
import pytest
import torch
import torchvision.transforms.v2 as T
from kornia.augmentation.auto import RandAugment as KorniaRandAugment

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.streams import stream

BATCH, CLASSES = 64, 8
ROUNDS = 15
Run = Callable[[], Any]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ours(*choices: dict[str, Any], size_px: int) -> Run:
    run = build([Choice.model_validate(c) for c in choices], size_px=size_px, channels=3)
    images, labels = batch(size_px)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.nn.functional.one_hot(labels, CLASSES).float()
    rng = stream(0, "benchmark")
    return lambda: run(images, targets, rng)


def batch(size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(BATCH, 3, size_px, size_px), torch.arange(BATCH) % CLASSES


def kornias(name: str, size_px: int) -> Run:
    images, labels = batch(size_px)
    if name == "randaugment":
        policy = KorniaRandAugment(n=2, m=10)
        return lambda: policy(images)
    if name == "geometry":
        moves = K.AugmentationSequential(
            K.RandomHorizontalFlip(p=0.5),
            K.RandomRotation(30.0, p=1.0),
            K.RandomAffine(0.0, scale=(0.8, 1.2), p=1.0),
        )
        return lambda: moves(images)
    mix = {
        "cutmix": K.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True, p=1.0),
        "mixup": K.RandomMixUpV2(data_keys=["input", "class"], p=1.0),
    }[name]
    return lambda: mix(images, labels)


def torchvisions(name: str, size_px: int) -> Run:
    """torchvision draws once per batch here: the same method only for cutmix and mixup."""
    images, labels = batch(size_px)
    eight_bit = (images * 255).to(torch.uint8)
    if name == "randaugment":
        policy = T.RandAugment(interpolation=T.InterpolationMode.BILINEAR)
        return lambda: policy(eight_bit).float().div_(255)
    if name == "geometry":
        moves = T.Compose([T.RandomHorizontalFlip(), T.RandomAffine(30.0, scale=(0.8, 1.2))])
        return lambda: moves(images)
    mix = (T.CutMix if name == "cutmix" else T.MixUp)(num_classes=CLASSES)
    return lambda: mix(images, labels)


OURS: dict[str, list[dict[str, Any]]] = {
    "randaugment": [{"name": "randaugment", "ops": "kornia", "m": 10}],
    "geometry": [{"name": "flip"}, {"name": "rotate"}, {"name": "zoom"}],
    "cutmix": [{"name": "cutmix"}],
    "mixup": [{"name": "mixup"}],
}
BARS = {"randaugment": 1.0, "geometry": 2.0, "cutmix": 6.0, "mixup": 1.5}
"""How many times faster than Kornia's class ours should be (PERFORMANCE: CutMix 6, RandAugment 1)."""


@pytest.mark.parametrize("library", ["ours", "kornia", "torchvision"])
@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size_px", [32, 96])
def test_time(benchmark: Any, name: str, library: str, size_px: int) -> None:
    benchmark.group = f"{name} {size_px}px batch {BATCH}"
    run = {
        "ours": lambda: ours(*OURS[name], size_px=size_px),
        "kornia": lambda: kornias(name, size_px),
        "torchvision": lambda: torchvisions(name, size_px),
    }[library]()
    benchmark(run)


def interleaved(one: Run, other: Run) -> float:
    """Time of ``other`` over time of ``one``: medians of alternating runs, so that load falls on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        one(), other()
    for _ in range(ROUNDS):
        for run, seconds in zip((one, other), times, strict=True):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size_px", [32, 96])
def test_ours_against_kornias_class(benchmark: Any, name: str, size_px: int) -> None:
    ratio = interleaved(ours(*OURS[name], size_px=size_px), kornias(name, size_px))
    print(f"{name} {size_px} px: {ratio:.2f} times as fast as Kornia's class, bar {BARS[name]:.1f}")
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(lambda: None, rounds=1)
    assert ratio > 0.5 * BARS[name]
