"""What an augmentation is: torch-free settings, prepared once for a size, channel count and device.

Every parameter of every image is drawn on the host from the generator handed in, so a CPU and a GPU draw
the same, and reaches the device in one copy that does not wait. Nothing on the device is ever read back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from annotated_types import Interval

from bench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

Probability = Annotated[float, Interval(ge=0, le=1)]
Fill = Literal["black", "edge", "reflect"]
"""What stands where an image was moved away: zeros, the edge pixel continued, or the image mirrored."""
Per = Literal["image", "batch"]
"""Whether every image gets its own draw, or one draw serves the whole batch."""
MOVES = ("rotate", "shear", "shift")
CURVES = ("autocontrast", "equalize")
TONE = ("brightness", "contrast", "saturation")
"""What policies of several operations do, in the words of a corruption's ``kin``."""


@dataclass(frozen=True)
class Space:
    """The images a step will see."""

    size_px: int
    """Height and width."""
    channels: int
    device: torch.device


class Step(Protocol):
    """A prepared augmentation: draws on the host, computes on the device."""

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment one batch.

        images   (B, C, H, W) float32 in [0, 1], contiguous; the step owns them and may write into them
        targets  (B, K) float32 class probabilities; not to be written into
        random   from ``rng`` only
        """
        ...


@dataclass(frozen=True)
class PerImage:
    """A step in two halves that looks at one image at a time and leaves targets alone.

    Draws of several batches, stacked, serve all their images in one run: a GPU pays by the launch.
    """

    draw: Callable[[np.random.Generator, int], list[np.ndarray]]
    """Generator, B → arrays (B, …) on the host, one row per image."""
    run: Callable[[torch.Tensor, Sequence[np.ndarray]], torch.Tensor]
    """Images (B, C, H, W) contiguous, may be written into, and their rows → (V·B, C, H, W), view by view."""
    views: int = 1
    """V: pictures made of each image, itself the first of them."""

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, H, W) → (V·B, C, H, W); targets (B, K) as they are."""
        return self.run(images, self.draw(rng, len(images))), targets


@dataclass(frozen=True)
class Mixing:
    """A step that mixes images of a batch. Takes any memory format and writes into nothing it is given."""

    apply: Step

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, H, W) and targets (B, K) → the same shapes, new tensors or the same ones."""
        return self.apply(images, targets, rng)


class Augmentation(Protocol):
    """What a registered factory returns: frozen settings, no torch until prepared."""

    def prepare(self, space: Space) -> Step:
        """The step for this size, channel count and device; UserError where the images do not suit."""
        ...


class Geometric(Protocol):
    """An augmentation that only moves pixels: a matrix per image, multiplied with its neighbours'."""

    @property
    def fill(self) -> Fill | None:
        """What stands where the image was moved away; None where nothing ever is."""
        ...

    def matrices(self, rng: np.random.Generator, count: int, size_px: int) -> np.ndarray:
        """(B, 3, 3) float64, input pixel → output pixel, in the convention of ``matrices``."""
        ...


def chosen(rng: np.random.Generator, p: float, count: int) -> np.ndarray:
    """Which images are augmented, bool of shape (count,), each with probability ``p``; ``count`` draws."""
    return rng.random(count) < p


def ordered(name: str, low: float, high: float) -> None:
    """Refuse a range whose ends are swapped."""
    if low > high:
        raise UserError(f"{name}: low = {low:g} is above high = {high:g}; swap them")


def needs_colour(name: str, space: Space, instead: str) -> None:
    """Refuse an operation on colour where images have one channel."""
    if space.channels != 3:
        raise UserError(f"{name} works on colour (3 channels), these images have {space.channels}; {instead}")
