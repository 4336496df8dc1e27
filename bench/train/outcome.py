"""What training tells while it runs, and what it did."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from bench.models.network import Network
from bench.train.turns import Clock

if TYPE_CHECKING:
    from bench.train.checkpoint import Checkpoint


@dataclass(frozen=True)
class Progress:
    """Where training is; told once per evaluation."""

    stage: int
    """From 1."""
    stages: int
    epoch: int
    """Evaluation of this stage, from 1: after an epoch, or after ``eval_every`` steps."""
    epochs: int
    loss: float
    """Mean training loss since the last evaluation."""
    val_accuracy: float
    images_per_s: float


@dataclass(frozen=True)
class Hooks:
    """What accompanies training and changes nothing of it."""

    on_progress: Callable[[Progress], None] | None = None
    checkpoint: Checkpoint | None = None
    """Where to continue from, and to write what a later run continues from."""
    floors: tuple[float, ...] = ()
    """Validation accuracy to have reached by the first, second, … evaluation, or training ends there."""
    on_note: Callable[[str], None] | None = None
    """Told what the person may want to know, each text once."""
    resident_bytes: int = 0
    """Images that the device may keep; 0: as ``device.room_for_images`` finds."""
    clock: Clock = field(default_factory=Clock)
    """Tells the seconds of training."""


@dataclass(frozen=True)
class Placing:
    """Bytes of training and of validation images, and which of them the device keeps."""

    train: int
    val: int
    room: int
    """For both together, on the device."""

    @property
    def streamed(self) -> tuple[str, ...]:
        """``training`` and ``validation``, as far as they do not fit; training images come first."""
        left = self.room - (self.train if self.train <= self.room else 0)
        return ("training",) * (self.train > self.room) + ("validation",) * (self.val > left)

    @property
    def streamed_bytes(self) -> int:
        """Of what did not fit."""
        return self.train * ("training" in self.streamed) + self.val * ("validation" in self.streamed)


@dataclass(frozen=True)
class Fit:
    """What training did. The network it was given holds the best weights now."""

    history: list[dict[str, Any]]
    """One entry per evaluation: stage, epoch, step, train_…, val_…, lr, seconds, images_per_s."""
    stages: list[dict[str, Any]]
    """One entry per stage that trained: train, epochs, steps, best_epoch, best_val_accuracy, …"""
    earlier_s: float = 0.0
    """Seconds of training before the checkpoint that this run continued from."""
    placing: Placing | None = None
    """Where training and validation images were."""
    features_bytes: int = 0
    """Of what a frozen trunk said of the training images, where heads were trained on that."""
    owed_s: float = 0.0
    """Seconds that others had spent on what a frozen trunk says, and this run found."""


class Diverged(Exception):  # noqa: N818 - a result, not an error
    """Training ended early in a way that is a result: at a loss that is not finite."""

    status: Literal["diverged", "pruned"] = "diverged"
    cause = "not finite"

    def __init__(self, step: int, stage: int, learning_rate: float, reason: str) -> None:
        """Say where: ``step`` counts over the whole trial, ``stage`` in the recipe's list, both from 1."""
        super().__init__(f"{reason} (step {step}, stage {stage}, learning rate {learning_rate:g})")
        self.step = step
        self.stage = stage
        self.learning_rate = learning_rate
        self.reason = reason
        self.fit = Fit([], [])
        """What was recorded until then."""


class Pruned(Diverged):
    """The candidate of a search fell behind, as its pruner saw it, and was cut short."""

    status = "pruned"
    cause = "behind"


@dataclass
class Best:
    """The highest-scoring evaluation so far, and the weights that scored so."""

    score: tuple[float, float] = (-math.inf, -math.inf)
    """Validation accuracy; at a tie, minus the validation loss."""
    entry: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def take(self, entry: dict[str, Any], network: Network | None = None) -> bool:
        """Keep ``entry``, and a copy of the network's weights, if it scores higher; whether it did."""
        score = entry["val_accuracy"], -entry["val_loss"]
        if score <= self.score:
            return False
        self.score, self.entry = score, entry
        if network is not None:
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return True
