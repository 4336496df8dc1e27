"""The training loop: stages of epochs, each epoch scored on validation, the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bench import metrics
from bench.data.images import Development
from bench.data.streamed import placed
from bench.errors import UserError
from bench.evaluate import predicted
from bench.models.frozen import Evaluated, Owed, Trunk, frozen, generators
from bench.models.network import Network
from bench.recipe import Recipe, Stage
from bench.train.batches import Batches
from bench.train.checkpoint import Snapshot, restore_generators
from bench.train.device import room_for_features, room_for_images
from bench.train.heads import Gathered, gathered, may_keep
from bench.train.outcome import Best, Diverged, Fit, Hooks, Placing, Progress, Pruned
from bench.train.stages import set_modes
from bench.train.stepper import Stepper
from bench.train.turns import Turns, finish

__all__ = ["Diverged", "Fit", "Hooks", "Progress", "fit", "training"]


def fit(
    network: Network,
    development: Development,
    recipe: Recipe,
    seed: int,
    device: str,
    hooks: Hooks | None = None,
) -> Fit:
    """``training`` from start to end; torch's own generators are put back afterwards."""
    generators = [torch.device(device)] if device != "cpu" else []
    with torch.random.fork_rng(devices=generators):
        return finish(training(network, development, recipe, seed, device, hooks or Hooks()))


def training(
    network: Network, development: Development, recipe: Recipe, seed: int, device: str, hooks: Hooks
) -> Turns[Fit]:
    """Train ``network`` as ``recipe`` says; afterwards it is on ``device`` with the best weights of all.

    Best: highest validation accuracy; at a tie, lower validation loss. A stage starts from the best weights
    so far with a fresh optimizer and schedule; its patience counts from its own best evaluation.

    hooks    with a checkpoint, an interrupted run continues: on one CPU with the same end bit for bit
    random   order, augmentation and dropout from ``seed``, by purpose and epoch; dropout draws from torch's
             own generators, which whoever takes the turns keeps for this training alone

    Raises Diverged for a loss that is not finite.
    """
    if all(stage.train == "none" for stage in recipe.stages):
        raise UserError(
            f'stages: train is "none" in all {len(recipe.stages)}; give one "head", "top:N" or "all"'
        )
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loop = _Loop(network, development, recipe, seed, device, hooks)
    try:
        for position, stage in enumerate(recipe.stages):
            if stage.train != "none" and not loop.has_done(position):
                yield from loop.train(position, stage)
    except Diverged as diverged:
        diverged.fit = loop.fit()
        raise
    return loop.fit()


class _Loop:
    """One training run: the images on the device, and what was reached so far."""

    def __init__(
        self,
        network: Network,
        development: Development,
        recipe: Recipe,
        seed: int,
        device: str,
        hooks: Hooks,
    ) -> None:
        self.network, self.recipe, self.device, self.hooks = network, recipe, device, hooks
        self.classes = len(development.classes)
        room = hooks.resident_bytes or room_for_images(device)
        self.batches = Batches(development.train, self.classes, recipe, seed, device, room)
        self.val = placed(development.val, device, room - self.batches.split.resident_bytes)
        self.val_labels = development.val.labels
        there = self.batches.split.resident_bytes + self.val.resident_bytes  # some by another's doing
        self.placing = Placing(self.batches.split.nbytes, self.val.nbytes, max(room, there))
        self.room = room_for_features(device, hooks.resident_bytes, there)
        """Bytes of features that this process may keep."""
        self.features_bytes = 0
        self.owed: Owed = {}
        self.trunk: Trunk | None = None
        """The network's, in a stage that trains the head alone."""
        self.best = Best()
        self.history: list[dict[str, Any]] = []
        self.stages: list[dict[str, Any]] = []
        self.step = 0
        """Steps done, over the whole trial."""
        self.earlier_s = 0.0
        """Seconds of training before the checkpoint that this run continued from."""
        self.clock = hooks.clock
        self.started = self.clock.now()
        self._noted: set[str] = set()
        self._kept = hooks.checkpoint.read(device) if hooks.checkpoint else None
        """What that checkpoint holds, until its stage is taken up."""
        if self._kept:
            self._recall(self._kept)

    def fit(self) -> Fit:
        """What was done so far."""
        owed_s = sum(self.owed.values())
        return Fit(self.history, self.stages, self.earlier_s, self.placing, self.features_bytes, owed_s)

    def has_done(self, position: int) -> bool:
        """Whether the run that this one continues ended that stage."""
        return any(stage["stage"] == position + 1 for stage in self.stages)

    def train(self, position: int, stage: Stage) -> Turns[None]:
        """One stage, leg by leg (what lies between two evaluations); then back to the best weights."""
        legs = _legs(stage, self.batches.per_epoch)
        weights = self.batches.class_weights
        stepper = Stepper(self.network, self.recipe, stage, sum(legs), weights, self._note)
        own_best, since_best = Best(), 0
        earlier = self._take_up(position, stepper)
        for known in earlier:
            since_best = 0 if own_best.take(known) else since_best + 1
        self.trunk = frozen(self.network, self.recipe.model, self.recipe.precision, self.room, self.owed)
        seen = yield from self._features(sum(legs))
        stepper.on_features = seen is not None
        batches = self.batches.of_stage(position, stepper.done % self.batches.per_epoch, seen)
        for leg, steps in enumerate(legs[len(earlier) :], len(earlier) + 1):
            done = yield from self._leg(stepper, batches, steps, position)
            scores = yield from self._validate(stepper, position)
            entry: dict[str, Any] = {"stage": position + 1, "epoch": leg, **done, **scores}
            stepper.val_losses.append(entry["val_loss"])
            entry["seconds"] = self.clock.now() - self.started
            self.history.append(entry)
            self.best.take(entry, stepper.evaluated)
            self._tell(entry, len(legs))
            self._require_pace(entry)
            since_best = 0 if own_best.take(entry) else since_best + 1
            if since_best == stage.patience:
                break
            self._keep(stepper)
        self.network.load_state_dict(self.best.weights)
        self.stages.append(
            {
                "stage": position + 1,
                "train": stage.train,
                "epochs": round(stepper.done / self.batches.per_epoch, 3),
                "steps": stepper.done,
                "best_epoch": own_best.entry["epoch"],
                "best_val_accuracy": own_best.entry["val_accuracy"],
                "trainable_parameters": stepper.trainable,
                "stopped_early": stepper.done < sum(legs),
                **stepper.shortcuts(),
            }
        )

    def _features(self, steps: int) -> Turns[Gathered | None]:
        """What a frozen trunk says of the training images, where it would say the same in every epoch.

        steps   planned for the stage
        """
        if self.trunk is None or not may_keep(self.recipe):
            return None
        split, size = self.batches.split, self.batches.size
        seen = yield from gathered(self.trunk, split, size, steps * size, self.clock)
        if seen:
            self.features_bytes = max(self.features_bytes, seen.nbytes)
        return seen

    def _leg(
        self, stepper: Stepper, batches: Iterator[tuple[Tensor, Tensor]], steps: int, position: int
    ) -> Turns[dict[str, Any]]:
        """Train ``steps`` steps; what they tell stays on the device until the end, the leg's only read.

        Others get their turn after each block of steps, so also before this one waits for the device.

        batches   images (B, C, H, W), or their features (B, …), and targets (B, K) on the device
        """
        set_modes(self.network)
        told, begun, images = torch.empty(steps, 2, device=self.device), self.clock.now(), 0
        for i in range(steps):
            batch = next(batches)
            told[i] = stepper(*batch)
            images += len(batch[1])
            if (i + 1) % self.batches.turn == 0 or i + 1 == steps:
                yield from self.clock.pause()
        losses, hits = told.T.tolist()
        seconds = self.clock.now() - begun
        for i, loss in enumerate(losses):
            if not math.isfinite(loss):
                rate = stepper.learning_rate(stepper.done - steps + i)
                raise Diverged(self.step + i + 1, position + 1, rate, f"training loss is {loss}")
        self.step += steps
        return {
            "step": self.step,
            "train_loss": sum(losses) / steps,
            "train_accuracy": sum(hits) / steps,
            "lr": stepper.learning_rate(stepper.done - 1),
            "images_per_s": images / seconds,
        }

    def _validate(self, stepper: Stepper, position: int) -> Turns[dict[str, float]]:
        """Scores of the present weights on validation."""
        network, precision = stepper.evaluated, self.recipe.precision
        if self.trunk:  # also that of the average, which starts from it and never leaves it
            said = predicted(network.head, Evaluated(self.trunk, self.val), self.device, precision=precision)
        else:
            said = predicted(network, self.val, self.device, precision=precision)
        yield from self.clock.pause()
        probabilities = said.cpu().numpy()
        scores = {
            f"val_{name}": metric(probabilities, self.val_labels)
            for name, metric in (
                ("loss", metrics.nll()),
                ("accuracy", metrics.accuracy()),
                ("balanced_accuracy", metrics.balanced_accuracy()),
            )
        }
        if not math.isfinite(scores["val_loss"]):
            rate = stepper.learning_rate(stepper.done - 1)
            raise Diverged(self.step, position + 1, rate, f"validation loss is {scores['val_loss']}")
        return scores

    def _keep(self, stepper: Stepper) -> None:
        """Offer the checkpoint where training stands: what cannot be told from the history."""
        if self.hooks.checkpoint:
            self.hooks.checkpoint.offer(
                {
                    "history": self.history,
                    "stages": self.stages,
                    "epochs_begun": self.batches.begun,
                    "network": self.network.state_dict(),
                    "best": self.best.weights,
                    "stepper": stepper.state(),
                    "generators": generators(self.device),
                }
            )

    def _recall(self, kept: Snapshot) -> None:
        """Take over what an interrupted run reached, all but the stage it was in."""
        self.history, self.stages = kept["history"], kept["stages"]
        for entry in self.history:
            self.best.take(entry)
        self.best.weights = kept["best"]
        self.step, self.earlier_s = self.history[-1]["step"], self.history[-1]["seconds"]
        self.started -= self.earlier_s

    def _take_up(self, position: int, stepper: Stepper) -> list[dict[str, Any]]:
        """Go on within a stage where the checkpoint was written in it; the stage's evaluations until then."""
        kept, self._kept = self._kept, None
        if not kept:
            return []
        self.network.load_state_dict(kept["network"])
        stepper.load(kept["stepper"])
        self.batches.begun = kept["epochs_begun"]
        restore_generators(kept["generators"], self.device)
        return [entry for entry in self.history if entry["stage"] == position + 1]

    def _tell(self, entry: dict[str, Any], epochs: int) -> None:
        if self.hooks.on_progress:
            self.hooks.on_progress(
                Progress(
                    entry["stage"],
                    len(self.recipe.stages),
                    entry["epoch"],
                    epochs,
                    entry["train_loss"],
                    entry["val_accuracy"],
                    entry["images_per_s"],
                )
            )

    def _require_pace(self, entry: dict[str, Any]) -> None:
        """Raise Pruned when the best accuracy so far is below what a search asks of this evaluation."""
        floor = dict(enumerate(self.hooks.floors, 1)).get(len(self.history), 0.0)
        best = self.best.entry["val_accuracy"]
        if best < floor:
            reason = f"best validation accuracy {best:.3f}, the median of earlier candidates is {floor:.3f}"
            raise Pruned(entry["step"], entry["stage"], entry["lr"], reason)

    def _note(self, text: str) -> None:
        """Pass a note on; a later stage need not repeat it."""
        if self.hooks.on_note and text not in self._noted:
            self.hooks.on_note(text)
        self._noted.add(text)


def _legs(stage: Stage, per_epoch: int) -> list[int]:
    """Steps between evaluations: an epoch each, or ``eval_every`` steps and what remains.

    per_epoch   steps in an epoch
    """
    if stage.epochs is not None:
        return [per_epoch] * stage.epochs
    steps = stage.steps or 0
    each = stage.eval_every or max(1, steps // 10)
    full, rest = divmod(steps, each)
    return [each] * full + [rest] * (rest > 0)
