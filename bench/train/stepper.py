"""One optimizer step after another, for one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch._dynamo  # the first optimizer would import it, for seconds that would count as training
from torch import Tensor

from bench.models.network import Network, forward_in
from bench.recipe import Recipe, Stage
from bench.registry import losses, optimizers, schedules
from bench.train.compiled import Compiled
from bench.train.ema import Average
from bench.train.graph import CudaRecorder, Graphed, Recorder, rates_on_device
from bench.train.losses import CONSISTENCY, Loss, disagreement
from bench.train.schedules import Schedule
from bench.train.stages import freeze, parameter_groups


class Stepper:
    """Freezes what the stage freezes, and moves the rest. Reads nothing back from the device.

    Class weights have the shape (K,), on the network's device.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        stage: Stage,
        total: int,
        class_weights: Tensor | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Set the stage up with a fresh optimizer.

        total           steps the stage is planned to take; the schedule spans them
        class_weights   (K,) float32 on the device: factors on the loss
        note            told where ``compile`` or ``graph`` cannot be had; training goes on without
        """
        self.trainable = freeze(network, stage.train)
        """Weights that train."""
        choice = optimizers[recipe.optimizer.name].build(recipe.optimizer.params)
        self._optimizer = choice.make(parameter_groups(network, stage, choice))
        self._schedule: Schedule = schedules[recipe.schedule.name].build(recipe.schedule.params)
        self._loss: Loss = losses[recipe.loss.name].build(recipe.loss.params)
        self._average = Average(network, recipe.ema) if recipe.ema else None
        self._network, self._total, self._class_weights = network, total, class_weights
        self._recipe = recipe
        self._moved = [p for group in self._optimizer.param_groups for p in group["params"]]
        self._compiled = Compiled(network, note) if recipe.compile else None
        self._device = network.mean.device
        self._graphed: Graphed | None = None
        if recipe.graph and (recorder := recorder_for(self._device, note)):
            self._graphed = Graphed(recorder, self._optimizer, recipe.batch_size, note)
            self._let_rates_change()
        self.on_features = False
        """Whether batches are what the frozen trunk says of images, and the head alone is to see them."""
        self.done = 0
        self.val_losses: list[float] = []
        """Validation losses of the stage so far; whoever evaluates appends them."""

    @property
    def evaluated(self) -> Network:
        """The network to evaluate and keep: the average where there is one."""
        return self._average.network if self._average else self._network

    def shortcuts(self) -> dict[str, bool]:
        """Whether ``compiled`` and ``graphed`` came about; only what the recipe asks for is named."""
        found = {}
        if self._recipe.compile:
            found["compiled"] = self._compiled is not None and self._compiled.runs
        if self._recipe.graph:
            found["graphed"] = self._graphed is not None and self._graphed.replays
        return found

    def state(self) -> dict[str, Any]:
        """What ``load`` takes, all but the network; tensors are not copied."""
        return {
            "done": self.done,
            "val_losses": list(self.val_losses),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average.state() if self._average else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, by a stepper of the same stage."""
        self.done, self.val_losses = state["done"], state["val_losses"]
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average:
            self._average.load(state["average"])
        if self._graphed:
            self._let_rates_change()

    def learning_rate(self, step: int) -> float:
        """The head's rate at step ``step`` of the stage, from 0."""
        return float(self._optimizer.param_groups[0]["base_lr"]) * self._schedule(
            step / self._total, self.val_losses
        )

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step; its loss and the share of images that it found right, (2,) float32 on the device.

        images    (B, C, H, W) float32 in [0, 1]; or (V·B, C, H, W), V views of each image, view by view;
                  ``on_features`` their features (B, …)
        targets   (B, K) float32 class probabilities
        """
        self._set_rates()
        if self._average:
            self._average.advance()
        step = self._move
        told = self._graphed(step, images, targets) if self._graphed else step(images, targets)
        self.done += 1
        return told

    def _set_rates(self) -> None:
        """This step's learning rates."""
        multiplier = self._schedule(self.done / self._total, self.val_losses)
        for group in self._optimizer.param_groups:
            rate = group["base_lr"] * multiplier
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _let_rates_change(self) -> None:
        """Keep on the device what a recorded step must find changed at each replay."""
        rates_on_device(self._optimizer, self._device)
        if self._average:
            self._average.share_on_device(self._device)

    def _move(self, images: Tensor, targets: Tensor) -> Tensor:
        """What a step does with (B, C, H, W) and (B, K): the same operations whenever batches are full."""
        full = len(targets) == self._recipe.batch_size
        forward = self._compiled if self._compiled and full else self._network
        with forward_in(self._recipe.precision, images.device):
            logits = (self._network.head if self.on_features else forward)(images)
        loss = self._loss_of(logits, targets)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self._moved, self._recipe.clip_norm, foreach=True)
        self._optimizer.step()
        if self._average:
            self._average.update()
        # of a mixed image, the class that it has most of
        right = logits[: len(targets)].argmax(1) == targets.argmax(1)
        return torch.stack([loss.detach(), right.float().mean()])

    def _loss_of(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of logits (V·B, K) and targets (B, K): the first view's loss, and how far all views disagree."""
        views, labelled = len(logits) // len(targets), logits[: len(targets)]
        loss = self._loss(labelled, targets, self._class_weights)
        return loss if views == 1 else loss + CONSISTENCY * disagreement(logits, views)


def recorder_for(device: torch.device, note: Callable[[str], None]) -> Recorder | None:
    """What records steps on ``device``; None, and a note, where nothing can."""
    if device.type == "cuda":
        return CudaRecorder(device)
    note(f"graph = true has no effect on a {device.type.upper()}: steps are recorded on CUDA devices only")
    return None
