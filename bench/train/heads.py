"""Training images as a frozen trunk sees them: each once, and not once per epoch.

Only where that is the same bit for bit. The trunk sees training batches in another order every epoch, so an
image must get the same features at every place of a batch, beside whatever others: that is measured, for the
trunk, size and settings at hand, before anything is kept. Where it is not so, training goes on as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from bench.augment.pipeline import format_of
from bench.data.images import Index
from bench.data.resident import Rows, Wanted
from bench.data.streamed import Split
from bench.models.frozen import Kept, Trunk, drawing, same
from bench.train.turns import Clock, Turns

PASSES = 2
"""Times that a stage must show each image before a pass over all of them is made for it."""


class Gathered:
    """A split with features in place of images, for a head to train on."""

    def __init__(self, trunk: Trunk, split: Split, features: Tensor, sizes: frozenset[int]) -> None:
        """Nothing is computed yet.

        features   (N, …), of all images
        sizes      of batches that may be put together from them; others go through the trunk
        """
        self._trunk, self._split, self._features, self._sizes = trunk, split, features, sizes

    @property
    def nbytes(self) -> int:
        """Of its features."""
        return self._features.nbytes

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` in turn, with its features (B, …), as the trunk would give them."""
        for rows in wanted:
            if len(rows.places) in self._sizes:
                yield rows, _picked(self._features, rows.index)
            else:
                yield rows, _seen(self._trunk, self._split, rows.places)


def gathered(
    trunk: Trunk, split: Split, sizes: tuple[int, int], shown: int, clock: Clock
) -> Turns[Gathered | None]:
    """The features of a training split; None where they are not worth a pass over it, or not the same.

    sizes   images of a batch, and of the last one of an epoch
    shown   images that the stage is planned to show
    """
    key = "gathered", split.digest, sizes[0]
    known = trunk.recall(key)
    if known is None and shown >= PASSES * len(split):
        known = yield from _pass(trunk, split, sizes[0], clock)
        if known is not None:
            trunk.keep(key, known)
    if not known:
        return None
    (features,) = known
    good = {size for size in sizes if size == sizes[0] or _steady(trunk, split, size, features)}
    return Gathered(trunk, split, features, frozenset(good))


def _pass(trunk: Trunk, split: Split, size: int, clock: Clock) -> Turns[Kept | None]:
    """Features of all images, computed in batches of ``size``.

    Nothing where an image's depend on the batch, which is worth keeping too; None where there is no room.
    Others get their turn after each batch.
    """
    count, device = len(split), split.labels.device
    before = drawing(device)
    first = _seen(trunk, split, _places(0, size, count))
    if not same(before, drawing(device)) or not _steady(trunk, split, size, first):
        return ()
    if not trunk.holds(first[0].nbytes * count):
        return None
    features = first.new_empty((count, *first.shape[1:])).contiguous(memory_format=format_of(first))
    batches = (_rows(_places(start, size, count), device) for start in range(0, count, size))
    for start, (_, images) in zip(range(0, count, size), split.batches(batches), strict=True):
        features[start : start + size] = trunk(images)[: count - start]
        yield from clock.pause()
    return (features,)


def _steady(trunk: Trunk, split: Split, size: int, features: Tensor) -> bool:
    """Whether images have their ``features`` (M, …) at every place of a batch of ``size``.

    Of two images: so many copies of each.
    """
    for place in {0, (min(len(features), len(split)) - 1) // 2}:
        copies = _seen(trunk, split, np.full(size, place))
        if not torch.equal(copies, features[place].expand_as(copies)):
            return False
    return True


def _seen(trunk: Trunk, split: Split, places: Index) -> Tensor:
    """Features of the images at ``places`` (B,), from the trunk."""
    ((_, images),) = split.batches([_rows(places, split.labels.device)])
    return trunk(images)


def _rows(places: Index, device: torch.device) -> Rows:
    return Rows(places, torch.from_numpy(places).to(device))


def _places(start: int, size: int, count: int) -> Index:
    """``size`` images from ``start`` on; after the last comes the first."""
    return np.arange(start, start + size) % count


def _picked(features: Tensor, index: Tensor) -> Tensor:
    """Features (N, …) at ``index`` (B,), laid in memory as they were."""
    if format_of(features) is torch.contiguous_format:
        return features.index_select(0, index)
    return features.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
