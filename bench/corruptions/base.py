"""What a corruption is: five strengths, and a function that damages one image with one of them.

Images are corrupted one at a time and by one thread. Vectorised loops, convolutions and sums round by the
shape of their batch and the number of threads; so no image may know its neighbours, if it is to come out
bit by bit the same in any batch, order and process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

CORRUPTIONS_VERSION = 1
"""Raised when profiles, choice of base images or draws change; every family has a version of its own."""
SEVERITIES = 5
REFERENCE_PX = 224
"""Strengths that are lengths are pixels of an image of this side; they scale with the image."""

One = Callable[["torch.Tensor", Any, "np.random.Generator"], "torch.Tensor"]


@dataclass(frozen=True)
class Corruption:
    """One family of damage at five severities."""

    name: str
    strengths: tuple[Any, Any, Any, Any, Any]
    """What ``one`` gets at severity 1 to 5."""
    one: One
    """(1, C, H, W) float32 in [0, 1], a strength, the image's generator → same shape, of any range."""
    colour_only: bool = False

    def apply(
        self, images: torch.Tensor, severity: int, draws: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """Corrupt every image with its own draws.

        images    (B, C, H, W) float32 in [0, 1], square; not written into
        severity  1 to 5
        draws     B generators, one per image
        returns   (B, C, H, W) float32 in [0, 1], a new tensor
        """
        import torch

        if not 1 <= severity <= SEVERITIES:
            raise ValueError(f"{self.name}: severity {severity}, 1 to {SEVERITIES} are known")
        if self.colour_only and images.shape[1] != 3:
            raise UserError(
                f"{self.name} changes colour (3 channels), these images have {images.shape[1]}; "
                "leave it out of families"
            )
        strength = self.strengths[severity - 1]
        out = torch.empty_like(images, memory_format=torch.contiguous_format)
        with one_thread(), torch.no_grad():
            for index, rng in enumerate(_one_each(draws, len(images))):
                image = images[index : index + 1].clone(memory_format=torch.contiguous_format)
                out[index] = self.one(image, strength, rng)[0]
        return out.clamp_(0, 1)


def _one_each(draws: Sequence[np.random.Generator], count: int) -> Sequence[np.random.Generator]:
    if len(draws) != count:
        raise ValueError(f"{len(draws)} generators for {count} images")
    return draws


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """torch with one thread inside, afterwards with as many as before."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def scaled(length_px: float, image: torch.Tensor) -> float:
    """A length given for an image of 224 pixels, in pixels of ``image`` (1, C, H, W)."""
    return length_px * image.shape[-1] / REFERENCE_PX


def on(image: torch.Tensor, array: np.ndarray) -> torch.Tensor:
    """A host array as float32 of the same shape on the device of ``image``."""
    import torch

    return torch.as_tensor(array, dtype=torch.float32).to(image.device)


def sign(rng: np.random.Generator) -> int:
    """−1 or 1."""
    return 1 - 2 * int(rng.integers(2))
