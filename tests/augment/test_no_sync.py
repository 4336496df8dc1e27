"""No augmentation waits for the GPU: counted on fake CUDA tensors, so that no GPU is needed.

Fake tensors have shapes and devices but no data. An operation that would have to read the device (a boolean
mask as an index, ``nonzero``, ``.item()``) stops on them by itself; copies to the device are counted and must
not block.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_cuda import Watch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.registry import augmentations
from bench.streams import stream

SIZE, BATCH = 32, 16
CHOICES: list[dict[str, Any]] = [
    *({"name": name} for name in augmentations.names() if name not in ("one-of", "chain", "noise")),
    {"name": "noise", "p": 1.0},
    {"name": "randaugment", "ops": "kornia", "m": 10},
    {"name": "randaugment", "ops": "geometric"},
    {"name": "augmix", "jsd": True},
    {"name": "one-of", "choices": ["rotate", "cutmix"]},
    {"name": "chain", "steps": ["colour-jitter", "mixup"], "p": 0.5},
    {"name": "kornia:RandomAffine", "degrees": 30.0},
    {"name": "kornia:RandomPlasmaShadow"},
    {"name": "kornia:RandomGaussianNoise", "std": 0.1},
]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch.without_a_gpu(monkeypatch)


def augment(watch: Watch, choices: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    with watch.fake:
        images = torch.rand(BATCH, 3, SIZE, SIZE, device="cuda").contiguous(memory_format=torch.channels_last)
        targets = torch.rand(BATCH, 8, device="cuda")
    with watch:
        run = build([Choice.model_validate(c) for c in choices], size_px=SIZE, channels=3, device="cuda")
        watch.copies.clear()
        watch.kernels.clear()
        return run(images, targets, stream(0, "t"))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(map(str, choice.values())))
def test_an_augmentation_never_waits_for_the_device(choice: dict[str, Any], watch: Watch) -> None:
    images, targets = augment(watch, [choice])
    assert images.device.type == targets.device.type == "cuda"
    assert sum(watch.kernels.values()) > 0
    assert watch.copies["waits"] == 0
    assert watch.copies["does not wait"] >= 1
    assert not watch.read_back


def test_a_block_of_many_batches_needs_as_many_kernels_and_copies_as_one_batch(watch: Watch) -> None:
    """All families occur in both; Kornia's own class (engine = "kornia") has no such promise."""
    counts = []
    for batches in (4, 32):
        sizes = [BATCH] * batches
        with watch.fake:
            images = torch.rand(sum(sizes), 3, SIZE, SIZE, device="cuda")
            images = images.contiguous(memory_format=torch.channels_last)
            targets = [torch.rand(size, 8, device="cuda") for size in sizes]
        with watch:
            run = build([Choice(name="randaugment")], size_px=SIZE, channels=3, device="cuda")
            watch.copies.clear()
            watch.kernels.clear()
            made = list(run.many(images, targets, [stream(k, "t") for k in range(batches)]))
        assert len(made) == batches
        no_kernels = ("slice", "detach", "prim::device")  # they only say where a batch begins
        counts.append(sum(n for name, n in watch.kernels.items() if name not in no_kernels))
        assert watch.copies == {"does not wait": 1}
    assert counts[0] == counts[1]


def test_two_rounds_of_randaugment_need_one_copy_and_geometry_one_copy_and_one_sampling(watch: Watch) -> None:
    augment(watch, [{"name": "randaugment", "n": 2}])
    assert watch.copies == {"does not wait": 1}
    augment(watch, [{"name": "rotate"}, {"name": "zoom"}, {"name": "shear"}, {"name": "shift"}])
    assert watch.copies == {"does not wait": 1}
    assert watch.kernels["grid_sampler_2d"] == 1


@pytest.mark.parametrize(
    "reads", [lambda x: x[x[:, 0, 0, 0] > 0.5], lambda x: x.mean().item(), lambda x: x.nonzero()]
)
def test_the_watch_does_notice_what_reads_the_device(reads: Any, watch: Watch) -> None:
    with watch.fake:
        images = torch.rand(4, 3, 8, 8, device="cuda")
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)), watch:
        reads(images)


def test_the_watch_does_notice_a_copy_that_waits(watch: Watch) -> None:
    with watch:
        torch.zeros(4).to("cuda")
    assert watch.copies["waits"] == 1
