"""One optimizer step after another, for one stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch._dynamo  # the first optimizer would import it, for seconds that would count as training
from torch import Tensor

from bench.models.network import Network, forward_in
from bench.recipe import Recipe, Stage
from bench.registry import losses, optimizers, schedules
from bench.train.ema import Average
from bench.train.losses import CONSISTENCY, Loss, disagreement
from bench.train.schedules import Schedule
from bench.train.stages import freeze, parameter_groups


class Stepper:
    """Freezes what the stage freezes, and moves the rest. Reads nothing back from the device."""

    def __init__(
        self, network: Network, recipe: Recipe, stage: Stage, total: int, class_weights: Tensor | None = None
    ) -> None:
        """Set the stage up with a fresh optimizer.

        total           steps the stage is planned to take; the schedule spans them
        class_weights   (K,) float32 on the device: factors on the loss
        """
        self.trainable = freeze(network, stage.train)
        """Weights that train."""
        choice = optimizers[recipe.optimizer.name].build(recipe.optimizer.params)
        self._optimizer = choice.make(parameter_groups(network, stage, choice))
        self._schedule: Schedule = schedules[recipe.schedule.name].build(recipe.schedule.params)
        self._loss: Loss = losses[recipe.loss.name].build(recipe.loss.params)
        self._clip_norm, self._precision = recipe.clip_norm, recipe.precision
        self._average = Average(network, recipe.ema) if recipe.ema else None
        self._network, self._total, self._class_weights = network, total, class_weights
        self._moved = [p for group in self._optimizer.param_groups for p in group["params"]]
        self.done = 0
        self.val_losses: list[float] = []
        """Validation losses of the stage so far; whoever evaluates appends them."""

    @property
    def evaluated(self) -> Network:
        """The network to evaluate and keep: the average where there is one."""
        return self._average.network if self._average else self._network

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

    def learning_rate(self, step: int) -> float:
        """The head's rate at step ``step`` of the stage, from 0."""
        return float(self._optimizer.param_groups[0]["base_lr"]) * self._schedule(
            step / self._total, self.val_losses
        )

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step; its loss, a float32 scalar on the device.

        images    (B, C, H, W) float32 in [0, 1]; or (V·B, C, H, W), V views of each image, view by view
        targets   (B, K) float32 class probabilities
        """
        multiplier = self._schedule(self.done / self._total, self.val_losses)
        for group in self._optimizer.param_groups:
            group["lr"] = group["base_lr"] * multiplier
        with forward_in(self._precision, images.device):
            logits = self._network(images)
        loss = self._loss_of(logits, targets)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._clip_norm:
            torch.nn.utils.clip_grad_norm_(self._moved, self._clip_norm, foreach=True)
        self._optimizer.step()
        if self._average:
            self._average.update()
        self.done += 1
        return loss.detach()

    def _loss_of(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of the first view, and of how far the predictions for all views are from agreeing."""
        views, labelled = len(logits) // len(targets), logits[: len(targets)]
        loss = self._loss(labelled, targets, self._class_weights)
        return loss if views == 1 else loss + CONSISTENCY * disagreement(logits, views)
