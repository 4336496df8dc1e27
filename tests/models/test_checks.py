from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import models
from bench.errors import UserError
from bench.recipe import Recipe
from bench.registry import models as registered


def recipe(name: str, *stages: str, **given: Any) -> Recipe:
    tables = [{"train": train, "epochs": 1} for train in stages or ("all",)]
    return Recipe.model_validate(
        {"model": {"name": name, **registered[name].parameters(given)}, "stages": tables}
    )


@pytest.mark.parametrize("name", ["custom_cnn", "efficientnet_b0", "vgg16", "tf_efficientnetv2_m"])
def test_a_sound_recipe_passes_without_memory_or_random_draws(name: str) -> None:
    before = torch.random.get_rng_state()
    models.check(recipe(name, "head", "top:3", "all"), 8, 3, 96)
    assert torch.equal(before, torch.random.get_rng_state())


def test_all_mistakes_of_a_recipe_come_together() -> None:
    with pytest.raises(UserError) as caught:
        models.check(recipe("inception_v3", "top:99", "head", "top:50"), 8, 3, 32)
    lines = str(caught.value).splitlines()
    assert "cannot take images of 32 px" in lines[0]
    assert lines[0].endswith("; size_px = 96 works")
    assert '"top:99" asks for 99 blocks, but the model has ' in lines[1]
    assert '"top:50"' in lines[2]


def test_a_too_small_image_is_found_without_training() -> None:
    with pytest.raises(UserError, match="need at least 32 px"):
        models.check(recipe("custom_cnn", widths=[4] * 5), 8, 3, 16)


@pytest.mark.parametrize(
    ("name", "works"),
    [
        ("inception_v3", 96),
        ("halonet26t", 256),  # windows that only fit the size it was made for
        ("pvt_v2_b0", 32),
        ("twins_svt_small", 32),  # refuses while it is built
        ("gcvit_tiny", 32),  # divides by zero
    ],
)
def test_images_that_do_not_fit_are_refused_with_the_next_size_that_does(name: str, works: int) -> None:
    with pytest.raises(UserError, match=rf"{name} cannot .* 28 px.*; size_px = {works} works$"):
        models.check(recipe(name), 8, 3, 28)


def test_what_no_size_mends_is_not_answered_with_a_size() -> None:
    with pytest.raises(UserError, match="resnet10t cannot be built at 32 px, pad_type") as caught:
        models.check(recipe("resnet10t", pad_type="same"), 8, 3, 32)
    assert "works" not in str(caught.value)
