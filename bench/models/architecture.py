"""What a model is asked to do, what a registered model returns, and the one way to build it. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.errors import UserError
from bench.registry import models

if TYPE_CHECKING:
    from bench.models.network import Network
    from bench.recipe import Choice

FOREIGN = (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError)
"""What other people's model code raises when it meets arguments or images that it was not made for."""


@dataclass(frozen=True)
class Task:
    """What a model is asked to do: images (B, C, size_px, size_px) in [0, 1] → logits (B, K)."""

    classes: int
    """K."""
    channels: int
    """C."""
    size_px: int
    mean: tuple[float, ...] | None = None
    """Per channel, of the training split in [0, 1], for a model without its own normalisation (None: 0)."""
    std: tuple[float, ...] | None = None
    """Likewise (None: 1)."""

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, C numbers each; a constant channel is left unscaled."""
        mean = self.mean or (0.0,) * self.channels
        std = self.std or (1.0,) * self.channels
        return mean, tuple(s if s > 0 else 1.0 for s in std)


class Architecture(Protocol):
    """What a registered model returns: its study parameters, ready to become a network."""

    def build(self, name: str, task: Task, weights: Path | None) -> Network:
        """A network on the default device. ``name`` is the study's word for the model.

        weights   the offline file behind the study's ``weights``, or None
        random    torch's global generator, which the caller seeds
        """
        ...

    def fits(self, name: str, task: Task, weights: Path | None) -> None:
        """Raise UserError for what can be said without building: name, input size, weight file."""
        ...

    def bare(self) -> Architecture:
        """The same layers without pretrained weights."""
        ...


def architecture_of(choice: Choice) -> Architecture:
    """The checked architecture of a recipe's ``model``."""
    found: Architecture = models[choice.name].build(choice.params)
    return found


def build(choice: Choice, task: Task, weights: Path | None = None) -> Network:
    """The network of a recipe's ``model``, with fresh or pretrained weights as the recipe says."""
    return architecture_of(choice).build(choice.name, task, weights)


def unfrozen(train: str, blocks: int) -> int:
    """How many of a backbone's ``blocks`` a stage trains, counted from the output; the head trains too.

    train   ``head`` 0 · ``top:N`` N · ``fraction:F`` F of the blocks, rounded up · ``all`` every block

    Raises UserError when ``top:N`` asks for more blocks than there are.
    """
    kind, _, amount = train.partition(":")
    if kind == "top":
        if int(amount) > blocks:
            raise UserError(
                f'"{train}" asks for {amount} blocks, but the model has {blocks} (and its head); '
                f'use "top:1" to "top:{blocks}", or "all"'
            )
        return int(amount)
    if kind == "fraction":
        # 0.3 × 10 is 3.0000000000000004 in some products; a hair above a whole number is that number
        return math.ceil(float(amount) * blocks - 1e-9)
    return {"none": 0, "head": 0, "all": blocks}[kind]
