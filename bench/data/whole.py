"""Images that stay together on every split: duplicates, or groups (patients) where these are known.

How many of them fill a side is counted in images; their order is one of hashes, never of position.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bench.data.images import Ids, Images, Index, Labels
from bench.streams import derive

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
ROUNDING = 1e-9
"""A tie between taking a group and leaving it out, on any machine."""
DEAR = 20.0
"""What an image too many weighs at first, beside one too few: a large group is not taken where smaller ones
fill the side. It is if what it is too large by is less than 1/√20 of what is asked for still."""


@dataclass(frozen=True)
class Wholes:
    """Groups of some of a source's images. G groups, K classes.

    members  G arrays of positions
    counts   (G, K) images of each class in each group
    ids      (N,) uint64 of the whole source
    """

    members: list[Index]
    counts: Counts
    ids: Ids

    @classmethod
    def of(cls, position: Index, group: Index, images: Images) -> Wholes:
        """Groups of the images at ``position`` (M,); ``group`` (N,) says which belong together."""
        _, number = np.unique(group[position], return_inverse=True)
        starts = np.flatnonzero(np.diff(np.sort(number))) + 1
        members = np.split(position[np.argsort(number, kind="stable")], starts) if len(position) else []
        classes = len(images.classes)
        flat = np.bincount(number * classes + images.labels[position], minlength=len(members) * classes)
        return cls(members, flat.reshape(len(members), classes).astype(np.int64), images.ids)

    @cached_property
    def label(self) -> Labels:
        """(G,) the most frequent label of a group, the lowest of equals."""
        return np.asarray(self.counts.argmax(axis=1), dtype=np.int64)

    @cached_property
    def sizes(self) -> list[int]:
        """Images of each group."""
        return [len(members) for members in self.members]

    def ordered(self, seed: int, purpose: str) -> list[int]:
        """All groups, by a hash of (seed, purpose, native pixels): the smallest among a group's images."""
        key = derive(seed, purpose).to_bytes(8, "big")
        place = [
            min(
                hashlib.blake2b(int(i).to_bytes(8, "big"), digest_size=8, key=key).digest()
                for i in self.ids[members]
            )
            for members in self.members
        ]
        return sorted(range(len(place)), key=place.__getitem__)

    def by_class(self, seed: int, purpose: str) -> list[list[int]]:
        """The same, the groups of each class (by their ``label``) apart."""
        classes: list[list[int]] = [[] for _ in range(self.counts.shape[1])]
        for number in self.ordered(seed, purpose):
            classes[self.label[number]].append(number)
        return classes

    def count(self, groups: Iterable[int]) -> int:
        """Images in ``groups``."""
        return sum(self.sizes[number] for number in groups)

    def fill(self, groups: Iterable[int], room: int, largest: int | None = None) -> list[int]:
        """Of ``groups``, in their order, all that fit: ``room`` images in all, ``largest`` in one group."""
        chosen = []
        for number in groups:
            if self.sizes[number] <= min(room, largest or room):
                chosen.append(number)
                room -= self.sizes[number]
        return chosen

    def nearest(self, groups: Sequence[int], share: float) -> list[int]:
        """Of ``groups``, gone through in their order, those that come nearest to a share of every class.

        share  of the images of ``groups``, 0 to 1

        A group is taken if that brings the counts nearer to the share by χ², Σ (images − asked)² / all over
        classes, images too many being ``DEAR``; then what is left is gone through again, with one too many
        no worse than one too few. A class that is left without an image gets its smallest group. Of groups of
        one image each, these are the first ones of each class, as many as the share rounds to, one at least.
        """
        counts = self.counts[groups]
        every = counts.sum(axis=0)

        def far(got: Doubles, dear: float) -> float:
            away = got - share * every
            return float((np.where(away > 0, dear, 1.0) * away**2 / np.maximum(every, 1)).sum())

        got = np.zeros(len(every))
        taken = np.zeros(len(groups), dtype=bool)
        for dear, k in itertools.product((DEAR, 1.0), range(len(groups))):
            if not taken[k] and far(got + counts[k], dear) <= far(got, dear) + ROUNDING:
                taken[k] = True
                got += counts[k]
        for label in np.flatnonzero(every):
            if not counts[taken, label].any():
                having = np.flatnonzero(counts[:, label])
                taken[having[counts[having].sum(axis=1).argmin()]] = True
        return [number for number, is_taken in zip(groups, taken, strict=True) if is_taken]

    def dealt(self, groups: Sequence[int], folds: int) -> list[list[int]]:
        """All of ``groups`` dealt to folds, the largest first: to the fold with least of the same classes.

        Of groups of one image each, every fold gets every k-th of each class.
        """
        weight = 1 / np.maximum(self.counts[groups].sum(axis=0), 1)
        got = np.zeros((folds, self.counts.shape[1]))
        dealt: list[list[int]] = [[] for _ in range(folds)]
        for number in sorted(groups, key=lambda number: -self.sizes[number]):
            overlap = np.round(got @ (weight * self.counts[number]), 9)
            fold = int(np.lexsort((got.sum(axis=1), overlap))[0])
            got[fold] += self.counts[number]
            dealt[fold].append(number)
        return dealt

    def images(self, groups: Iterable[int]) -> Index:
        """Positions of all images of ``groups``, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *(self.members[number] for number in groups)]))
