from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.augment import pipeline
from bench.data import balance
from bench.data.images import Samples
from bench.errors import UserError
from bench.recipe import COPIED_BY, Choice, Recipe
from bench.registry import augmentations
from bench.streams import stream
from bench.train.materialise import materialise

Make = Callable[..., Recipe]
STATIC = {"augment_mode": "static", "augment": ["flip", "randaugment"]}


@pytest.fixture(scope="module")
def cells() -> Samples:
    """Nine images of class 0 and three of class 1, no two alike."""
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    labels = np.array([0] * 9 + [1] * 3)
    return Samples(images, labels, np.arange(100, 112, dtype=np.uint64))


def made(samples: Samples, recipe: Recipe, seed: int = 0) -> tuple[Samples, balance.Deck]:
    deck = balance.deal(recipe.balance, samples.labels, 2, seed)
    kept, position = materialise(samples, deck, recipe, seed)
    assert len(position) == len(deck)
    return kept, deck


@pytest.mark.parametrize("choice", ["none", "upsample", "downsample", "class-weights", "sqrt-sampler"])
def test_what_is_not_static_keeps_one_picture_of_each_image(recipe: Make, cells: Samples, choice: str):
    deck = balance.deal(recipe(balance=choice).balance, cells.labels, 2, 0)
    kept, position = materialise(cells, deck, recipe(balance=choice, augment=["flip"]), 0)
    assert kept is cells
    assert position is deck.index


def test_static_copies_differ_from_their_image_and_from_each_other(recipe: Make, cells: Samples):
    before = cells.images.copy()
    kept, deck = made(cells, recipe(balance="upsample-static"))
    assert len(kept) == 18
    assert np.array_equal(kept.labels, cells.labels[deck.index])
    assert np.array_equal(kept.ids, cells.ids[deck.index])
    assert np.array_equal(kept.images[deck.copy == 0], cells.images[deck.index[deck.copy == 0]])
    small = kept.images[kept.labels == 1]
    assert len(small) == len(np.unique(small, axis=0)) == 9
    assert np.array_equal(cells.images, before), "the split itself is not written into"


@pytest.mark.parametrize("given", [{"balance": "upsample-static"}, STATIC], ids=str)
def test_pictures_that_are_many_lie_in_a_file_that_nobody_else_sees(
    given: dict[str, object], recipe: Make, cells: Samples, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    here, _ = made(cells, recipe(**given))
    monkeypatch.setattr("bench.train.materialise.COPIED_BYTES", 1000)
    monkeypatch.setattr("bench.train.materialise.BLOCK", 5)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there, _ = made(cells, recipe(**given))
    assert type(here.images) is np.ndarray
    assert isinstance(there.images, np.memmap)
    assert np.array_equal(here.images, there.images)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_is_the_image_turned_mirrored_and_zoomed_by_its_own_stream(recipe: Make, cells: Samples):
    kept, deck = made(cells, recipe(balance="upsample-static"), seed=4)
    at = int(np.flatnonzero(deck.copy == 2)[0])
    move = pipeline.build(COPIED_BY, size_px=16, channels=3)
    image = torch.from_numpy(cells.images[deck.index[at]] / np.float32(255)).permute(2, 0, 1)[None]
    expected, _ = move(image, torch.ones(1, 2), stream(4, "copy", int(kept.ids[at]), 2))
    found = kept.images[at].astype(float)
    assert np.abs(expected[0].permute(1, 2, 0).numpy() * 255 - found).max() <= 0.51


def test_every_parameter_of_the_copies_is_one_that_augmentations_have():
    for choice in COPIED_BY:
        assert augmentations[choice.name].parameters(choice.params)


@pytest.mark.parametrize("given", [{"balance": "upsample-static"}, STATIC, STATIC | {"balance": "upsample"}])
def test_the_same_seed_makes_the_same_pictures_and_another_seed_others(
    recipe: Make, cells: Samples, given: dict[str, object]
):
    first, again, other = (made(cells, recipe(**given), seed)[0].images for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_picture_does_not_depend_on_which_other_images_are_there(recipe: Make, cells: Samples):
    whole, _ = made(cells, recipe(**STATIC))
    some = np.array([2, 5, 10])
    part, _ = made(Samples(cells.images[some], cells.labels[some], cells.ids[some]), recipe(**STATIC))
    assert np.array_equal(part.images, whole.images[some])


def test_the_number_of_threads_changes_no_pixel_and_is_put_back(recipe: Make, cells: Samples):
    before = torch.get_num_threads()
    pictures = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        pictures.append(made(cells, recipe(**STATIC))[0].images)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(*pictures)


def test_static_augmentation_changes_every_copy_on_its_own(recipe: Make, cells: Samples):
    kept, deck = made(cells, recipe(balance="upsample", augment_mode="static", augment=["rotate"]))
    assert len(np.unique(kept.images, axis=0)) == len(deck) == 18


def test_static_augmentation_comes_after_static_copies(recipe: Make, cells: Samples):
    copies, deck = made(cells, recipe(balance="upsample-static"))
    kept, _ = made(cells, recipe(balance="upsample-static", augment_mode="static", augment=["flip"]))
    at = int(np.flatnonzero(deck.copy == 1)[0])
    flips = pipeline.build((Choice(name="flip"),), size_px=16, channels=3)
    for i in (0, at):
        image = torch.from_numpy(copies.images[i]).permute(2, 0, 1)[None].float()
        rng = stream(0, "static", int(kept.ids[i]), int(deck.copy[i]))
        expected = flips(image, torch.ones(1, 2), rng)[0][0].permute(1, 2, 0)
        assert np.array_equal(kept.images[i], expected.byte().numpy())


def test_an_augmentation_that_does_nothing_leaves_every_byte(recipe: Make, cells: Samples):
    still = {"name": "rotate", **augmentations["rotate"].parameters({"p": 0.0})}
    kept, _ = made(cells, recipe(augment_mode="static", augment=[still]))
    assert kept is not cells
    assert np.array_equal(kept.images, cells.images)


def test_static_without_augmentation_is_no_work_at_all(recipe: Make, cells: Samples):
    assert made(cells, recipe(augment_mode="static"))[0] is cells


def test_gray_images_have_copies_too(recipe: Make, cells: Samples):
    gray = Samples(cells.images[..., :1].copy(), cells.labels, cells.ids)
    assert made(gray, recipe(balance="upsample-static"))[0].images.shape == (18, 16, 16, 1)


def test_mixing_has_no_static_form(recipe: Make, cells: Samples):
    nested = {"name": "chain", **augmentations["chain"].parameters({"steps": ["flip", "mixup"]})}
    with pytest.raises(UserError, match="chain mixes images anew on every batch"):
        made(cells, recipe(augment_mode="static", augment=[nested]))
