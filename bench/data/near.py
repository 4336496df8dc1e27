"""Near-duplicates: hashes that differ in few bits, found by an index, and the chains that they make.

A hash has four bands of 16 bits. Where two hashes differ in at most 6 bits, one of the first three bands
differs in at most one, or else the fourth does not differ at all: 3 · 2 + 1 > 6. So it is enough to look
where a band is the same and, for the first three, where it differs in one bit. Source: Norouzi, Punjani and
Fleet 2012, "Fast search in Hamming space with multi-index hashing", proposition 2.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.claims import alone
from bench.data.images import Ids, Index, Mask
from bench.files import Count, opened, write_whole

NEAR_BITS = 6
"""Largest Hamming distance of two near-duplicates. Much more chains ordinary images together."""
RADII = (1, 1, 1, 0)
"""Bits by which each band, lowest first, may differ in what is looked at."""
BAND_BITS = 16
BLOCK = 1 << 17
"""Candidates that are looked at together: what they take stays in a processor's cache."""
VERSION = 1
"""Raised when other hashes would be chained."""

Bands = npt.NDArray[np.uint16]


def close_pairs(hashes: Ids, progress: Count | None = None) -> Iterator[tuple[Index, Index]]:
    """Every pair among ``hashes`` (M,) that differs in at most ``NEAR_BITS`` bits, once, block by block.

    progress   called with (lookups done, lookups in all)
    yields     positions (E,), (E,): the left one is the smaller
    """
    for one, other in _close(hashes, None, progress):
        yield np.minimum(one, other), np.maximum(one, other)


def close_to(hashes: Ids, others: Ids) -> Iterator[tuple[Index, Index]]:
    """Every hash (Q,) with every one of ``others`` (M,) that it is near: positions (E,), (E,), in blocks."""
    yield from _close(hashes, others)


@dataclass(frozen=True)
class _Sorted:
    """Hashes (M,) in the order of one of their bands."""

    order: Index
    hashes: Ids
    band: Bands

    @classmethod
    def by(cls, hashes: Ids, number: int) -> _Sorted:
        """By band ``number``, from 0."""
        band = (hashes >> np.uint64(BAND_BITS * number)).astype(np.uint16)
        order = np.argsort(band, kind="stable")
        return cls(order, hashes[order], band[order])


def _close(hashes: Ids, others: Ids | None, progress: Count | None = None) -> Iterator[tuple[Index, Index]]:
    """Close pairs of ``hashes`` and ``others``; None: among themselves, one way round."""
    lookups = [(number, flip) for number, radius in enumerate(RADII) for flip in _flips(radius)]
    mine = theirs = _Sorted.by(hashes[:0], 0)
    for done, (number, flip) in enumerate(lookups, 1):
        if not flip:
            mine = _Sorted.by(hashes, number)
            theirs = mine if others is None else _Sorted.by(others, number)
            starts = np.searchsorted(theirs.band, np.arange(2**BAND_BITS + 1))
        wanted = (mine.band ^ np.uint16(flip)).astype(np.int64)
        first, last = starts[wanted], starts[wanted + 1]
        if others is None:  # of (a, b) and (b, a) the one that counts up
            first = np.maximum(first, np.arange(1, len(hashes) + 1))
        for row, place in _expanded(first, last):
            differ = mine.hashes[row] ^ theirs.hashes[place]
            near = np.flatnonzero(np.bitwise_count(differ) <= NEAR_BITS)
            near = near[~_seen_before(differ[near], number)]
            yield mine.order[row[near]], theirs.order[place[near]]
        if progress:
            progress(done, len(lookups))


def _flips(radius: int) -> list[int]:
    return [0] + [1 << bit for bit in range(BAND_BITS)] * radius


def _seen_before(differ: Ids, number: int) -> Mask:
    """Whether pairs that differ in these bits (E,) were found by a band before band ``number``."""
    seen = np.zeros(len(differ), dtype=bool)
    for earlier in range(number):
        band = (differ >> np.uint64(BAND_BITS * earlier)).astype(np.uint16)
        seen |= np.bitwise_count(band) <= RADII[earlier]
    return seen


def _expanded(first: Index, last: Index) -> Iterator[tuple[Index, Index]]:
    """Ranges ``first`` to ``last`` (M,) written out: row and place of some ``BLOCK`` candidates at a time."""
    rows = np.flatnonzero(last > first)
    if not len(rows):
        return
    first, lengths = first[rows], (last - first)[rows]
    ends = np.cumsum(lengths)
    cuts = np.unique(np.searchsorted(ends, np.arange(0, ends[-1], BLOCK))).tolist()
    for start, stop in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        some = lengths[start:stop]
        before = np.cumsum(some) - some
        place = np.arange(some.sum()) + np.repeat(first[start:stop] - before, some)
        yield np.repeat(rows[start:stop], some), place


def chains(
    hashes: Ids, kept: Mask, cache: Path | None = None, progress: Count | None = None
) -> tuple[Index, Index]:
    """Number (M,) of the chain that each of M hashes belongs to: among all of them, and among the kept.

    kept       (M,) bool: in the latter, one that is not kept is alone and links no others

    cache      where it is looked up, and kept for every later process; two that want the same find it once
    progress   called with (lookups done, lookups in all)
    returns    numbers that count up by first members
    """
    if cache is None:
        return _chains(hashes, kept, progress)
    digest = hashlib.sha256(hashes.tobytes() + kept.tobytes()).hexdigest()
    file = cache / "duplicates" / f"{digest[:32]}-{VERSION}.npz"
    known = _read(file, len(hashes))
    if known is not None:
        return known
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, never a result
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(cache, f"duplicates-{file.stem}"))
        known = _read(file, len(hashes))
        if known is not None:
            return known
        found = _chains(hashes, kept, progress)
        with contextlib.suppress(OSError):
            every, clean = (chain.astype(np.int32) for chain in found)
            write_whole(file, lambda file: np.savez(file, every=every, clean=clean), safe=False)
    return found


def _read(file: Path, count: int) -> tuple[Index, Index] | None:
    """What the cache holds, or None when it holds nothing or is damaged: an archive has checksums."""
    try:
        with opened(file) as content, np.load(content, allow_pickle=False) as stored:
            every, clean = stored["every"].astype(np.int64), stored["clean"].astype(np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return (every, clean) if every.shape == clean.shape == (count,) else None


def _chains(hashes: Ids, kept: Mask, progress: Count | None) -> tuple[Index, Index]:
    every, clean = _Chains(len(hashes)), _Chains(len(hashes))
    for left, right in close_pairs(hashes, progress):
        every.link(left, right)
        used = kept[left] & kept[right]
        clean.link(left[used], right[used])
    return every.numbers(), clean.numbers()


class _Chains:
    """Chains of M things, linked a few at a time: it keeps few more links than there are things."""

    def __init__(self, count: int) -> None:
        self._number: Index = np.arange(count)
        self._links: list[tuple[Index, Index]] = []
        self._waiting = 0

    def link(self, left: Index, right: Index) -> None:
        """Join the chains of ``left`` (E,) and ``right`` (E,), pair by pair."""
        left, right = self._number[left], self._number[right]
        apart = left != right
        self._links.append((left[apart], right[apart]))
        self._waiting += int(apart.sum())
        if self._waiting > len(self._number) + BLOCK:
            self.numbers()

    def numbers(self) -> Index:
        """Number (M,) of each thing's chain, counting up by first members."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if self._links:
            left, right = (np.concatenate(ends) for ends in zip(*self._links, strict=True))
            count = int(self._number.max()) + 1
            links = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
            chain = connected_components(links, directed=False)[1].astype(np.int64)
            self._number = chain[self._number]
        self._links, self._waiting = [], 0
        return self._number
