"""A recipe's list of augmentations, put together for one image size and device.

Neighbouring geometric augmentations become one matrix and one sampling; the others follow in the order
written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.augment.base import Augmentation, Fill, Mixing, PerImage, Space, Step
from bench.augment.geometry import fuse
from bench.errors import UserError
from bench.recipe import Choice
from bench.registry import augmentations


class Pipeline:
    """The steps of one recipe. Holds no state and no generator: the same call gives the same batch."""

    def __init__(self, steps: Sequence[Step], mixes_images: bool = False) -> None:
        self.steps = tuple(steps)
        self.mixes_images = mixes_images
        """Whether an image may end up in another, and targets with it."""
        self.leading: list[PerImage] = []
        """Steps at the front that run on many batches at once."""
        for step in steps:
            if not isinstance(step, PerImage):
                break
            self.leading.append(step)
        self.views = max(map(views_of, steps), default=1)
        """V: pictures of each image in what a call returns, view by view, the plainest first."""

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment one batch; what was handed in stays as it was.

        images   (B, C, H, W) float32 in [0, 1], any memory format → (V·B, C, H, W), same range and format
        targets  (B, K) float32 class probabilities → same shape, rows sum to 1
        random   every draw on the host, from ``rng``
        """
        return next(self.many(images, [targets], [rng]))

    def many(
        self, images: torch.Tensor, targets: Sequence[torch.Tensor], rngs: Sequence[np.random.Generator]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Augment several batches, each as a call of its own would; leading steps run once for all of them.

        images   (M, C, H, W): all batches' images one after another
        targets  one (B, K) per batch
        random   one generator per batch
        yields   per batch what a call returns
        """
        sizes = [len(rows) for rows in targets]
        work, views = images, 1
        if self.leading and len(images):
            work, views = self._lead(images, sizes, rngs), max(map(views_of, self.leading))
        for batch, rows, rng in zip(_split(work, sizes, views), targets, rngs, strict=True):
            yield self._finish(batch, rows, rng)

    @torch.no_grad()
    def _lead(
        self, images: torch.Tensor, sizes: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """The leading steps on all batches at once: (M, C, H, W) → (V·M, C, H, W) in the same format."""
        work = _planes(images, images)
        for step in self.leading:
            draws = [step.draw(rng, size) for rng, size in zip(rngs, sizes, strict=True)]
            rows = (
                parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*draws, strict=True)
            )
            work = step.run(work, list(rows))
        return work.contiguous(memory_format=format_of(images))

    @torch.no_grad()
    def _finish(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The other steps on one batch, (V·B, C, H, W) and (B, K)."""
        work = images
        for step in self.steps[len(self.leading) :] if len(images) else ():
            if not isinstance(step, Mixing):
                work = _planes(work, images)
            work, targets = step(work, targets, rng)
        return work.contiguous(memory_format=format_of(images)), targets

    def through(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All steps on contiguous images (B, C, H, W) that may be written into; targets (B, K) are not."""
        for step in self.steps:
            images, targets = step(images, targets, rng)
        return images, targets


def views_of(step: Step) -> int:
    """Pictures that a step makes of each image."""
    return step.views if isinstance(step, PerImage) else 1


def format_of(images: torch.Tensor) -> torch.memory_format:
    """How (B, C, H, W) lies in memory: channels last, or plain."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _planes(work: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """``work`` (B, C, H, W) plane after plane, and never ``given`` itself: steps write into it.

    Statistics and sampling are several times faster than on interleaved channels on a CPU.
    """
    if work is given:
        return work.clone(memory_format=torch.contiguous_format)
    return work.contiguous()


def _split(images: torch.Tensor, sizes: Sequence[int], views: int) -> Iterator[torch.Tensor]:
    """Images of shape (V·M, C, H, W), view by view → one (V·B, C, H, W), view by view, per batch."""
    if len(sizes) == 1:
        yield images
        return
    whole = images.chunk(views)
    for start, size in zip(itertools.accumulate(sizes, initial=0), sizes, strict=False):
        parts = [view[start : start + size] for view in whole]
        yield parts[0] if views == 1 else torch.cat(parts)


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
    made = Pipeline(steps, any(mixes_images(choice) for choice in choices))
    several = [step for step in steps if views_of(step) > 1]
    if several and (several != steps[-1:] or made.mixes_images):
        raise UserError(
            f"{where} makes several views of each image; that must come last, once, and without mixing"
        )
    return made


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
