"""A recipe's list of augmentations, put together for one image size and device.

Neighbouring geometric augmentations become one matrix and one sampling; the others follow in the order
written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench.augment.base import Augmentation, Fill, Space, Step
from bench.augment.geometry import fuse
from bench.errors import UserError
from bench.recipe import Choice
from bench.registry import augmentations


class Pipeline:
    """The steps of one recipe. Holds no state and no generator: the same call gives the same batch."""

    def __init__(self, steps: Sequence[Step], mixes_images: bool = False) -> None:
        self.steps = tuple(steps)
        self.mixes_images = mixes_images
        """Whether an image may end up in another; if not, many batches can be augmented in one call."""

    @torch.no_grad()
    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment one batch; what was handed in stays as it was.

        images   (B, C, H, W) float32 in [0, 1], any memory format → same shape, range and format
        targets  (B, K) float32 class probabilities → same shape, rows sum to 1
        random   every draw on the host, from ``rng``
        """
        if not self.steps or not len(images):
            return images, targets
        channels_last = images.is_contiguous(memory_format=torch.channels_last)
        # Planes: statistics and sampling are several times faster than on interleaved channels on a CPU.
        work = images.clone(memory_format=torch.contiguous_format)
        work, targets = self.through(work, targets, rng)
        return work.contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        ), targets

    def through(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All steps on contiguous images (B, C, H, W) that may be written into; targets (B, K) are not."""
        for step in self.steps:
            images, targets = step(images, targets, rng)
        return images, targets


def build(
    choices: Sequence[Choice], *, size_px: int, channels: int, device: torch.device | str = "cpu"
) -> Pipeline:
    """The pipeline of a recipe's ``augment`` list; an empty list changes nothing.

    UserError where an augmentation is unknown, cannot work on such images or is not built yet.
    """
    space = Space(size_px, channels, torch.device(device))
    return assemble(choices, space, where="augment")


def assemble(choices: Sequence[Choice], space: Space, where: str) -> Pipeline:
    """``build`` for a list inside another augmentation; ``where`` begins its error messages."""
    parts = [prepared(choice, space, f"{where}[{index}]") for index, choice in enumerate(choices)]
    steps = [step if len(group) == 1 else fuse(group, space) for group, step in fusable(parts)]
    return Pipeline(steps, any(mixes_images(choice) for choice in choices))


def prepared(choice: Choice, space: Space, where: str) -> tuple[Augmentation, Step]:
    """One choice, built and prepared; ``where`` begins its error messages."""
    try:
        part = made(choice)
        return part, part.prepare(space)
    except UserError as error:
        raise UserError(f"{where} {error}") from error


def made(choice: Choice) -> Augmentation:
    """The augmentation of one choice, its parameters checked and defaults filled in."""
    component = augmentations[choice.name]
    part: Augmentation = component.build(component.parameters(choice.params))
    return part


def mixes_images(choice: Choice) -> bool:
    """Whether this choice, or one nested in it, changes targets by mixing images of a batch."""
    nested = [*choice.params.get("choices", ()), *choice.params.get("steps", ())]
    return bool(augmentations[choice.name].traits.get("mixes_images")) or any(
        mixes_images(Choice.model_validate(inner)) for inner in nested
    )


def fusable(parts: Sequence[tuple[Augmentation, Step]]) -> list[tuple[list[Any], Step]]:
    """Neighbours grouped: geometric ones that agree on a fill together, every other one alone."""
    groups: list[tuple[list[Any], Step]] = []
    fills: set[Fill | None] = set()
    for part, step in parts:
        moves = hasattr(part, "matrices")
        fill = {getattr(part, "fill", None)} - {None}
        if moves and groups and hasattr(groups[-1][0][-1], "matrices") and len(fills | fill) <= 1:
            groups[-1][0].append(part)
            fills |= fill
        else:
            groups.append(([part], step))
            fills = fill
    return groups
