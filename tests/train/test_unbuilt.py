from __future__ import annotations

from collections.abc import Callable

from bench.recipe import Recipe
from bench.train import unbuilt


def test_a_plain_recipe_and_what_is_built_ask_for_nothing_unbuilt(recipe: Callable[..., Recipe]) -> None:
    chosen = recipe(ema=0.9, clip_norm=1.0, tta="flips", deterministic=True, balance="upsample")
    assert unbuilt(chosen) == []
    assert unbuilt(recipe(augment_mode="static", precision="bf16", schedule="plateau")) == []


def test_what_is_not_built_is_named_with_its_value(recipe: Callable[..., Recipe]) -> None:
    chosen = recipe(compile=True, graph=True)
    assert unbuilt(chosen) == [
        "compile = true",
        "graph = true",
    ]
