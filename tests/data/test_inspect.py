from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data import inspect, provide, suspects
from bench.data.inspect import Count, Inspection
from bench.data.locator import DiskLocator
from bench.machine import Machine
from bench.plan import TEST, Replicate, ScoredSet, Trial
from bench.recipe import Choice, Data, Recipe, Split

CLEAN = 120
"""Different images of the small contest, 30 of each of four classes."""


@contextlib.contextmanager
def silent(what: str) -> Iterator[Count]:
    yield lambda done, total: None


def contest(path: Path) -> Path:
    """A source with the contest's flaws: one picture copied over all classes, one within a class, some pairs.

    Positions 0 to 119 are clean. Then five copies of a picture in each class, 120 to 139; ten of another in
    class 1, 140 to 149; second copies of images 0, 31 and 62 in their own class, 150 to 152; of image 93, of
    class 3, in class 0, 153.
    """
    every, one = noise(2, seed=7)
    clean = noise(CLEAN, seed=1)
    images = np.concatenate([clean, [every] * 20, [one] * 10, clean[[0, 31, 62, 93]]])
    labels = [*np.repeat(np.arange(4), 30), *np.repeat(np.arange(4), 5), *[1] * 10, 0, 1, 2, 0]
    np.savez(path, images=images, labels=np.array(labels, dtype=np.int64)[:, None])
    return path


def look(data: Data, folder: Path, cache: Path, counting: inspect.Counting = silent) -> Inspection:
    machine = Machine(cache=cache)
    return inspect.inspect(
        data, DiskLocator(machine, folder).source(data.source, data), cache, counting, Replicate(0)
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    """The small contest, looked at."""
    folder = tmp_path_factory.mktemp("contest")
    contest(folder / "set.npz")
    return look(Data(source="npz:set.npz", size_px=16), folder, folder / "cache")


def test_exactly_the_copied_pictures_are_found(seen: Inspection) -> None:
    clusters = {cluster.members: cluster for cluster in seen.findings.exact}
    assert list(clusters) == [
        tuple(range(120, 140)),
        tuple(range(140, 150)),
        (0, 150),
        (31, 151),
        (62, 152),
        (93, 153),
    ]
    assert [cluster.reason for cluster in seen.findings.exact] == [
        "labels disagree",
        "3 or more copies",
        "copy",
        "copy",
        "copy",
        "labels disagree",
    ]


def test_drop_removes_exactly_them_and_one_of_each_pair(seen: Inspection) -> None:
    expected = {*range(120, 150), 150, 151, 152, 93, 153}
    assert set(np.flatnonzero(seen.findings.outlier).tolist()) == expected


def test_classes_are_counted_before_and_after(seen: Inspection) -> None:
    assert seen.counts.tolist() == [37, 46, 36, 35]
    assert seen.outliers.tolist() == [7, 16, 6, 6]
    assert seen.imbalance == pytest.approx(46 / 35)
    assert sum(side.sum() for side in seen.sides.values()) == CLEAN - 1


def test_labels_of_a_cluster_are_counted_by_name(seen: Inspection) -> None:
    first, second, *_ = seen.findings.exact
    assert seen.label_counts(first) == {f"class {k}": 5 for k in range(4)}
    assert seen.label_counts(second) == {"class 1": 10}


def test_images_are_named_and_measured(seen: Inspection) -> None:
    assert seen.names[153] == "images[153]"
    assert seen.sizes == {(16, 16): 154}


def test_the_sides_are_those_that_a_trial_gets(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(100), [0] * 60 + [1] * 40, ["a", "b"])
    data = Data(source="folder:cells", size_px=16, outliers="keep", limit=50)
    seen = look(data, tmp_path, tmp_path / "cache")
    dropping = data.model_copy(update={"outliers": "drop"})
    recipe = Recipe(model=Choice(name="custom_cnn"))
    trial = Trial("id", "key", recipe, dropping, "data", seen.source, Replicate(0), versions={})
    made = provide.development(trial, tmp_path / "cache")
    test = provide.held_out(trial, ScoredSet(TEST, "key"), tmp_path / "cache")
    for side, samples in (("train", made.train), ("val", made.val), ("test", test)):
        assert seen.sides[side].tolist() == np.bincount(samples.labels, minlength=2).tolist()


def test_classes_too_small_to_split_are_reported_not_raised(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(32), [0] * 30 + [1] * 2, ["many", "few"])
    seen = look(Data(source="folder:cells", size_px=16), tmp_path, tmp_path / "cache")
    assert seen.sides == {}
    assert "few: 2 images" in seen.problem
    assert seen.counts.tolist() == [2, 30]  # classes in the order of their names


def test_a_source_with_its_own_split_keeps_it(tmp_path: Path) -> None:
    parts = {}
    for number, (part, count) in enumerate((("train", 30), ("val", 10), ("test", 20))):
        parts[f"{part}_images"] = noise(count, seed=number)
        parts[f"{part}_labels"] = np.arange(count) % 2
    np.savez(tmp_path / "set.npz", **parts)
    seen = look(Data(source="npz:set.npz", size_px=16), tmp_path, tmp_path / "cache")
    assert {side: int(of.sum()) for side, of in seen.sides.items()} == {"train": 30, "val": 10, "test": 20}
    shares = Data(source="npz:set.npz", size_px=16, split=Split(train=0.5, val=0.25, test=0.25))
    again = look(shares, tmp_path, tmp_path / "cache")
    assert again.sides["test"].sum() == 16  # a quarter of 30, rounded, in each class


def test_drawings_can_be_looked_at(tmp_path: Path) -> None:
    seen = look(Data(source="synthetic", size_px=16, n_images=80), tmp_path, tmp_path)
    assert len(seen.images) == 80
    assert not seen.sizes
    assert seen.names[79] == "drawing 79"


# -- what is remembered --------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Sixty images in a folder of their own."""
    write_folder(tmp_path / "cells", noise(60), [0, 1] * 30, ["a", "b"])
    return Data(source="folder:cells", size_px=16)


def same(one: Inspection, other: Inspection) -> bool:
    return (one.suspects, one.sizes) == (other.suspects, other.sizes)


def test_a_second_look_decodes_measures_and_searches_nothing(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(data, tmp_path, tmp_path / "cache")
    monkeypatch.setattr(suspects, "find", None)
    monkeypatch.setattr(inspect, "native_sizes", None)
    started: list[str] = []

    @contextlib.contextmanager
    def counting(what: str) -> Iterator[Count]:
        started.append(what)
        yield lambda done, total: pytest.fail(f"{what} again")

    assert same(look(data, tmp_path, tmp_path / "cache", counting), first)
    assert started == ["decoding images", "looking for near-duplicates"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"sizes": [[1, 2]], "suspects": []}',
        '{"sizes": [], "suspects": [{"position": 60, "distance": 1, "z": 7}]}',
        '{"sizes": [], "suspects": [{"position": -1, "distance": 1, "z": 7}]}',
        '{"sizes": [], "suspects": [7]}',
    ],
)
def test_a_damaged_memory_is_made_again(data: Data, tmp_path: Path, content: str) -> None:
    first = look(data, tmp_path, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "inspected").iterdir()
    whole = json.loads(file.read_text())
    file.write_text(content)
    assert same(look(data, tmp_path, tmp_path / "cache"), first)
    assert json.loads(file.read_text()) == whole


def test_another_size_and_other_images_are_looked_at_anew(data: Data, tmp_path: Path) -> None:
    look(data, tmp_path, tmp_path / "cache")
    look(data.model_copy(update={"size_px": 24}), tmp_path, tmp_path / "cache")
    write_folder(tmp_path / "cells", noise(61), [0, 1] * 30 + [0], ["a", "b"])
    look(data, tmp_path, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "inspected").iterdir())) == 3


def test_a_cache_that_cannot_be_written_costs_time_only(data: Data, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "inspected").write_text("a file in the way")
    assert len(look(data, tmp_path, cache).images) == 60


# -- the contest, from real images ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    """The 17,092 real cells, looked at."""
    data = Data(source=f"folder:{shared / 'data' / 'pbc96'}", size_px=96)
    return look(data, shared, tmp_path_factory.mktemp("real"))


@pytest.mark.shared
@pytest.mark.slow
def test_real_cells_have_seventeen_pairs_one_of_two_labels(real: Inspection) -> None:
    seen = real
    assert len(seen.images) == 17_092
    assert [len(cluster.members) for cluster in seen.findings.exact] == [2] * 17
    assert [len(cluster.labels) for cluster in seen.findings.exact].count(2) == 1
    assert [cluster.reason for cluster in seen.findings.exact].count("labels disagree") == 1
    assert int(seen.findings.outlier.sum()) == 18
    # docs/method.md: 87 images, the largest group of 3
    assert sum(map(len, seen.findings.near)) == 87
    assert len(seen.findings.near[0]) == 3
    assert not seen.findings.large
    assert seen.sizes == {(96, 96): 17_092}


@pytest.mark.shared
@pytest.mark.slow
def test_the_contest_is_cleaned_of_its_two_pictures_and_nothing_else(
    real: Inspection, tmp_path: Path
) -> None:
    """1,600 copies of one picture over all classes, 200 of another in one class, and the true duplicates."""
    from sklearn.datasets import load_sample_images

    from bench.data.reading import square

    cells, local = np.asarray(real.images.images), real.images.labels  # of 96 px, as their files are
    odd = [square(picture, 96) for picture in load_sample_images().images]
    images = np.concatenate([cells, [odd[0]] * 1600, [odd[1]] * 200])
    labels = np.concatenate([local, np.repeat(np.arange(8), 200), np.full(200, 5)])
    np.savez(tmp_path / "training_set.npz", images=images, labels=labels)
    del images, cells
    seen = look(Data(source="npz:training_set.npz", size_px=96), tmp_path, tmp_path)
    over_all, within, *pairs = seen.findings.exact
    n = len(local)
    assert over_all.members == over_all.dropped == tuple(range(n, n + 1600))
    assert over_all.labels == tuple(range(8))
    assert within.members == within.dropped == tuple(range(n + 1600, n + 1800))
    assert within.labels == (5,)
    assert [len(cluster.members) for cluster in pairs] == [2] * 17
    assert int(seen.findings.outlier.sum()) == 1800 + 18
    # Both are far from every cell, and before all other suspects.
    assert {one.position for one in seen.suspects[:2]} == {n, n + 1600}
