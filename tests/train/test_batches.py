from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import torch

from bench.data.images import Development, Samples
from bench.recipe import Recipe
from bench.train.batches import Batches

Make = Callable[..., Recipe]


def numbered(count: int) -> Samples:
    """Images whose every pixel is their number."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3))
    return Samples(images.copy(), np.arange(count) % 2, np.arange(count, dtype=np.uint64))


def numbers(batch: tuple[torch.Tensor, torch.Tensor]) -> list[int]:
    return (batch[0][:, 0, 0, 0] * 255).round().int().tolist()


def test_an_epoch_shows_every_image_once_in_another_order_each_time(recipe: Make) -> None:
    batches = Batches(numbered(10), 2, recipe(batch_size=4), 0, "cpu")
    assert batches.per_epoch == 3
    stage = batches.of_stage(0)
    epochs = [[n for batch in islice(stage, 3) for n in numbers(batch)] for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_targets_are_the_images_own_classes_as_probabilities(recipe: Make) -> None:
    images, targets = next(Batches(numbered(10), 2, recipe(batch_size=10), 0, "cpu").of_stage(0))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert targets.dtype == torch.float32
    expected = torch.tensor([n % 2 for n in numbers((images, targets))])
    assert torch.equal(targets, torch.nn.functional.one_hot(expected, 2).float())


def test_a_last_batch_of_one_image_is_left_out_since_batch_norm_cannot_take_it(recipe: Make) -> None:
    sizes = {}
    for count in (8, 9, 10, 3, 1):
        batches = Batches(numbered(count), 2, recipe(batch_size=4), 0, "cpu")
        sizes[count] = [len(t) for _, t in islice(batches.of_stage(0), batches.per_epoch)]
    assert sizes == {8: [4, 4], 9: [4, 4], 10: [4, 4, 2], 3: [3], 1: [1]}


def test_order_depends_on_the_seed_and_not_on_augmentation(recipe: Make) -> None:
    plain, flipped = recipe(batch_size=4), recipe(batch_size=4, augment=["flip"])
    first = [numbers(b) for b in islice(Batches(numbered(10), 2, plain, 5, "cpu").of_stage(0), 6)]
    again = [numbers(b) for b in islice(Batches(numbered(10), 2, flipped, 5, "cpu").of_stage(0), 6)]
    other = [numbers(b) for b in islice(Batches(numbered(10), 2, plain, 6, "cpu").of_stage(0), 6)]
    assert first == again != other


def test_a_new_stage_begins_a_new_epoch_with_draws_of_its_own(recipe: Make, development: Development) -> None:
    batches = Batches(numbered(10), 2, recipe(batch_size=4), 0, "cpu")
    first = [numbers(b) for b in islice(batches.of_stage(0), 2)]  # stops in the middle of its epoch
    dropout = torch.rand(3)
    second = [numbers(b) for b in islice(batches.of_stage(1), 2)]
    assert first != second
    assert not torch.equal(dropout, torch.rand(3))


def test_dropout_draws_the_same_whatever_was_drawn_before_the_epoch(recipe: Make) -> None:
    draws = []
    for used in (0, 100):
        stage = Batches(numbered(8), 2, recipe(batch_size=4), 0, "cpu").of_stage(0)
        next(stage)
        torch.rand(used)
        next(stage), next(stage)
        draws.append(torch.rand(4))
    assert torch.equal(*draws)
