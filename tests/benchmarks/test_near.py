"""Searching hashes for near-duplicates: the index against looking at every pair, and a million of them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bench.data.images import Ids
from bench.data.near import NEAR_BITS, chains, close_pairs

FEW, MANY = 20_000, 1_000_000
SECONDS = 180
"""Bar for a million on one core; it takes a small part of that."""


def hashes(count: int) -> Ids:
    """Distinct ones, every twentieth a near-duplicate of another."""
    made = np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64)
    made[::20] = np.roll(made, 7)[::20] ^ np.uint64(0b1010_0000_0000_0001)
    return np.unique(made)


def every_pair(given: Ids) -> int:
    """How many are close, 256 rows at a time against all that follow."""
    close = 0
    for start in range(0, len(given), 256):
        near = np.bitwise_count(given[start : start + 256, None] ^ given[None, start:]) <= NEAR_BITS
        close += int(np.triu(near, 1).sum())
    return close


def took(what: Any) -> tuple[float, Any]:
    """CPU seconds, and what came out."""
    begun = time.process_time()
    found = what()
    return time.process_time() - begun, found


@pytest.mark.slow
def test_the_index_beats_looking_at_every_pair(benchmark: Any) -> None:
    given = hashes(FEW)
    rounds = [
        (took(lambda: every_pair(given)), took(lambda: sum(len(left) for left, _ in close_pairs(given))))
        for _ in range(3)
    ]
    assert all(slow[1] == fast[1] > FEW // 25 for slow, fast in rounds)
    ratio = float(np.median([slow[0] / fast[0] for slow, fast in rounds]))
    benchmark.extra_info.update(ratio=ratio)
    benchmark.pedantic(lambda: None)
    print(f"\n{len(given):,} hashes: every pair takes {ratio:.0f} times as long as the index")
    assert ratio > 3


@pytest.mark.slow
def test_a_million_hashes_are_searched_within_three_minutes(benchmark: Any) -> None:
    given = hashes(MANY)
    seconds, (every, _) = took(lambda: chains(given, np.ones(len(given), bool)))
    benchmark.extra_info.update(seconds=seconds)
    benchmark.pedantic(lambda: None)
    print(f"\n{len(given):,} hashes in {len(np.unique(every)):,} chains: {seconds:.1f} s (bar {SECONDS})")
    assert seconds < SECONDS
