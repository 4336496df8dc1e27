"""What ``bench plan`` says a study can detect."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from studies import FakeLocator, read

from bench import stats
from bench.commands import detectable
from bench.plan import Plan, make_plan
from bench.store import Store

HEAVY = '[hidden.heavy]\nkind = "corrupted"\nimages = 40\n'
ARMS = '[arms]\nnone = {}\nflips = { augment = ["flip"] }\ncutmix = { augment = ["cutmix"] }\n'
CLAIM = '[[claims]]\nsays = "x"\nbetter = "flips"\nthan = "cutmix"\nmetric = "local.accuracy"\n'


def plan(rest: str = ARMS, *, name: str = "tiny", top: str = "", seeds: int = 5) -> Plan:
    made = make_plan(read(rest, top=top), FakeLocator())
    return replace(made, study=made.study.model_copy(update={"name": name, "seeds": tuple(range(seeds))}))


def measured(store: Store, other: Plan, rows: str, at: int = 0) -> None:
    """Another study's folder, as its report leaves it."""
    folder = store.study_dir(other.study.name)
    store.write_text(folder / "plan.json", other.file.model_dump_json())
    store.write_text(folder / "tables" / "noise.csv", "set,metric,key,sigma,f,seeds,images\n" + rows)
    os.utime(folder / "tables" / "noise.csv", (at, at))


def key(of: Plan, name: str) -> str:
    return next(one.key for one in of.runs[0].sets if one.name == name)


def smallest(sigma: float, f: float, seeds: int, images: int, family: int) -> str:
    found = stats.smallest_effect(stats.assumed(sigma, f, seeds, images), stats.level(seeds), family)
    return detectable.points(found)


def test_without_measured_noise_three_lines_are_assumed(tmp_path: Path):
    lines = detectable.lines(plan(ARMS + HEAVY + CLAIM), Store(tmp_path))
    assert lines[0] == "assumed, not measured: no other study here has scored this set"
    assert lines[1] == f"detects {smallest(0.015, 0.03, 5, 40, 3)} or more if the seed sd is 1.5 points"
    assert len(lines) == 4


def test_a_local_set_is_less_noisy_and_its_size_is_told_by_the_drawings(tmp_path: Path):
    lines = detectable.lines(plan(), Store(tmp_path))
    assert lines[1] == f"detects {smallest(0.003, 0.003, 5, 200, 2)} or more if the seed sd is 0.3 points"


def test_the_latest_other_study_of_the_same_set_is_believed(tmp_path: Path):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY)
    row = f"heavy,accuracy,{key(mine, 'heavy')},0.02,0.01,5,40\n"
    measured(store, plan(ARMS + HEAVY, name="older"), row.replace("0.02", "0.05"), at=1)
    measured(store, plan(ARMS + HEAVY, name="newer"), row, at=2)
    lines = detectable.lines(mine, store)
    upper = smallest(stats.upper_sigma(0.02, 5), 0.01, 5, 40, 2)
    assert lines == [
        f"detects {smallest(0.02, 0.01, 5, 40, 2)} or more (seed sd 2 points measured in newer over 5 seeds; "
        f"{upper} if that was a lucky draw)",
        f"with seeds = 8: {smallest(0.02, 0.01, 8, 40, 2)}",
    ]


@pytest.mark.parametrize(
    "row",
    [
        "heavy,accuracy,{key},0.02,0.01,2,40",  # too few seeds
        "heavy,auc,{key},0.02,0.01,5,40",
        "heavy,accuracy,another,0.02,0.01,5,40",
        "heavy,accuracy,{key},broken,0.01,5,40",
        "heavy",
    ],
)
def test_noise_of_anything_else_is_not(tmp_path: Path, row: str):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY)
    measured(store, plan(ARMS + HEAVY, name="other"), row.format(key=key(mine, "heavy")))
    assert detectable.lines(mine, store)[0].startswith("assumed, not measured")


def test_a_study_does_not_plan_itself(tmp_path: Path):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY)
    measured(store, mine, f"heavy,accuracy,{key(mine, 'heavy')},0.02,0.01,5,40\n")
    assert detectable.lines(mine, store)[0].startswith("assumed, not measured")


def test_nothing_is_said_where_nothing_is_compared(tmp_path: Path):
    assert detectable.lines(plan("[arms]\nnone = {}\n"), Store(tmp_path)) == []


def test_fewer_than_three_seeds_decide_nothing(tmp_path: Path):
    assert detectable.lines(plan(seeds=2), Store(tmp_path)) == ["no verdict with fewer than 3 seeds"]
