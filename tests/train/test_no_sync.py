"""No training step waits for the GPU or reads from it: counted on fake CUDA tensors, so none is needed.

All of a step runs but two things that fake tensors cannot: autograd's engine, which looks for a driver, and
the one kernel of a fused optimizer. They are torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fake_cuda import Watch
from torch import Tensor

from bench import models
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
