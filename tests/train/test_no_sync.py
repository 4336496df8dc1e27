"""No training step waits for the GPU or reads from it: counted on fake CUDA tensors, so none is needed.

All of a step runs but two things that fake tensors cannot: autograd's engine, which looks for a driver, and
the one kernel of a fused optimizer. They are torch's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar

import pytest
import torch
from fake_cuda import Watch
from torch import Tensor

from bench import models
from bench.data import streamed
from bench.data.images import Development
from bench.recipe import Recipe
from bench.train.batches import Batches
from bench.train.stepper import Stepper

Make = Callable[..., Recipe]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    for kernel in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"):
        monkeypatch.setattr(torch, kernel, lambda *_, **__: None)
    return Watch.without_a_gpu(monkeypatch)


def fake_stepper(watch: Watch, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Stepper:
    """A stepper of a network of fake CUDA tensors."""
    network = models.build(recipe.model, models.Task(8, 3, 16))
    with watch.fake:
        for module in network.modules():
            for name, tensor in module._parameters.items():
                if tensor is not None:
                    module._parameters[name] = torch.nn.Parameter(torch.empty(tensor.shape, device="cuda"))
            for name, tensor in module._buffers.items():
                module._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    def backward(loss: Tensor) -> None:
        for parameter in stepper._moved:
            parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(Tensor, "backward", backward)
    with watch:
        stepper = Stepper(network, recipe, recipe.stages[0], total=9)
    return stepper


@pytest.mark.parametrize("on_device", [False, True], ids=["ordinary", "as recorded"])
@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [*((name, "cross-entropy") for name in ("adam", "adamw", "lion", "sgd")), ("adam", "focal")],
)
def test_an_epoch_of_steps_waits_for_nothing(
    optimizer: str,
    loss: str,
    on_device: bool,
    watch: Watch,
    development: Development,
    recipe: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {"optimizer": optimizer, "loss": loss, "schedule": "cosine"}
    chosen = recipe(ema=0.9, clip_norm=1.0, batch_size=24, augment=["randaugment", "cutmix"], **given)
    stepper = fake_stepper(watch, chosen, monkeypatch)
    with watch:
        if on_device:
            stepper._let_rates_change()
        source = Batches(development.train, 8, chosen, 0, "cuda")
        batches = source.of_stage(0)
        watch.copies.clear()
        for _ in range(2 * source.per_epoch):
            told = stepper(*next(batches))
    assert told.device.type == "cuda"
    assert watch.copies["waits"] == 0
    assert not watch.read_back
    assert watch.kernels["convolution"] == 3 * 2 * source.per_epoch
    assert (watch.kernels["fill_"] > 0) == on_device, "rates that change are written, never read"


class FakeStream:
    """A stream, or an event, of a device that is not there: tells what waited for what."""

    told: ClassVar[list[str]] = []

    def __init__(self, *_: object) -> None:
        pass

    def record(self, stream: FakeStream) -> None:
        self.told.append("sent")

    def wait_event(self, event: FakeStream) -> None:
        self.told.append("the device waits")

    def synchronize(self) -> None:
        self.told.append("the host waits for a copy of three blocks before")


def test_an_epoch_whose_images_are_streamed_waits_for_copies_on_the_device_only(
    watch: Watch, development: Development, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 images in batches of 24, blocks of two: four blocks in two epochs, sent one ahead of their use."""
    monkeypatch.setattr(FakeStream, "told", [])
    for name in ("Stream", "Event", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr("bench.train.batches.block_steps", lambda *_: 2)
    real = streamed._of
    monkeypatch.setattr(streamed, "_of", lambda *at, pinned: real(*at, pinned=False))
    chosen = recipe(batch_size=24, augment=["flip"])
    with watch.fake:
        torch.empty(1, device="cuda")
    with watch:
        source = Batches(development.train, 8, chosen, 0, "cuda", room=1)
        watch.copies.clear()
        shown = list(islice(source.of_stage(0), 2 * source.per_epoch))
    assert all(images.device.type == "cuda" for images, _ in shown)
    assert watch.copies["waits"] == 0
    assert not watch.read_back
    ahead = ["sent", "sent", "the device waits", "sent", "the device waits", "sent", "the device waits"]
    reused = "the host waits for a copy of three blocks before"
    assert [each for each in FakeStream.told if each != reused][:7] == ahead


def test_the_watch_would_notice_a_step_that_reads_its_loss(
    watch: Watch, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe()
    stepper = fake_stepper(watch, chosen, monkeypatch)
    with watch:
        images, targets = torch.rand(16, 3, 16, 16, device="cuda"), torch.ones(16, 8, device="cuda")
        told = stepper(images, targets)
        with pytest.raises(torch._subclasses.fake_tensor.DataDependentOutputException):
            told.tolist()
