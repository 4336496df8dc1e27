from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import near
from bench.data.images import Ids, Mask
from bench.data.near import NEAR_BITS, chains, close_pairs, close_to


def hashes_of(*values: int) -> Ids:
    return np.array(values, dtype=np.uint64)


def crowded(count: int, seed: int = 0) -> Ids:
    """Distinct hashes, ascending, most of them a few flipped bits away from another."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, max(1, count // 8), dtype=np.uint64)
    made = centres[rng.integers(0, len(centres), count)]
    for _ in range(5):  # up to 5 each: pairs of 0 to 10 bits
        made ^= np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
    return np.unique(made)


def listed(blocks: object) -> list[tuple[int, int]]:
    return sorted((int(a), int(b)) for left, right in blocks for a, b in zip(left, right, strict=True))  # type: ignore[attr-defined]


def one_by_one(hashes: Ids, others: Ids) -> list[tuple[int, int]]:
    """Every close pair, by looking at all."""
    found = np.nonzero(np.bitwise_count(hashes[:, None] ^ others) <= NEAR_BITS)
    return sorted(zip(found[0].tolist(), found[1].tolist(), strict=True))


def test_pairs_up_to_six_bits_apart_are_close_and_seven_are_not() -> None:
    hashes = hashes_of(0, 0b111111, 0b1111111, 2**64 - 1)
    assert listed(close_pairs(hashes)) == [(0, 1), (1, 2)]


@given(st.sets(st.integers(0, 63), max_size=8), st.integers(0, 2**64 - 1))
def test_a_pair_is_found_wherever_its_bits_differ(bits: set[int], one: int) -> None:
    other = one ^ sum(1 << bit for bit in bits)
    found = listed(close_pairs(hashes_of(one, other)))
    assert found == ([(0, 1)] if len(bits) <= NEAR_BITS else [])


@pytest.mark.parametrize("spread", [(2, 2, 2, 0), (2, 2, 1, 1), (1, 1, 1, 3), (0, 0, 0, 6), (2, 0, 2, 2)])
def test_six_bits_are_found_however_they_spread_over_the_bands(spread: tuple[int, ...]) -> None:
    differ = sum(((1 << count) - 1) << (16 * band) for band, count in enumerate(spread))
    assert listed(close_pairs(hashes_of(5, 5 ^ differ))) == [(0, 1)]


@given(st.integers(1, 300), st.integers(0, 2**32))
def test_the_index_finds_the_pairs_that_looking_at_all_finds_and_each_once(count: int, seed: int) -> None:
    hashes = crowded(count, seed)
    assert listed(close_pairs(hashes)) == [(a, b) for a, b in one_by_one(hashes, hashes) if a < b]


@given(st.integers(0, 60), st.integers(0, 200), st.integers(0, 2**32))
def test_hashes_are_found_among_others(some: int, count: int, seed: int) -> None:
    others = crowded(count, seed)
    hashes = np.concatenate([others[::2], crowded(some, seed + 1)]) ^ np.uint64(0b101)
    assert listed(close_to(hashes, others)) == one_by_one(hashes, others)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_how_many_are_looked_at_together_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = crowded(400)
    kept = np.arange(len(hashes)) % 3 > 0
    pairs, chained = listed(close_pairs(hashes)), chains(hashes, kept)
    monkeypatch.setattr(near, "BLOCK", block)
    assert listed(close_pairs(hashes)) == pairs
    for before, after in zip(chained, chains(hashes, kept), strict=True):
        np.testing.assert_array_equal(before, after)


def test_hashes_without_any_other_have_no_pair() -> None:
    assert listed(close_pairs(hashes_of())) == listed(close_pairs(hashes_of(3))) == []
    assert [len(number) for number in chains(hashes_of(), np.zeros(0, bool))] == [0, 0]


def naive_chains(hashes: Ids, kept: Mask) -> list[int]:
    """The first member of each hash's chain."""
    first = list(range(len(hashes)))
    for a, b in one_by_one(hashes, hashes):
        if kept[a] and kept[b] and first[a] != first[b]:
            low, high = sorted((first[a], first[b]))
            first = [low if number == high else number for number in first]
    return first


@given(st.integers(1, 120), st.integers(0, 2**32))
def test_chains_link_all_or_only_what_is_kept(count: int, seed: int) -> None:
    hashes = crowded(count, seed)
    kept = np.random.default_rng(seed).random(len(hashes)) < 0.7
    for numbers, linking in zip(chains(hashes, kept), (np.ones_like(kept), kept), strict=True):
        first = naive_chains(hashes, linking)
        assert numbers.tolist() == np.unique(first, return_inverse=True)[1].tolist()


def test_chains_are_searched_for_once_and_found_by_every_later_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes, kept = crowded(200), np.arange(len(crowded(200))) % 5 > 0
    told: list[tuple[int, int]] = []
    first = chains(hashes, kept, tmp_path, lambda *at: told.append(at))
    assert told[-1] == (52, 52)
    monkeypatch.setattr(near, "_chains", lambda *_: pytest.fail("searched again"))
    again = chains(hashes, kept, tmp_path)
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


def test_other_hashes_or_other_kept_ones_are_not_taken_for_them(tmp_path: Path) -> None:
    hashes = hashes_of(0, 1, 2**40 - 1)
    kept = np.array([True, True, True])
    assert chains(hashes, kept, tmp_path)[1].tolist() == [0, 0, 1]
    assert chains(hashes, ~kept, tmp_path)[1].tolist() == [0, 1, 2]
    assert chains(hashes_of(0, 2**39 - 1, 2**40 - 1), kept, tmp_path)[1].tolist() == [0, 1, 1]


@pytest.mark.parametrize("damage", [b"", b"no archive"])
def test_a_damaged_file_is_found_out_and_written_anew(damage: bytes, tmp_path: Path) -> None:
    hashes, kept = crowded(50), np.ones(len(crowded(50)), bool)
    whole = chains(hashes, kept, tmp_path)
    (file,) = (tmp_path / "duplicates").glob("*.npz")
    content = file.read_bytes()
    flipped = content[:200] + bytes([content[200] ^ 1]) + content[201:]
    for broken in (damage, flipped, content[:-40]):
        file.write_bytes(broken)
        for before, after in zip(whole, chains(hashes, kept, tmp_path), strict=True):
            np.testing.assert_array_equal(before, after)
        assert file.read_bytes() == content


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "duplicates").write_text("a file in the way")
    assert chains(hashes_of(0, 1), np.ones(2, bool), tmp_path)[0].tolist() == [0, 0]
