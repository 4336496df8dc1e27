"""A task that a tiny network learns in a few steps, and recipes with all defaults filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench import models, registry
from bench.data.images import Development, Samples
from bench.models.network import Network
from bench.recipe import Recipe
from bench.streams import derive

CLASSES = tuple("abcdefgh")
TINY = {"name": "custom_cnn", "widths": [8, 8, 8], "dense": 16, "dropout": 0.1}
KINDS = {
    "model": registry.models,
    "optimizer": registry.optimizers,
    "schedule": registry.schedules,
    "loss": registry.losses,
}


def coloured(count: int, seed: int, noise: float = 20.0) -> Samples:
    """16 px images (count, 16, 16, 3) whose colour is their class, with noise of so many grey levels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 8
    corners = 255 * np.array([[k >> bit & 1 for bit in range(3)] for k in range(8)])
    images = corners[labels][:, None, None] + rng.normal(0, noise, (count, 16, 16, 3))
    ids = np.arange(count) + 1000 * seed
    return Samples(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64), ids.astype(np.uint64))


@pytest.fixture(scope="session")
def development() -> Development:
    return Development(coloured(64, 0), coloured(32, 1), CLASSES)


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    """``recipe(batch_size=8, …)``: a recipe as a study resolves it."""

    def make(**given: Any) -> Recipe:
        tables = {
            "model": TINY,
            "optimizer": "adam",
            "schedule": "constant",
            "loss": "cross-entropy",
            "batch_size": 16,
        }
        tables |= given
        for key, known in KINDS.items():
            table = {"name": tables[key]} if isinstance(tables[key], str) else dict(tables[key])
            name = table.pop("name")
            tables[key] = {"name": name, **known[name].parameters(table)}
        return Recipe.model_validate(tables)

    return make


@pytest.fixture(scope="session")
def network() -> Callable[..., Network]:
    """``network(recipe, seed)``: as a trial builds it for 8 classes at 16 px."""

    def make(recipe: Recipe, seed: int = 0) -> Network:
        torch.manual_seed(derive(seed, "init"))
        return models.build(recipe.model, models.Task(8, 3, 16, (0.5,) * 3, (0.5,) * 3))

    return make
