"""Augmentation against other libraries: ``pytest tests/benchmarks/test_augment.py --benchmark-only -s``.

CPU time of this thread, runs taken in turns, medians: other load falls on all alike and mostly cancels in the
ratios, which are printed as a table. A test fails only far from its bar. What augmentation costs a training
loop stands in ``test_augmented_training``.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import kornia.augmentation as K
import numpy as np
import pytest
import timm.data.auto_augment
import torch
import torchvision.transforms.v2 as T
from kornia.augmentation.auto import RandAugment as KorniaRandAugment
from PIL import Image

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.streams import stream
from bench.train.device import keep_freed_memory

BATCH, CLASSES = 64, 8
ROUNDS = {32: 101, 96: 41}
"""Many, since what Kornia and torchvision draw for a whole batch may be cheap or dear."""
SIZES = [32, 96]
Run = Callable[[], Any]


@pytest.fixture(autouse=True)
def _as_in_a_trial() -> Iterator[None]:
    """One thread, and freed memory kept, for every library alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    yield
    torch.set_num_threads(threads)


@functools.cache
def batch(size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth pictures (B, C, H, W), whose levels are unlike noise, and labels (B,)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(BATCH, 3, 8, 8, generator=generator) * 1.3 - 0.15
    images = torch.nn.functional.interpolate(coarse, size=(size_px, size_px), mode="bicubic")
    return images.clamp(0, 1), torch.arange(BATCH) % CLASSES


def eight_bit(size_px: int) -> torch.Tensor:
    return (batch(size_px)[0] * 255).round().to(torch.uint8)


def ours(*choices: dict[str, Any], size_px: int) -> Run:
    """As the training loop calls it: channels last, soft targets, a stream per step."""
    run = build([Choice.model_validate(c) for c in choices], size_px=size_px, channels=3)
    images, labels = batch(size_px)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.nn.functional.one_hot(labels, CLASSES).float()
    steps = iter(range(10**9))
    return lambda: run(images, targets, stream(0, "augment", 0, next(steps)))


def kornias(name: str, size_px: int) -> Run:
    images, labels = batch(size_px)
    if name.startswith("randaugment"):
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
    """On a whole batch it draws once for all images."""
    images, labels = batch(size_px)
    if name == "geometry":
        moves = T.Compose([T.RandomHorizontalFlip(), T.RandomAffine(30.0, scale=(0.8, 1.2))])
        return lambda: moves(images)
    if name in ("cutmix", "mixup"):
        mix = (T.CutMix if name == "cutmix" else T.MixUp)(num_classes=CLASSES)
        return lambda: mix(images, labels)
    bilinear = {"interpolation": T.InterpolationMode.BILINEAR}
    make = {"randaugment": T.RandAugment, "trivialaugment": T.TrivialAugmentWide, "augmix": T.AugMix}
    policy, pixels = make[name](**bilinear), eight_bit(size_px)
    return lambda: policy(pixels).float().div_(255)


def per_image(name: str, size_px: int) -> Run:
    """As data loaders do: Pillow, image by image, through timm's transforms; then a float batch."""
    transform = {
        "randaugment": lambda: timm.data.auto_augment.rand_augment_transform("rand-m9-n2-p1", {}),
        "augmix": lambda: timm.data.auto_augment.augment_and_mix_transform("augmix-m3-w3", {}),
    }[name]()
    pictures = [Image.fromarray(x) for x in eight_bit(size_px).permute(0, 2, 3, 1).numpy()]

    def run() -> torch.Tensor:
        pixels = np.stack([np.asarray(transform(picture)) for picture in pictures])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)

    return run


GEOMETRY = ({"name": "flip"}, {"name": "rotate"}, {"name": "zoom"})
RIVALS: list[tuple[str, str, tuple[dict[str, Any], ...], Callable[[str, int], Run], float]] = [
    ("randaugment", "Kornia's class", ({"name": "randaugment", "ops": "kornia", "m": 10},), kornias, 1.0),
    ("randaugment", "torchvision v2, batch", ({"name": "randaugment"},), torchvisions, 0.0),
    ("randaugment", "timm and Pillow, image", ({"name": "randaugment"},), per_image, 1.0),
    ("trivialaugment", "torchvision v2, batch", ({"name": "trivialaugment"},), torchvisions, 0.0),
    ("augmix", "torchvision v2, batch", ({"name": "augmix"},), torchvisions, 0.0),
    ("augmix", "timm and Pillow, image", ({"name": "augmix"},), per_image, 1.0),
    ("geometry", "Kornia's classes", GEOMETRY, kornias, 2.0),
    ("geometry", "torchvision v2, batch", GEOMETRY, torchvisions, 0.0),
    ("cutmix", "Kornia's class", ({"name": "cutmix"},), kornias, 6.0),
    ("cutmix", "torchvision v2, batch", ({"name": "cutmix"},), torchvisions, 0.0),
    ("mixup", "Kornia's class", ({"name": "mixup"},), kornias, 1.5),
    ("mixup", "torchvision v2, batch", ({"name": "mixup"},), torchvisions, 0.0),
]
"""What, against whom, ours, theirs, and how many times faster ours should be; 0: no bar, since on a batch
torchvision draws once for all images, where ours draws for each."""


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines that are printed together at the end."""
    lines: list[str] = []
    yield lines
    head = f"{'':15} {'against':23} {'px':>3} {'ours ms':>8} {'theirs ms':>10} {'ratio':>6}   bar"
    print("", f"batches of {BATCH}, one thread", head, *lines, sep="\n")


def interleaved(one: Run, other: Run, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of both, runs taken in turns after two of each to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        one(), other()
    for _ in range(rounds):
        for run, seconds in zip((one, other), times, strict=True):
            start = time.thread_time()
            run()
            seconds.append(time.thread_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


@pytest.mark.parametrize("size_px", SIZES)
@pytest.mark.parametrize(
    ("name", "rival", "choices", "make", "bar"), RIVALS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_ours_is_not_far_slower_than(
    benchmark: Any,
    table: list[str],
    name: str,
    rival: str,
    choices: tuple[dict[str, Any], ...],
    make: Callable[[str, int], Run],
    bar: float,
    size_px: int,
) -> None:
    mine, theirs = interleaved(ours(*choices, size_px=size_px), make(name, size_px), ROUNDS[size_px])
    ratio = theirs / mine
    shown = f"≥ {bar:.1f}" if bar else "–"
    table.append(
        f"{name:15} {rival:23} {size_px:3} {1e3 * mine:8.2f} {1e3 * theirs:10.2f} {ratio:6.2f}   {shown}"
    )
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(lambda: None, rounds=1)
    assert ratio > 0.5 * bar
