"""The training split on the device, batch after batch, in an order that depends on the seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.augment import pipeline
from bench.data import balance
from bench.data.images import Samples
from bench.data.resident import Resident
from bench.recipe import Recipe
from bench.streams import derive, stream
from bench.train.materialise import materialise


class Batches:
    """Augmented batches without end. Epochs count over the whole trial, whatever the stages make of them."""

    def __init__(self, samples: Samples, classes: int, recipe: Recipe, seed: int, device: str) -> None:
        """Move the split to the device once, as uint8, with what is drawn once and for all already drawn.

        samples   images (N, H, W, C)
        classes   K
        random    which images the balance repeats or leaves out, and static draws: see ``balance.deal`` and
                  ``materialise``
        """
        self._deck = balance.deal(recipe.balance, samples.labels, classes, seed)
        kept, self._position = materialise(samples, self._deck, recipe, seed)
        self._resident = Resident(kept, device)
        self._targets = F.one_hot(self._resident.labels, classes).float()
        _, height, _, channels = samples.images.shape
        self._augment = pipeline.build(recipe.augment, size_px=height, channels=channels, device=device)
        self._draws = bool(recipe.augment) and recipe.augment_mode == "dynamic"
        self._batch_size, self._seed, self._device = recipe.batch_size, seed, device
        self._begun = 0
        weights = self._deck.class_weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).float().to(device)
        """Factors on the loss, (K,) float32 on the device; None: all 1."""
        full, rest = divmod(len(self._deck), recipe.batch_size)
        # batch norm cannot normalise a single image, so a last batch of one is left out of its epoch
        self.per_epoch = full + (rest > 1 or not full)

    def of_stage(self, stage: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches for the stage at position ``stage`` of the recipe, from the start of a new epoch.

        Yields images (B, C, H, W) float32 in [0, 1], channels last, and targets (B, K) float32.

        random   order: stream (order, stage, epoch) · augmentation: (augment, epoch, step) · torch's global
                 generators, which dropout uses, are seeded at the start of each epoch
        """
        while True:
            epoch, self._begun = self._begun, self._begun + 1
            torch.manual_seed(derive(self._seed, "dropout", epoch))
            order = self._position[self._deck.order(stream(self._seed, "order", stage, epoch))]
            on_device = torch.from_numpy(order).to(self._device)
            for step, index in enumerate(torch.split(on_device, self._batch_size)[: self.per_epoch]):
                images, targets = self._resident.batch(index), self._targets[index]
                if self._draws:
                    images, targets = self._augment(
                        images, targets, stream(self._seed, "augment", epoch, step)
                    )
                yield images, targets
