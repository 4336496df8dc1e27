"""Augmentations made of augmentations: one of several, or several in a row."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, MinLen

from bench.augment.base import Augmentation, Per, Probability, Space, Step, chosen
from bench.corruptions.families import done_by
from bench.errors import UserError
from bench.registry import augmentations

if TYPE_CHECKING:
    import numpy as np
    import torch
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from bench.recipe import Choice


def _as_choice(value: Any) -> Any:
    """A name or a table as a Choice (strict models do not convert)."""
    from bench.recipe import Choice

    return Choice.model_validate(value) if isinstance(value, (str, dict)) else value


class _CompleteChoice:
    """Tells pydantic what a part is, once it asks: importing this module imports no pydantic."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        from bench.recipe import Choice, complete

        filled = functools.partial(complete, augmentations)
        checked = core_schema.no_info_after_validator_function(filled, handler.generate_schema(Choice))
        return core_schema.no_info_before_validator_function(_as_choice, checked)


if TYPE_CHECKING:
    Part = Choice
else:
    Part = Annotated[Any, _CompleteChoice()]
"""An augmentation inside another one: a name, or a table with a name and its parameters."""


@dataclass(frozen=True)
class OneOf:
    """Prepared by ``one-of``."""

    choices: tuple[Choice, ...]
    shares: tuple[float, ...]
    per: Per

    def prepare(self, space: Space) -> Step:
        """A step that sends every image through one of the prepared choices."""
        from bench.augment.pipeline import prepared, views_of

        made = [
            prepared(choice, space, f"one-of choices[{index}]")[1]
            for index, choice in enumerate(self.choices)
        ]
        options = [one_view(step, views_of(step), "one-of") for step in made]

        def step(
            images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            draws = len(images) if self.per == "image" else 1
            picked = rng.choice(len(options), size=draws, p=self.shares)
            for index, option in enumerate(options):
                images, targets = on_some(option, picked == index, images, targets, rng)
            return images, targets

        return step


@dataclass(frozen=True)
class Chain:
    """Prepared by ``chain``."""

    steps: tuple[Choice, ...]
    p: float

    def prepare(self, space: Space) -> Step:
        """A step that sends chosen images through all prepared steps."""
        from bench.augment.pipeline import assemble

        whole = assemble(self.steps, space, where="chain steps")
        inner = one_view(whole.through, whole.views, "chain")

        def step(
            images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return on_some(inner, chosen(rng, self.p, len(images)), images, targets, rng)

        return step


def one_view(step: Step, views: int, name: str) -> Step:
    """``step``, refused where it makes several pictures of an image: then all images need as many."""
    if views > 1:
        raise UserError(f"{name}: a part makes {views} views of each image; give it last, outside of {name}")
    return step


def on_some(
    inner: Step, mask: np.ndarray, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Send chosen images, as a batch of their own, through one step.

    mask      (B,) or (1,) bool: which
    images    (B, C, H, W), written into
    targets   (B, K)
    """
    import numpy as np

    from bench.augment.transfer import to_device

    if not mask.any():
        return images, targets
    if mask.all():
        return inner(images, targets, rng)
    (rows,) = to_device([np.flatnonzero(mask)], images.device)
    part, labels = inner(images.index_select(0, rows), targets.index_select(0, rows), rng)
    return images.index_copy_(0, rows, part), targets.index_copy(0, rows, labels)


@augmentations.register("one-of", does=lambda given: done_by(given["choices"]))
def one_of(
    choices: Annotated[list[Part], MinLen(1)],
    weights: list[Annotated[float, Gt(0)]] | None = None,
    per: Per = "image",
) -> Augmentation:
    """Send each image through one of several augmentations.

    choices: names, or tables with a name and parameters, at least one
    weights: how often each is taken, one positive number per choice (default: equally often)
    per:     "image" draws for every image, each group then being a batch of its own; "batch" once for all

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → as the choices leave them
    random   one draw per image, then the choices' own, in their order

    Source: torchvision.transforms.v2.RandomChoice.
    """
    weights = weights or [1.0] * len(choices)
    if len(weights) != len(choices):
        raise UserError(
            f"one-of: {len(weights)} weights for {len(choices)} choices; give one for each, or none"
        )
    total = sum(weights)
    return OneOf(_choices(choices), tuple(weight / total for weight in weights), per)


@augmentations.register("chain", does=lambda given: done_by(given["steps"]))
def chain(steps: list[Part], p: Probability = 1.0) -> Augmentation:
    """Send images through several augmentations, all of them or none.

    steps: names, or tables with a name and parameters; an empty list changes nothing
    p:     probability for each image, 0 to 1

    images   (B, C, H, W) float32 in [0, 1] → same
    targets  (B, K) float32 class probabilities → as the steps leave them
    random   one draw per image, then the steps' own

    Source: torchvision.transforms.v2.RandomApply.
    """
    return Chain(_choices(steps), p)


def _choices(parts: list[Any]) -> tuple[Choice, ...]:
    """Checked parameters come back as tables; here they are Choices again."""
    from bench.recipe import Choice

    return tuple(Choice.model_validate(dict(part)) if isinstance(part, Mapping) else part for part in parts)
