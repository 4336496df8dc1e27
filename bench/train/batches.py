"""The training split on the device, batch after batch, in an order that depends on the seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.augment import pipeline
from bench.data import balance
from bench.data.images import Samples
from bench.data.resident import Rows, Wanted
from bench.data.streamed import placed
from bench.recipe import Recipe
from bench.streams import derive, stream
from bench.train.materialise import materialise

BLOCK_PIXELS = 2048 * 96 * 96
"""Pixels that a GPU augments at a time, 32 batches of 64 at 96 px: launches cost it more than images do."""
EVERYTHING = 1 << 62
"""Bytes, more than any device has."""


def block_steps(device: str, batch_size: int, size_px: int) -> int:
    """Batches that are augmented at a time, at least 1. On a CPU 1: its caches hold no more."""
    if torch.device(device).type == "cpu":
        return 1
    return max(1, BLOCK_PIXELS // (batch_size * size_px**2))


class Shown(Protocol):
    """A split, or what stands for its images."""

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` in turn, with what is shown of it: (B, …) on the device."""
        ...


@dataclass(frozen=True)
class _Block(Rows):
    """Batches that are augmented together."""

    epoch: int
    first: int
    """Step of its first batch in the epoch."""
    steps: Sequence[Tensor]
    """Indices (B,) of each batch."""


class Batches:
    """Augmented batches without end. Epochs count over the whole trial, whatever the stages make of them."""

    def __init__(
        self,
        samples: Samples,
        classes: int,
        recipe: Recipe,
        seed: int,
        device: str,
        room: int = EVERYTHING,
    ) -> None:
        """Move the split to the device once, as uint8, with what is drawn once and for all already drawn.

        samples   images (N, H, W, C)
        classes   K
        room      bytes of images that the device may keep; a split that is larger is streamed to it
        random    which images the balance repeats or leaves out, and static draws: see ``balance.deal`` and
                  ``materialise``
        """
        self._deck = balance.deal(recipe.balance, samples.labels, classes, seed)
        kept, self._position = materialise(samples, self._deck, recipe, seed)
        self.split = placed(kept, device, room)
        """Training images, as they are shown before augmentation."""
        self._targets = F.one_hot(self.split.labels, classes).float()
        _, height, _, channels = samples.images.shape
        self._augment = pipeline.build(recipe.augment, size_px=height, channels=channels, device=device)
        self._draws = bool(recipe.augment) and recipe.augment_mode == "dynamic"
        self._batch_size, self._seed, self._device = recipe.batch_size, seed, device
        self.turn = block_steps(device, recipe.batch_size, height)
        """Steps after which trials that share a process take turns."""
        self._block = self.turn if self._draws and self._augment.leading else 1
        self.begun = 0
        """Epochs begun, over the whole trial."""
        weights = self._deck.class_weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).float().to(device)
        """Factors on the loss, (K,) float32 on the device; None: all 1."""
        full, rest = divmod(len(self._deck), recipe.batch_size)
        # batch norm cannot normalise a single image, so a last batch of one is left out of its epoch
        self.per_epoch = full + (rest > 1 or not full)
        self.size = min(recipe.batch_size, len(self._deck))
        """Images of every batch but the last of an epoch, which may have fewer."""

    def of_stage(
        self, stage: int, skip: int = 0, shown: Shown | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches for the stage at position ``stage`` of the recipe, from the start of a new epoch.

        skip   instead, leave out so many steps of the epoch begun last: an interrupted run did them, and
               torch's generators stay where it left them
        shown  what to show in place of the split's images, where they are not augmented: (B, …) of each batch

        Yields images (B, C, H, W) float32 in [0, 1], channels last, and targets (B, K) float32; images
        (V·B, C, H, W), view by view, where the augmentation makes V views of each.

        random   order: stream (order, stage, epoch) · augmentation: (augment, epoch, step) · torch's global
                 generators, which dropout uses, are seeded at the start of each epoch
        """
        for block, images in (shown or self.split).batches(self._blocks(stage, skip)):
            if block.first == 0:
                self.begun = block.epoch + 1
                torch.manual_seed(derive(self._seed, "dropout", block.epoch))
            yield from self._augmented(block, images)

    def _blocks(self, stage: int, skip: int) -> Iterator[_Block]:
        """What ``of_stage`` shows, without end; asked for ahead of it where images are streamed."""
        # Begun counts epochs from 1, streams count them from 0.
        epoch = self.begun - bool(skip)
        while True:
            order = self._position[self._deck.order(stream(self._seed, "order", stage, epoch))]
            on_device = torch.from_numpy(order).to(self._device, non_blocking=True)
            size = self._batch_size
            steps = torch.split(on_device, size)[: self.per_epoch]
            for first in range(skip, self.per_epoch, self._block):
                block = steps[first : first + self._block]
                places = order[first * size : (first + len(block)) * size]
                index = block[0] if len(block) == 1 else torch.cat(list(block))
                yield _Block(places, index, epoch, first, block)
            epoch, skip = epoch + 1, 0

    def _augmented(self, block: _Block, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of a block, each drawn from its own step's stream: a block's length changes nothing.

        images   (M, C, H, W) of the whole block
        yields   images (B, C, H, W) and targets (B, K) of each
        """
        targets = [self._targets[index] for index in block.steps]
        if not self._draws:
            return zip(torch.split(images, self._batch_size), targets, strict=True)
        steps = range(block.first, block.first + len(targets))
        rngs = [stream(self._seed, "augment", block.epoch, step) for step in steps]
        return self._augment.many(images, targets, rngs)
