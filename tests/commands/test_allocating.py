"""``bench plan --hours``: six ways to spend a night, and the one to take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import FLIPS, machine_in, write_study

from bench.commands import allocating
from bench.commands.allocating import Allocation, Seconds, added, allocations
from bench.commands.plan import plan_json, plan_text
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import Planning

ARMS = FLIPS + "".join(f'\na{i} = {{ augment = ["flip", "shift"], batch_size = {8 + i} }}' for i in range(4))
TUNE = """
[tune]
candidates = 8
finalists = 2
final_seeds = 2
[tune.space]
"optimizer.lr" = { low = 1e-3, high = 1e-2 }
"""


def ways(
    folder: Path, hours: float, *, more: str = "", seeds: int = 5, each: float = 360.0
) -> list[Allocation]:
    """Of six arms with a trial of ``each`` seconds, a candidate of a tenth of that, on one worker."""
    study = write_study(folder, seeds=seeds, arms=ARMS)
    study.write_text(study.read_text() + more)
    planning = Planning(study, machine_in(folder), smoked=False)
    labels = [arm.label for arm in planning.study.arms]
    seconds = Seconds(dict.fromkeys(labels, each), dict.fromkeys(labels, each / 10), 1, "hand")
    return allocations(planning.plan(), planning.store, seconds, hours)


def taken(found: list[Allocation]) -> Allocation:
    (one,) = (way for way in found if way.takes)
    return one


def test_there_are_six_ways_the_one_that_is_written_first(tmp_path: Path) -> None:
    found = ways(tmp_path, 8, more=TUNE)
    assert len({(way.arms, way.seeds, way.candidates, way.size_px) for way in found}) == 6
    first = found[0]
    assert (first.arms, first.seeds, first.candidates, first.size_px) == (6, 5, 8, 16)
    # 6 arms × (5 seeds × 0.1 h + (8 candidates + 2 × 2 finals) × 0.01 h)
    assert first.hours == pytest.approx(3.72)


def test_where_time_is_plentiful_the_seeds_that_detect_least_are_taken(tmp_path: Path) -> None:
    one = taken(ways(tmp_path, 8, more=TUNE))
    assert (one.arms, one.seeds, one.candidates) == (6, 12, 8)
    assert one.hours <= 8


def test_a_shorter_search_is_given_up_before_five_seeds_and_arms_last(tmp_path: Path) -> None:
    one = taken(ways(tmp_path, 3.5, more=TUNE))
    assert (one.arms, one.seeds, one.candidates) == (6, 5, 4)
    one = taken(ways(tmp_path, 1.3))
    assert (one.arms, one.size_px) == (3, 16)


def test_more_seeds_and_fewer_arms_detect_less(tmp_path: Path) -> None:
    found = {way.what: way.detects for way in ways(tmp_path, 4)}
    written, fit, half = (found[what] for what in ("as written", "as many seeds as fit", "half the arms"))
    assert None not in (written, fit, half)
    assert float(half or 1) < float(fit or 1) < float(written or 0)


def test_where_nothing_fits_none_is_marked(tmp_path: Path) -> None:
    found = ways(tmp_path, 0.1)
    assert not any(way.takes for way in found)


def test_without_a_finished_trial_or_a_probe_nobody_knows(tmp_path: Path) -> None:
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    with pytest.raises(UserError, match="add --probe"):
        added("plan", study, machine, 8.0, smoked=False)
    assert "--probe trains a few steps of every arm and tells" in plan_text(study, machine, False)


def test_finished_trials_tell_and_the_table_marks_one(tmp_path: Path) -> None:
    study, machine = write_study(tmp_path, seeds=3), machine_in(tmp_path)
    run_study(study, machine, Options(), Terminal(quiet=True))
    text = added("plan", study, machine, 1.0, smoked=False)
    assert "by finished trials" in text
    assert "measured here over 3 seeds" in text
    assert sum("▸" in line and ":" not in line.partition("▸")[2][:24] for line in text.splitlines()) == 1
    assert "bench run --hours 1 begins no seed" in text
    data = json.loads(added(plan_json(study, machine, False), study, machine, 1.0, smoked=False))
    assert sum(way["takes"] for way in data["allocations"]) == 1
    assert len(data["allocations"]) == allocating.WAYS
