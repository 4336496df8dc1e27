"""Training: optimizers, schedules, losses, stages and the loop.

Importing the package fills the registries and imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import shorten
from bench.train import losses, optimizers, schedules

if TYPE_CHECKING:
    from bench.recipe import Recipe

__all__ = ["losses", "optimizers", "schedules", "unbuilt"]


def unbuilt(recipe: Recipe) -> list[str]:
    """Settings of ``recipe`` that are understood but not built yet, as ``key = value``; run refuses them."""
    wanted: dict[str, tuple[object, object]] = {
        "compile": (recipe.compile, False),
        "graph": (recipe.graph, False),
    }
    return [f"{key} = {shorten(value)}" for key, (value, built) in wanted.items() if value != built]
