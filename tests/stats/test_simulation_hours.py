"""Studies that a night ends, 400 of some kinds; ``just coverage`` draws 4,000 of all."""

from __future__ import annotations

import numpy as np
import pytest
from simulation_hours import KINDS, Durations, begun, row


@pytest.mark.parametrize("kind", [KINDS[2], KINDS[4]], ids=lambda kind: kind.name)
def test_a_night_leaves_intervals_what_they_promise(kind: Durations) -> None:
    cells = row(kind, 1, 4.6, 400, 1).split("|")
    coverage, false = (float(cells[place].partition("±")[0]) for place in (4, 5))
    assert coverage > 0.92
    assert false < 0.08


def test_a_budget_begins_whole_seeds_then_the_shortest_pairs() -> None:
    seconds = np.full((3, 9), 10.0)
    seconds[2] = 30.0
    assert begun(seconds, seconds < 0, 3 * 50.0).tolist() == [3, 3, 3]
    assert begun(seconds, seconds < 0, 3 * 50.0 + 20.0).tolist() == [4, 4, 3]
    assert begun(seconds, seconds < 0, 3 * 50.0 - 1.0).tolist() == [3, 3, 2]
