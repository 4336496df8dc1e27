"""What only a built model can tell, told before the first trial: on the meta device, without memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.models.architecture import Task, architecture_of, unfrozen

if TYPE_CHECKING:
    from bench.recipe import Recipe


def check(recipe: Recipe, classes: int, channels: int, size_px: int, weights: Path | None = None) -> None:
    """Build the recipe's model without memory and run one image through it.

    Raises UserError, one line per mistake: unknown model, image too small, ``top:99`` on a 7-block model, a
    weight file of another model.
    """
    import torch

    task = Task(classes, channels, size_px)
    found = architecture_of(recipe.model)
    with torch.device("meta"):
        # hub weights are only fetched by the trial itself; that the model has some is checked by fits
        found.fits(recipe.model.name, task, weights)
        network = (found if weights is not None else found.bare()).build(recipe.model.name, task, weights)
        mistakes = []
        try:
            network.eval()(torch.zeros(1, channels, size_px, size_px))
        except (RuntimeError, AssertionError, ValueError) as error:
            mistakes.append(
                f"{recipe.model.name} cannot take images of {size_px} px ({error}); use a larger size_px"
            )
    for stage in recipe.stages:
        try:
            unfrozen(stage.train, len(network.blocks()) - 1)
        except UserError as error:
            mistakes.append(f"{recipe.model.name}: stage train = {error}")
    if mistakes:
        raise UserError("\n".join(mistakes))
