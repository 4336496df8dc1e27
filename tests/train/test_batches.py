from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.images import Development, Samples
from bench.recipe import Recipe
from bench.train.batches import Batches, block_steps

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


def uneven() -> Samples:
    """Twelve images of class 0 and four of class 1; every pixel of an image is its number."""
    samples = numbered(16)
    return Samples(samples.images, (np.arange(16) >= 12).astype(np.int64), samples.ids)


@pytest.mark.parametrize(
    ("choice", "per_epoch", "counts"),
    [
        ("none", 4, [12, 4]),
        ("upsample", 6, [12, 12]),
        ("upsample-static", 6, [12, 12]),
        ("downsample", 2, [4, 4]),
        ("class-weights", 4, [12, 4]),
    ],
)
def test_a_balance_decides_the_steps_and_the_classes_of_an_epoch(
    recipe: Make, choice: str, per_epoch: int, counts: list[int]
) -> None:
    batches = Batches(uneven(), 2, recipe(batch_size=4, balance=choice), 0, "cpu")
    assert batches.per_epoch == per_epoch
    stage = batches.of_stage(0)
    for _ in range(2):
        seen = torch.cat([targets for _, targets in islice(stage, per_epoch)])
        assert seen.sum(0).tolist() == counts


def test_the_root_sampler_shows_as_many_images_as_there_are_other_ones_each_epoch(recipe: Make) -> None:
    stages = [Batches(uneven(), 2, recipe(batch_size=4, balance="sqrt-sampler"), 3, "cpu") for _ in range(2)]
    assert stages[0].per_epoch == 4
    first, again = ([n for b in islice(s.of_stage(0), 8) for n in numbers(b)] for s in stages)
    assert first == again
    assert len(set(first[:16])) < 16
    assert sorted(first[:16]) != sorted(first[16:])


def test_downsampling_shows_the_same_images_in_every_epoch(recipe: Make) -> None:
    stage = Batches(uneven(), 2, recipe(batch_size=4, balance="downsample"), 0, "cpu").of_stage(0)
    epochs = [{n for batch in islice(stage, 2) for n in numbers(batch)} for _ in range(3)]
    assert epochs[0] == epochs[1] == epochs[2] >= {12, 13, 14, 15}
    assert len(epochs[0]) == 8


def patterned(count: int) -> Samples:
    """Images of which no two, and no mirror images, are alike; the last is alone in its class."""
    images = np.random.default_rng(1).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    labels = (np.arange(count) == count - 1).astype(np.int64)
    return Samples(images, labels, np.arange(count, dtype=np.uint64))


def of_class_1(batches: Batches, epochs: int = 1) -> torch.Tensor:
    """(M, C, H, W) images of class 1 in the order shown."""
    shown = [b for _ in range(epochs) for b in islice(batches.of_stage(0), batches.per_epoch)]
    return torch.cat([images[targets[:, 1] == 1] for images, targets in shown])


def test_repeated_images_are_each_augmented_anew(recipe: Make) -> None:
    given = {"batch_size": 4, "balance": "upsample"}
    plain = of_class_1(Batches(patterned(9), 2, recipe(**given), 0, "cpu"))
    turned = of_class_1(Batches(patterned(9), 2, recipe(**given, augment=["rotate"]), 0, "cpu"))
    assert len(plain) == len(turned) == 8
    assert len(plain.unique(dim=0)) == 1
    assert len(turned.unique(dim=0)) == 8


def test_static_copies_are_the_same_in_every_epoch_and_unlike_each_other(recipe: Make) -> None:
    shown = of_class_1(Batches(patterned(9), 2, recipe(batch_size=4, balance="upsample-static"), 0, "cpu"), 3)
    assert len(shown) == 24
    assert len(shown.unique(dim=0)) == 8


def test_dynamic_augmentation_comes_on_top_of_static_copies(recipe: Make) -> None:
    chosen = recipe(batch_size=4, balance="upsample-static", augment=["rotate"])
    assert len(of_class_1(Batches(patterned(9), 2, chosen, 0, "cpu"), 2).unique(dim=0)) == 16


def test_static_augmentation_is_drawn_once_and_leaves_order_and_dropout_alone(recipe: Make) -> None:
    modes = []
    for mode in ("dynamic", "static"):
        chosen = recipe(batch_size=4, augment=["rotate"], augment_mode=mode)
        stage = Batches(patterned(8), 2, chosen, 0, "cpu").of_stage(0)
        epochs = [torch.cat([images for images, _ in islice(stage, 2)]) for _ in range(3)]
        modes.append((torch.cat(epochs), torch.rand(3)))
    (dynamic, dropout), (static, same_dropout) = modes
    assert len(dynamic.unique(dim=0)) == 24
    assert len(static.unique(dim=0)) == 8
    assert torch.equal(dropout, same_dropout)
    plain = Batches(numbered(8), 2, recipe(batch_size=4), 0, "cpu").of_stage(0)
    order = [numbers(b) for b in islice(plain, 6)]
    still = recipe(batch_size=4, augment=["flip"], augment_mode="static")
    assert [numbers(b) for b in islice(Batches(numbered(8), 2, still, 0, "cpu").of_stage(0), 6)] == order


def test_only_class_weights_put_factors_on_the_loss(recipe: Make) -> None:
    # 16 images in two classes: 16 / (2 · 12) and 16 / (2 · 4)
    weighted = Batches(uneven(), 2, recipe(balance="class-weights"), 0, "cpu").class_weights
    assert weighted is not None
    assert weighted.dtype == torch.float32
    assert torch.allclose(weighted, torch.tensor([2 / 3, 2.0]))
    assert Batches(uneven(), 2, recipe(balance="upsample"), 0, "cpu").class_weights is None


def test_a_gpu_augments_about_2048_images_at_a_time_and_a_cpu_one_batch() -> None:
    assert block_steps("cuda", batch_size=64, size_px=96) == 32
    assert block_steps("cuda:1", batch_size=64, size_px=192) == 8
    assert block_steps("cuda", batch_size=64, size_px=1024) == 1
    assert block_steps("cpu", batch_size=64, size_px=96) == 1


JSD = {"name": "augmix", "jsd": True}


@pytest.mark.parametrize("block", [2, 3, 100])
@pytest.mark.parametrize(
    "augment",
    [
        ["randaugment"],
        ["flip", "randaugment", "cutmix", "mixup"],
        [JSD],
        ["colour-jitter", "noise"],
        ["mixup"],
    ],
    ids=str,
)
def test_what_a_batch_shows_does_not_depend_on_how_many_are_augmented_together(
    augment: list[Any], block: int, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """22 images make steps of 4, 4, 4, 4, 4 and 2, in blocks that end within an epoch and at its end."""
    chosen = recipe(batch_size=4, augment=augment)
    runs = []
    for size in (1, block):
        monkeypatch.setattr("bench.train.batches.block_steps", lambda *_, size=size: size)
        batches = Batches(patterned(22), 2, chosen, 0, "cpu")
        runs.append([(*batch, torch.rand(2)) for batch in islice(batches.of_stage(0), 14)])
    for alone, together in zip(*runs, strict=True):
        for one, other in zip(alone, together, strict=True):  # the last: dropout's draws at that step
            assert torch.equal(one, other)


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"augment": ["randaugment", "cutmix"]},
        {"augment": [JSD]},
        {"balance": "upsample"},
        {"balance": "sqrt-sampler", "augment": ["flip"]},
        {"balance": "upsample-static"},
        {"augment": ["flip"], "augment_mode": "static"},
    ],
    ids=str,
)
def test_a_split_that_is_streamed_shows_what_a_resident_one_shows(
    given: dict[str, Any], block: int, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two epochs and a step, a new stage, and an epoch that is taken up after its second step."""
    monkeypatch.setattr("bench.train.batches.block_steps", lambda *_: block)
    chosen = recipe(batch_size=4, **given)
    runs = []
    for room in (1 << 30, 1):
        batches = Batches(patterned(22), 2, chosen, 0, "cpu", room)
        assert (batches.split.resident_bytes > 0) == (room > 1)
        shown = []
        for stage, skip, steps in ((0, 0, 2 * batches.per_epoch + 1), (1, 0, 3), (1, 2, batches.per_epoch)):
            for batch in islice(batches.of_stage(stage, skip), steps):
                shown.append((*batch, torch.rand(2), torch.tensor(batches.begun)))
        runs.append(shown)
    for here, away in zip(*runs, strict=True):
        for one, other in zip(here, away, strict=True):
            assert torch.equal(one, other)


def test_a_batch_of_views_has_one_target_per_image_and_the_image_first(recipe: Make) -> None:
    plain = Batches(patterned(10), 2, recipe(batch_size=4), 0, "cpu")
    viewed = Batches(patterned(10), 2, recipe(batch_size=4, augment=[JSD]), 0, "cpu")
    assert viewed.per_epoch == plain.per_epoch == 3
    for (images, targets), (views, same) in zip(
        *(islice(b.of_stage(0), 3) for b in (plain, viewed)), strict=True
    ):
        assert torch.equal(targets, same)
        assert len(views) == 3 * len(images)
        assert torch.equal(views[: len(images)], images)
        assert views.is_contiguous(memory_format=torch.channels_last)
