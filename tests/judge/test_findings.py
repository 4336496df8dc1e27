"""What a report says is computed as its words promise."""

from __future__ import annotations

import random
import statistics

import pytest

from bench.judge.findings import Mean


@pytest.mark.parametrize("around", [0.0, 0.5, 0.97, -3e4])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 0.02, 5.0])
@pytest.mark.parametrize("seeds", [2, 3, 300])
def test_a_spread_over_seeds_is_the_librarys_and_none_where_all_are_equal(
    around: float, spread: float, seeds: int
) -> None:
    lot = random.Random(seeds)
    values = [lot.gauss(around, spread) if spread else around / 3 for _ in range(seeds)]
    found = Mean.over([*values, None])
    assert found is not None
    assert found.sd == pytest.approx(statistics.stdev(values), rel=1e-12, abs=0)
    assert (found.sd == 0) == (spread == 0)
    assert (found.seeds, found.planned) == (seeds, seeds + 1)
