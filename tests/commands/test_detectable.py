"""What ``bench plan`` says a study can detect."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from studies import FakeLocator, read

from bench import stats
from bench.commands import detectable
from bench.data.fingerprint import locate
from bench.machine import Machine
from bench.plan import Plan, Source, make_plan
from bench.recipe import Data
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


COARSE = "δ of 1 point is less than one image of 40, 2.5 points"


def key(of: Plan, name: str) -> str:
    return next(one.key for one in of.runs[0].sets if one.name == name)


def smallest(sigma: float, f: float, seeds: int, images: int, family: int) -> str:
    found = stats.smallest_effect(stats.assumed(sigma, f, seeds, images), stats.level(seeds), family)
    return detectable.points(found)


def test_without_measured_noise_three_lines_are_assumed(tmp_path: Path):
    lines = detectable.lines(plan(ARMS + HEAVY + CLAIM), Store(tmp_path))
    assert lines[0] == "assumed, not measured: no other study here has scored this set"
    assert lines[1] == f"detects {smallest(0.015, 0.03, 5, 40, 3)} or more if the seed sd is 1.5 points"
    assert lines[4:] == [COARSE]


def test_a_local_set_is_less_noisy_and_its_size_is_told_by_the_drawings(tmp_path: Path):
    lines = detectable.lines(plan(), Store(tmp_path))
    assert lines[1] == f"detects {smallest(0.003, 0.003, 5, 200, 2)} or more if the seed sd is 0.3 points"


def test_a_search_that_splits_otherwise_hides_no_count(tmp_path: Path):
    made = plan()
    data = made.study.data.model_copy(update={"val_images": 1000})
    searches = [replace(run, trial=replace(run.trial, data=data)) for run in made.runs]
    searching = replace(made, runs=(), pending=tuple(searches))
    assert detectable.lines(searching, Store(tmp_path)) == detectable.lines(made, Store(tmp_path))


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
        COARSE,
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


def test_a_studys_own_finished_seeds_come_before_a_later_study(tmp_path: Path):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY, seeds=8)
    row = f"heavy,accuracy,{key(mine, 'heavy')},0.02,0.01,4,200\n"
    measured(store, mine, row, at=1)
    measured(store, plan(ARMS + HEAVY, name="later"), row.replace("0.02", "0.05"), at=2)
    upper = smallest(stats.upper_sigma(0.02, 4), 0.01, 8, 200, 2)
    assert detectable.lines(mine, store) == [
        f"detects {smallest(0.02, 0.01, 8, 200, 2)} or more (seed sd 2 points measured here over 4 seeds; "
        f"{upper} if that was a lucky draw)"
    ]


@pytest.mark.parametrize(
    ("images", "told"), [(99, "δ of 1 point is less than one image of 99, 1 point"), (100, "")]
)
def test_a_difference_of_less_than_one_image_is_told(tmp_path: Path, images: int, told: str):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY, seeds=8)
    measured(store, mine, f"heavy,accuracy,{key(mine, 'heavy')},0.02,0.01,5,{images}\n")
    assert detectable.lines(mine, store)[1:] == ([told] if told else [])


def test_nothing_is_said_where_nothing_is_compared(tmp_path: Path):
    assert detectable.lines(plan("[arms]\nnone = {}\n"), Store(tmp_path)) == []


def test_fewer_than_three_seeds_decide_nothing(tmp_path: Path):
    assert detectable.lines(plan(seeds=2), Store(tmp_path)) == ["no verdict with fewer than 3 seeds"]


def folder_of(root: Path, **classes: int) -> Source:
    """Where so many empty images lie, as planning finds them."""
    for name, number in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(number):
            (root / name / f"{i}.png").touch()
    (root / next(iter(classes)) / "notes.txt").touch()
    (root / next(iter(classes)) / ".hidden.png").touch()
    return locate(f"folder:{root}", Data(source=f"folder:{root}"), Machine(cache=root / ".cache"), root)


def located(made: Plan, name: str, source: Source) -> Plan:
    """The same plan with a set, or ``test``: the study's own images, where ``source`` says."""
    if name == "test":
        data = made.study.data.model_copy(update={"source": "folder:cells"})
        runs = tuple(replace(run, trial=replace(run.trial, source=source, data=data)) for run in made.runs)
        return replace(made, study=made.study.model_copy(update={"data": data}), runs=runs)
    sets = tuple(replace(one, source=source) if one.name == name else one for one in made.sets)
    return replace(made, sets=sets)


FOLDER = '[hidden.lab]\nkind = "external"\nsource = "folder:lab"\n'


def test_the_images_of_a_folder_are_counted_by_their_names(tmp_path: Path):
    lab = folder_of(tmp_path / "lab", a=30, b=20)
    made = located(plan(ARMS + FOLDER), "lab", lab)
    lines = detectable.lines(made, Store(tmp_path / "results"))
    assert lines[0] == "assumed, not measured: no other study here has scored this set"
    assert lines[1] == f"detects {smallest(0.015, 0.03, 5, 50, 2)} or more if the seed sd is 1.5 points"


def test_what_is_not_counted_as_cheaply_is_taken_for_granted(tmp_path: Path):
    made = located(plan(ARMS + FOLDER), "lab", Source("npz", tmp_path / "x.npz", "x"))
    assert detectable.lines(made, Store(tmp_path))[0].endswith("; 1,000 images taken for granted")


@pytest.mark.parametrize(("images", "warned"), [(90, True), (100, False)])
def test_a_folder_with_few_images_for_testing_is_warned_of(tmp_path: Path, images: int, warned: bool):
    """80/10/10: of 2 × 90 images 18 are for testing, nine of a class."""
    cells = folder_of(tmp_path / "cells", a=images, b=images)
    made = located(plan(), "test", cells)
    lines = detectable.lines(made, Store(tmp_path / "results"))
    said = "too few images for a verdict: about 18 to test 2 classes on; 10 of each are few"
    of = round(0.1 * 2 * images)
    coarse = f"δ of 0.5 points is less than one image of {of}, {detectable.points(1 / of)}"
    assert lines[4:] == [coarse, *([said] if warned else [])]
    assert lines[1] == f"detects {smallest(0.003, 0.003, 5, of, 2)} or more if the seed sd is 0.3 points"


def test_what_no_score_can_show_is_said_so(tmp_path: Path):
    store, mine = Store(tmp_path), plan(ARMS + HEAVY, seeds=3)
    row = f"heavy,accuracy,{key(mine, 'heavy')},{{}},0.01,5,40\n"
    measured(store, plan(ARMS + HEAVY, name="other"), row.format(0.9))
    nothing = "no difference at all"
    assert detectable.lines(mine, store)[0] == (
        f"detects {nothing} (seed sd 90 points measured in other over 5 seeds)"
    )
    measured(store, plan(ARMS + HEAVY, name="other"), row.format(0.13))
    first = detectable.lines(mine, store)[0]
    assert " points or more (" in first
    assert first.endswith(f"; {nothing} if that was a lucky draw)")
