"""What only a built model can tell, told before the first trial: on the meta device, without memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.models.architecture import FOREIGN, Architecture, Task, architecture_of, unfrozen

if TYPE_CHECKING:
    from bench.models.network import Network
    from bench.recipe import Recipe

SIZES_PX = (32, 48, 64, 96, 128, 160, 192, 224, 240, 256, 299, 384, 448, 512)
"""Sizes that architectures are made for; tried in this order when an image is too small."""


def check(recipe: Recipe, classes: int, channels: int, size_px: int, weights: Path | None = None) -> None:
    """Build the recipe's model without memory and run one image through it.

    Raises UserError, one line per mistake: unknown model, image too small, ``top:99`` on a 7-block model, a
    weight file of another model.
    """
    import torch

    name, task = recipe.model.name, Task(classes, channels, size_px)
    found = architecture_of(recipe.model)
    with torch.device("meta"):
        # hub weights are only fetched by the trial itself; that the model has some is checked by fits
        found.fits(name, task, weights)
        network, problem = _tried(found.bare(), name, task)
        mistakes = [problem + _size_that_works(found.bare(), name, task)] if problem else []
        if network is None:
            raise UserError(mistakes[0])
        if weights is not None:
            found.build(name, task, weights)
    for stage in recipe.stages:
        try:
            unfrozen(stage.train, len(network.blocks()) - 1)
        except UserError as error:
            mistakes.append(f"{name}: stage train = {error}")
    if mistakes:
        raise UserError("\n".join(mistakes))


def _tried(layers: Architecture, name: str, task: Task) -> tuple[Network | None, str]:
    """The network, if it can be built, and what is wrong with building it or showing it one image, if so."""
    import torch

    try:
        network = layers.build(name, task, None)
    except UserError as error:
        return None, str(error)
    try:
        network.eval()(torch.zeros(1, task.channels, task.size_px, task.size_px))
    except FOREIGN as error:
        reason = str(error).partition("\n")[0]
        return network, f"{name} cannot take images of {task.size_px} px" + (f" ({reason})" if reason else "")
    return network, ""


def _size_that_works(layers: Architecture, name: str, task: Task) -> str:
    """The end of a sentence: which larger image the model takes; nothing where size is not what is wrong."""
    for size_px in SIZES_PX:
        if size_px > task.size_px and not _tried(layers, name, replace(task, size_px=size_px))[1]:
            return f"; size_px = {size_px} works"
    return ""
