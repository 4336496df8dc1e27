"""What ``bench data preview`` draws: which images, what becomes of them, and what is written below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.data.images import Index, Labels, Pixels, Samples
from bench.data.reader import Reader
from bench.recipe import Balance, Choice, Corrupted, Recipe

if TYPE_CHECKING:
    import numpy.typing as npt

LOOKED_AT = 256
"""Images among which the longest are looked for."""
DRAWS = 4
"""Times that the same images are augmented."""


def spread(labels: Labels, count: int) -> Index:
    """Positions of ``count`` images dealt over the classes in turn, in the order of the classes.

    labels  (N,) int64 → (M,) int64 with M = min(N, count)
    """
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        mine = labels == label
        rank[mine] = np.arange(mine.sum())
    dealt = np.lexsort((labels, rank))[:count]
    return dealt[np.lexsort((rank[dealt], labels[dealt]))]


def longest(reader: Reader, count: int) -> list[Pixels]:
    """The ``count`` images, native, whose sides differ most, of some dealt over the classes; none are square.

    Drawings have no native size: no image is.
    """
    some = [] if reader.drawn else spread(reader.labels, LOOKED_AT).tolist()
    sizes = {k: reader.size(k) if reader.size else reader.native(k).shape[1::-1] for k in some}
    oblong = [k for k, (width, height) in sizes.items() if width != height]
    oblong.sort(key=lambda k: min(sizes[k]) / max(sizes[k]))
    return [reader.native(k) for k in oblong[:count]]


def framed(native: Pixels) -> Pixels:
    """An image (H, W, C) with a frame at its largest central square, red or, in gray, white."""
    height, width, channels = native.shape
    side = min(height, width)
    thick = max(1, max(height, width) // 80)
    top, left = (height - side) // 2, (width - side) // 2
    inside = np.zeros((height, width), dtype=bool)
    inside[top : top + side, left : left + side] = True
    inside[top + thick : top + side - thick, left + thick : left + side - thick] = False
    drawn = native.copy()
    drawn[inside] = (255, 0, 0) if channels == 3 else 255
    return drawn


def balanced(balance: Balance, labels: Labels, classes: int, seed: int) -> tuple[str, Index]:
    """What a kind of balance makes of an epoch: a phrase, and images of each class, (K,) int64.

    labels  (N,) int64
    """
    from bench.data.balance import deal

    deck = deal(balance, labels, classes, seed)
    dealt = labels[deck.index]
    if deck.class_weights is not None:
        weighed = np.bincount(dealt, minlength=classes) * deck.class_weights
        return "images times their weight in the loss", np.round(weighed).astype(np.int64)
    if deck.odds is not None:
        expected = np.bincount(dealt, weights=deck.odds, minlength=classes) * len(deck)
        return f"{len(deck):,} images, drawn anew each epoch; on average", np.round(expected).astype(np.int64)
    return f"{len(deck):,} images", np.bincount(dealt, minlength=classes).astype(np.int64)


def draws(
    recipe: Recipe, train: Samples, index: Index, classes: tuple[str, ...], seed: int
) -> Iterator[tuple[Samples, list[str]]]:
    """The images at ``index`` (M,), augmented ``DRAWS`` times as one batch; captions where labels are mixed.

    random  streams (preview, draw) of ``seed``
    """
    import torch

    from bench.augment import pipeline
    from bench.streams import stream

    pixels = train.images[index]
    built = pipeline.build(recipe.augment, size_px=pixels.shape[1], channels=pixels.shape[3])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
    targets = torch.nn.functional.one_hot(torch.from_numpy(train.labels[index]), len(classes)).float()
    for draw in range(DRAWS):
        changed, mixed = built(images, targets, stream(seed, "preview", draw))
        levels = changed.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        captions = [mixed_label(row, classes) for row in mixed.numpy()] if built.mixes_images else []
        for number, view in enumerate(levels.chunk(built.views), 1):
            samples = Samples(view.numpy(), train.labels[index], train.ids[index])
            beside = f"view {number}" if built.views > 1 else ""
            yield samples, captions or [beside] * len(index)


def mixed_label(shares: npt.NDArray[np.float32], classes: Sequence[str]) -> str:
    """A line for each share, ``70% basophil``; a whole label without. shares (K,) float32, sum 1."""
    some = [k for k in np.argsort(-shares, kind="stable") if shares[k] >= 0.005]
    if len(some) == 1:
        return str(classes[some[0]])
    return "\n".join(f"{100 * shares[k]:.0f}% {classes[k]}" for k in some)


def written(choice: Choice) -> str:
    """An augmentation as a study would write it: its name and parameters."""
    values = ", ".join(f"{key}={value}" for key, value in choice.params.items())
    return f"{choice.name} ({values})" if values else choice.name


def mixture(hidden: Corrupted, image_id: int, channels: int) -> str:
    """Operations of one image of a ``heavy-mix``, a line each: ``hue/2``."""
    from bench.corruptions.families import families_of, severities_of
    from bench.corruptions.profiles import heavy_mix
    from bench.registry import corruptions

    families = [f for f in families_of(hidden) if channels == 3 or not corruptions[f].traits.get("colour")]
    return "\n".join(map(str, heavy_mix(hidden.seed, image_id, families, severities_of(hidden))))
