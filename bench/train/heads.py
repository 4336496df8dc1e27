"""Training images as a frozen trunk sees them: each twice, and not once per epoch.

Only where that is the same bit for bit. The trunk sees training batches in another order every epoch, so an
image must get the same features at every place of a batch, beside whatever others. Kernels of a CPU compute
the last rows of a batch in another way than the first, where its size is no multiple of their width, and that
moves the last bits of a few images. So all of them are looked at again, at another place beside others,
before anything is kept; where one differs, training goes on as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.augment.pipeline import format_of
from bench.data.images import Index
from bench.data.resident import Rows, Wanted
from bench.data.streamed import Split
from bench.models.frozen import Features, Trunk, generators, same
from bench.recipe import Recipe
from bench.train.checkpoint import restore_generators
from bench.train.turns import Clock, Turns

LOOKS = 2
"""At each image."""
PASSES = 3
"""Times that a stage must show each image before passes over all of them are made for it."""


def may_keep(recipe: Recipe) -> bool:
    """Whether a frozen trunk would say the same of an image whenever it is shown.

    Not where augmentation is drawn anew for every batch; and a compiled trunk rounds in its own way.
    """
    drawn = bool(recipe.augment) and recipe.augment_mode == "dynamic"
    return not drawn and not recipe.compile


class Gathered:
    """A split with features in place of images, for a head to train on."""

    def __init__(self, trunk: Trunk, split: Split, features: Tensor, size: int) -> None:
        """Nothing is computed yet.

        features   (N, …), of all images
        size       images of the batches that are put together from them; others go through the trunk
        """
        self._trunk, self._split, self._features, self._size = trunk, split, features, size

    @property
    def nbytes(self) -> int:
        """Of its features."""
        return self._features.nbytes

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` in turn, with its features (B, …), as the trunk would give them."""
        for rows in wanted:
            if len(rows.places) == self._size:
                yield rows, _picked(self._features, rows.index)
            else:
                yield rows, _seen(self._trunk, self._split, rows.places)


def gathered(trunk: Trunk, split: Split, size: int, shown: int, clock: Clock) -> Turns[Gathered | None]:
    """The features of a training split; None where they are not worth two passes over it, or not the same.

    size    images of a batch
    shown   images that the stage is planned to show
    """
    key = "gathered", split.digest, size
    # a stage too short for passes would have asked as often as it shows images
    known = trunk.recall(key, min(1.0, shown / (LOOKS * len(split))))
    if known is None and shown >= PASSES * len(split):
        device = str(split.labels.device)
        before, begun = generators(device), clock.now()
        known = yield from _passes(trunk, split, size, clock)
        if not same(before, generators(device)):  # what it draws is said anew each time
            restore_generators(before, device)
            known = ()
        if known is not None:
            trunk.keep(key, known, clock.now() - begun)
    return Gathered(trunk, split, known[0], size) if known else None


def _passes(trunk: Trunk, split: Split, size: int, clock: Clock) -> Turns[Features | None]:
    """Features of all images, computed in batches of ``size``, each image twice.

    Nothing where an image's depend on the batch, which is worth keeping too; None where there is no room.
    Others get their turn after each batch.
    """
    count, device = len(split), split.labels.device
    features = torch.empty(0)
    for rows, images in split.batches(_arranged(count, size, device)):
        seen = trunk(images)
        if not len(features):
            if not trunk.holds(seen[0].nbytes * count):
                return None
            features = seen.new_empty((count, *seen.shape[1:])).contiguous(memory_format=format_of(seen))
        if rows.new:
            features[rows.places[0] : rows.places[0] + size] = seen[: count - rows.places[0]]
        elif not torch.equal(seen, _picked(features, rows.index)):
            return ()
        yield from clock.pause()
    return (features,)


@dataclass(frozen=True)
class _Looked(Rows):
    """A batch of images that a trunk looks at for the first time, or again."""

    new: bool


def _arranged(count: int, size: int, device: torch.device) -> Iterator[_Looked]:
    """Batches of ``size`` with each of ``count`` images twice: in order, and half a batch on, beside others.

    The second kind comes as soon as all of its images have been there; after the last image comes the first.
    """

    def looked(start: int, new: bool) -> _Looked:
        places = np.arange(start, start + size) % count
        return _Looked(places, torch.from_numpy(places).to(device), new)

    for start in range(0, count, size):
        yield looked(start, True)
        if start:
            yield looked(start - size + size // 2, False)
    yield looked((count - 1) // size * size + size // 2, False)


def _seen(trunk: Trunk, split: Split, places: Index) -> Tensor:
    """Features of the images at ``places`` (B,), from the trunk."""
    ((_, images),) = split.batches([Rows(places, torch.from_numpy(places).to(split.labels.device))])
    return trunk(images)


def _picked(features: Tensor, index: Tensor) -> Tensor:
    """Features (N, …) at ``index`` (B,), laid in memory as they were."""
    if format_of(features) is torch.contiguous_format:
        return features.index_select(0, index)
    return features.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
