"""Who may see which image. The test split is fixed; each seed re-draws training and validation from the rest.

Everything is decided by hashes of pixels, never by position: the order of files and images does not matter,
and arms that differ in outliers, limit or size still agree about most images. Whole duplicate groups stay
together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.data.images import TEST, TRAIN, VAL, Development, Ids, Images, Index, Labels
from bench.data.outliers import Findings, find
from bench.errors import UserError, shorten
from bench.plan import Replicate
from bench.recipe import Data, Split
from bench.streams import derive

SHOWN_CLASSES = 20


def test_indices(
    images: Images,
    data: Data,
    replicate: Replicate,
    findings: Findings | None = None,  # noqa: PT028 - not a test
) -> Index:
    """Positions (T,), ascending, of the local test set.

    The source's own test split without its outliers; with shares, the first share of each class's cleaned
    duplicate groups; with folds, every k-th of those groups, starting at the fold. The same for every seed,
    and whether outliers are kept or dropped.
    """
    findings = findings or find(images)
    clean = np.flatnonzero(~findings.outlier)
    if _is_official(images, data, replicate):
        own_test: Index = clean[_own_split(images)[clean] == TEST]
        return own_test
    groups = _Groups.of(clean, findings.clean_group, images)
    share = (data.split if isinstance(data.split, Split) else Split()).test
    chosen: list[int] = []
    for mine in groups.by_class(data.split_seed, "test"):
        if replicate.fold is not None:
            chosen += mine[replicate.fold :: replicate.folds]
        elif mine:
            chosen += mine[: max(1, int(share * len(mine) + 0.5))]
    return groups.images(chosen)


test_indices.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test's


def development(
    images: Images, data: Data, replicate: Replicate, findings: Findings | None = None
) -> Development:
    """Training and validation images of one replicate, copied out of the source.

    Raises UserError that lists every class with too few images for three sides.
    """
    findings = findings or find(images)
    test = test_indices(images, data, replicate, findings)
    rest, group = _rest(test, data, findings)
    if _is_official(images, data, replicate):
        train, val = _official(rest, group, images, data)
    else:
        train, val = _drawn(rest, group, images, data, replicate)
    _require_every_class(images, {"train": train, "validation": val, "test": test})
    return Development(images.take(train), images.take(val), images.classes)


def _is_official(images: Images, data: Data, replicate: Replicate) -> bool:
    """Whether the source's own split is used; cross-validation pools all of its images."""
    if data.split == "official" and images.split is None:
        raise UserError(
            f'[data] split = "official": {shorten(data.source, 200)} has no split of its own\n'
            "    leave split out, or give shares: { train = 0.8, val = 0.1, test = 0.1 }"
        )
    return images.split is not None and not isinstance(data.split, Split) and replicate.fold is None


def _own_split(images: Images) -> Index:
    """(N,) int64: the source's own split."""
    if images.split is None:
        raise ValueError("this source has no split of its own")
    return images.split.astype(np.int64)


def _rest(test: Index, data: Data, findings: Findings) -> tuple[Index, Index]:
    """Positions that training and validation may use, and the group (N,) of every image that then counts.

    Kept outliers join here, except those that are duplicates of a test image.
    """
    if data.outliers == "drop":
        group, usable = findings.clean_group, ~findings.outlier
    else:
        group, usable = findings.group, np.ones(len(findings.outlier), dtype=bool)
    return np.flatnonzero(usable & ~np.isin(group, group[test])), group


def _official(rest: Index, group: Index, images: Images, data: Data) -> tuple[Index, Index]:
    """The source's own training and validation images; a group on both sides stays in validation only."""
    side = _own_split(images)[rest]
    train, val = rest[side == TRAIN], rest[side == VAL]
    train = train[~np.isin(group[train], group[val])]
    if data.limit is None or data.limit >= len(train) + len(val):
        return train, val
    sides = [_Groups.of(position, group, images) for position in (train, val)]
    ordered = [groups.by_class(data.split_seed, "limit") for groups in sides]
    strata = [(groups, mine) for groups, classes in zip(sides, ordered, strict=True) for mine in classes]
    chosen = _limited(strata, data.limit, at_least=1)
    count = len(images.classes)
    return sides[0].images(_flat(chosen[:count])), sides[1].images(_flat(chosen[count:]))


def _drawn(
    rest: Index, group: Index, images: Images, data: Data, replicate: Replicate
) -> tuple[Index, Index]:
    """Training and validation, drawn by the replicate's seed: in each class whole groups up to the share.

    A group's place in the draw is a hash of (seed, pixels): arms with other outliers or limits draw alike.
    """
    groups = _Groups.of(rest, group, images)
    shares = data.split if isinstance(data.split, Split) else Split()
    allowed = set(range(len(groups.members)))
    if data.limit is not None and data.limit < len(rest):
        strata = [(groups, mine) for mine in groups.by_class(data.split_seed, "limit")]
        allowed = set(_flat(_limited(strata, data.limit, at_least=2)))
    train: list[int] = []
    val: list[int] = []
    for mine in groups.by_class(replicate.split_seed, "split"):
        mine = [number for number in mine if number in allowed]
        wanted = groups.count(mine) * shares.val / (shares.train + shares.val)
        drawn = groups.fill(mine, max(1, int(wanted + 0.5)))
        if not drawn and len(mine) > 1:
            drawn = [min(mine, key=lambda number: len(groups.members[number]))]
        val += drawn
        train += [number for number in mine if number not in set(drawn)]
    return groups.images(train), groups.images(val)


def _limited(strata: list[tuple[_Groups, list[int]]], limit: int, at_least: int) -> list[list[int]]:
    """Groups of each stratum that a limit leaves: in proportion, in the order given.

    A group that would take more than half of its stratum's room is passed over, so that two always fit.
    """
    if limit < at_least * len(strata):
        raise UserError(
            f"[data] limit = {limit} is too small: training and validation together need at least "
            f"{at_least * len(strata)} images, to have every class on both sides"
        )
    rooms = _apportion([groups.count(mine) for groups, mine in strata], limit, at_least)
    return [
        groups.fill(mine, room, max(1, room // 2)) for (groups, mine), room in zip(strata, rooms, strict=True)
    ]


def _apportion(counts: list[int], limit: int, at_least: int) -> list[int]:
    """``limit`` dealt out in proportion to ``counts`` by largest remainders, nobody under ``at_least``."""
    exact = np.array(counts) * limit / sum(counts)
    rooms = np.floor(exact).astype(int)
    rooms[np.argsort(rooms - exact, kind="stable")[: limit - rooms.sum()]] += 1
    while rooms.min() < at_least:
        rooms[rooms.argmin()] += 1
        rooms[rooms.argmax()] -= 1
    return [int(room) for room in rooms]


def _flat(lists: Iterable[list[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]


def _require_every_class(images: Images, sides: dict[str, Index]) -> None:
    """Raises UserError that lists every class missing from a side."""
    count = len(images.classes)
    seen = {name: np.bincount(images.labels[index], minlength=count) for name, index in sides.items()}
    short = [k for k in range(count) if any(per_class[k] == 0 for per_class in seen.values())]
    if not short:
        return
    every = np.bincount(images.labels, minlength=count)
    lines = [
        f"  {images.classes[k]}: {every[k]} images, of which "
        + ", ".join(f"{per_class[k]} {name}" for name, per_class in seen.items())
        for k in short[:SHOWN_CLASSES]
    ]
    if every[0] == 0 and every[1:].all():
        lines.append("  the labels start at 1, and they are counted from 0: subtract 1 from each")
    more = f"\n  … and {len(short) - SHOWN_CLASSES} more" if len(short) > SHOWN_CLASSES else ""
    raise UserError(
        f"{len(short)} of {count} classes have too few images for training, validation and test\n"
        + "\n".join(lines)
        + more
        + "\n    add images, leave out these (drop_classes), or raise [data] limit; duplicates count once"
    )


@dataclass(frozen=True)
class _Groups:
    """Duplicate groups of some of a source's images. G groups.

    members  G arrays of positions
    label    (G,) int64: the most frequent label of a group, the lowest of equals
    ids      (N,) uint64 of the whole source
    classes  K
    """

    members: list[Index]
    label: Labels
    ids: Ids
    classes: int

    @classmethod
    def of(cls, position: Index, group: Index, images: Images) -> _Groups:
        """Groups of the images at ``position`` (M,); ``group`` (N,) says which belong together."""
        _, number = np.unique(group[position], return_inverse=True)
        starts = np.flatnonzero(np.diff(np.sort(number))) + 1
        members = np.split(position[np.argsort(number, kind="stable")], starts) if len(position) else []
        classes = len(images.classes)
        pair, count = np.unique(number * classes + images.labels[position], return_counts=True)
        best = np.lexsort((pair, -count, pair // classes))
        first = np.unique(pair[best] // classes, return_index=True)[1]
        return cls(members, pair[best][first] % classes, images.ids, classes)

    def by_class(self, seed: int, purpose: str) -> list[list[int]]:
        """Groups of each class, ordered by a hash of (seed, purpose, native pixels).

        The smallest hash among a group's images gives its place.
        """
        key = derive(seed, purpose).to_bytes(8, "big")
        place = [
            min(
                hashlib.blake2b(int(i).to_bytes(8, "big"), digest_size=8, key=key).digest()
                for i in self.ids[members]
            )
            for members in self.members
        ]
        classes: list[list[int]] = [[] for _ in range(self.classes)]
        for number in sorted(range(len(place)), key=place.__getitem__):
            classes[self.label[number]].append(number)
        return classes

    def count(self, groups: Iterable[int]) -> int:
        """Images in ``groups``."""
        return sum(len(self.members[number]) for number in groups)

    def fill(self, groups: Iterable[int], room: int, largest: int | None = None) -> list[int]:
        """Of ``groups``, in their order, all that fit: ``room`` images in all, ``largest`` in one group."""
        chosen = []
        for number in groups:
            size = len(self.members[number])
            if size <= min(room, largest or room):
                chosen.append(number)
                room -= size
        return chosen

    def images(self, groups: Iterable[int]) -> Index:
        """Positions of all images of ``groups``, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *(self.members[number] for number in groups)]))
