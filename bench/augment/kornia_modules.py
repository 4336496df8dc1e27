"""Kornia's own classes as they are: found by name, checked, tried, and seeded from our streams."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import kornia
import torch
from kornia.augmentation import auto
from pydantic import AfterValidator

from bench.augment.base import Space, needs_colour
from bench.errors import UserError, did_you_mean
from bench.study.signature import arguments

POLICIES = ("RandAugment", "AutoAugment", "TrivialAugment")
"""Augmentations of ``kornia.augmentation.auto``: they draw from operations of which some need colour."""
IN_NETWORK = "images stay in [0, 1]; the network normalises them, see mean and std of the model"
UNSUITABLE = {
    "Normalize": IN_NETWORK,
    "Denormalize": IN_NETWORK,
    "RandomDissolving": "needs a diffusion model from a network",
}
"""Single 2-d images, but not ones to train on."""
TENSORS = {torch.Tensor: Annotated[list[float], AfterValidator(torch.tensor)]}
WHEN = ("p", "p_batch", "same_on_batch", "keepdim", "size")
"""Parameters that most classes have; they say on which images, not what."""
TRIED = 4
"""Images that a class is tried on."""
SHOWN = 200
"""Letters of Kornia's own message."""


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Kornia takes no generator and draws from torch's global ones: seed those, and put them back afterwards.

    Kornia draws on the host but for a few operations on the images' device, whose generator is seeded too.
    """
    cuda = device.type == "cuda" and torch.cuda.is_available()
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def built(name: str, given: Mapping[str, Any], space: Space) -> torch.nn.Module:
    """The class ``name`` with a study's parameters. UserError where it has no such class or parameter."""
    of = class_of(name)
    size = {"size": [space.size_px] * 2} if "size" in inspect.signature(of).parameters else {}
    label = f"kornia:{name}"
    checked = arguments(of, size | dict(given), label, also=TENSORS)
    try:
        module: torch.nn.Module = of(**checked)
    except Exception as error:  # Kornia has errors of its own, one for each of its checks
        raise UserError(f"{label}: {_said(error)}") from error
    return module


def class_of(name: str) -> type[torch.nn.Module]:
    """Kornia's class. UserError for one that it lacks, or that does not augment each image of a batch."""
    known = suitable()
    if name in known:
        return known[name]
    found = getattr(kornia.augmentation, name, None)
    if isinstance(found, type) and issubclass(found, kornia.augmentation.MixAugmentationBaseV2):
        problem = "mixes images of a batch, and what becomes of the labels is its own; use cutmix or mixup"
    elif name in UNSUITABLE:
        problem = UNSUITABLE[name]
    elif isinstance(found, type):
        problem = "is not for batches of single 2-d images"
    else:
        problem = f"Kornia {kornia.__version__} has no such augmentation; {did_you_mean(name, known)}"
    raise UserError(f"kornia:{name}: {problem}")


@functools.cache
def suitable() -> dict[str, type[torch.nn.Module]]:
    """Name → class of all that a study can name; some of them change an image's size, as ``tried`` finds."""
    public = {name: getattr(kornia.augmentation, name) for name in kornia.augmentation.__all__}
    flat = {
        name: of
        for name, of in public.items()
        if isinstance(of, type)
        and issubclass(of, kornia.augmentation.AugmentationBase2D)
        and not name.endswith("Base2D")
        and name not in UNSUITABLE
    }
    policies = {name: getattr(auto, name) for name in POLICIES}
    return flat | policies | {"RandomJigsaw": kornia.augmentation.RandomJigsaw}  # "mixes" within an image


def tried(name: str, given: Mapping[str, Any], space: Space) -> None:
    """Augment a few images, on the host and for certain. UserError where that fails or sizes change.

    A class whose defaults are the identity is refused without further parameters: its arm would be another's.
    """
    label = f"kornia:{name}"
    if name in POLICIES:
        needs_colour(label, space, "use randaugment or trivialaugment")
    certain = {"p": 1.0} if "p" in inspect.signature(class_of(name)).parameters else {}
    shape = (TRIED, space.channels, space.size_px, space.size_px)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), seeded(0, images.device):
            changed = built(name, {**given, **certain}, space)(images)
    except UserError:
        raise
    except Exception as error:  # see ``built``
        raise UserError(f"{label}: cannot take images of {_sized(shape)}: {_said(error)}") from error
    if changed.shape != shape:
        raise UserError(
            f"{label}: makes images of {_sized(changed.shape)} of those of {_sized(shape)}, "
            "and sizes must stay; set [data] size_px instead"
        )
    if not set(given) - set(WHEN) and torch.equal(changed, images):
        settings = [key for key in inspect.signature(class_of(name)).parameters if key not in WHEN]
        raise UserError(f"{label}: its defaults change nothing; give it some of {', '.join(settings)}")


def _sized(shape: Sequence[int]) -> str:
    channels, height, width = shape[1:]
    return f"{height} × {width} px and {channels} channel{'s' * (channels != 1)}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:SHOWN]}"
