import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.streams import derive, stream


# These numbers may never change: every stored trial was drawn with them.
@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        ((0, "order"), 5618756638689033999),
        ((0, "order", 1), 2961819992523135983),
        ((9999, "augment", 3, 14), 8149388329824281881),
    ],
)
def test_derived_seeds_never_change(arguments: tuple[int, str], seed: int):
    assert derive(*arguments) == seed


def test_draws_never_change():
    assert stream(0, "order").integers(0, 1000, 6).tolist() == [96, 39, 928, 828, 482, 774]
    assert stream(0, "order", 1).permutation(8).tolist() == [6, 3, 5, 0, 7, 1, 4, 2]
    assert stream(1, "init").random(3).round(8).tolist() == [0.507991, 0.69387436, 0.92932152]


def test_a_seed_is_the_first_63_bits_of_a_hash_of_what_it_is_for():
    digest = hashlib.blake2b(b"7/order/2/3", digest_size=8).digest()
    assert derive(7, "order", 2, 3) == int.from_bytes(digest, "big") // 2


@settings(max_examples=50)
@given(st.integers(0, 30_000), st.text(max_size=8), st.lists(st.integers(0, 10**6), max_size=3))
def test_a_derived_seed_fits_torchs_signed_64_bits(seed: int, purpose: str, counters: list[int]):
    assert 0 <= derive(seed, purpose, *counters) < 2**63


def test_the_same_arguments_give_the_same_draws():
    assert np.array_equal(stream(3, "augment", 1).random(100), stream(3, "augment", 1).random(100))


def test_seeds_purposes_and_counters_give_different_streams():
    calls = [
        (s, p, *c) for s in range(20) for p in ("init", "order", "augment") for c in ((), (0,), (1,), (0, 1))
    ]
    assert len({derive(*call) for call in calls}) == len(calls)


def test_streams_are_uncorrelated():
    # 400 streams: the correlation of any two of 2000 normal draws has sd 1/√2000 ≈ 0.022; 7 sd never happens.
    draws = np.stack(
        [stream(seed, "augment", step).standard_normal(2000) for seed in range(20) for step in range(20)]
    )
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 7 / np.sqrt(2000)


def test_drawing_more_from_one_stream_shifts_no_other():
    expected = stream(0, "order", 5).random(4)
    greedy = stream(0, "augment", 5)
    greedy.random(10_000)
    assert np.array_equal(stream(0, "order", 5).random(4), expected)


def test_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()
    stream(0, "order").random(10)
    assert np.random.get_state()[1].tolist() == before
