from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data import provide
from bench.data.images import Development, Samples
from bench.errors import UserError
from bench.plan import TEST, Replicate, ScoredSet, Source, Trial
from bench.recipe import Choice, Corrupted, Data, External, Recipe


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial on 100 images of two classes."""
    path = write_folder(tmp_path / "cells", noise(100), [0, 1] * 50, ["a", "b"])
    return make_trial(Source("folder", path, f"cells of {tmp_path}"), Replicate(0))


def make_trial(source: Source, replicate: Replicate) -> Trial:
    recipe = Recipe(model=Choice(name="custom_cnn"))
    data = Data(source="folder:cells", size_px=16)
    return Trial("id", "key", recipe, data, "data", source, replicate, versions={})


def test_development_and_test_share_no_image_and_cover_all(trial: Trial, tmp_path: Path) -> None:
    made = provide.development(trial, tmp_path)
    test = provide.held_out(trial, ScoredSet(TEST, "key"), tmp_path)
    every = [*made.train.ids, *made.val.ids, *test.ids]
    assert len(every) == len(set(every)) == 100
    assert made.classes == ("a", "b")


def test_every_seed_is_scored_on_the_same_test_images(trial: Trial, tmp_path: Path) -> None:
    one, other = (
        provide.held_out(make_trial(trial.source, Replicate(seed)), ScoredSet(TEST, "key"), tmp_path)
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.ids, other.ids)


def test_a_hidden_set_comes_through_the_same_door(trial: Trial, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "other", noise(3, seed=1), [0, 1, 1], ["a", "b"])
    scored = ScoredSet(
        "lab", "key", External(kind="external", source="folder:other"), Source("folder", path, "o")
    )
    assert len(provide.held_out(trial, scored, tmp_path)) == 3


MICRO = Corrupted(kind="corrupted", profile="micro-c", families=("noise", "jpeg"), severities=(2,))


@pytest.mark.parametrize("fold", [None, 2])
def test_a_corrupted_set_is_made_of_the_test_images_of_its_own_trial(
    trial: Trial, tmp_path: Path, fold: int | None
) -> None:
    trial = make_trial(trial.source, Replicate(0, fold, 5 if fold is not None else None))
    test = provide.held_out(trial, ScoredSet(TEST, "key"), tmp_path)
    told: list[tuple[int, int]] = []
    made = provide.held_out(trial, ScoredSet("c", "key", MICRO), tmp_path, lambda *news: told.append(news))
    assert made.ids.tolist() == 2 * test.ids.tolist()
    assert made.labels.tolist() == 2 * test.labels.tolist()
    assert made.condition_names == ("jpeg/2", "noise/2")
    assert told[-1] == (len(made), len(made))


def test_val_shift_is_made_of_validation_images_only(trial: Trial, tmp_path: Path) -> None:
    made = provide.development(trial, tmp_path)
    shifted = provide.val_shift(MICRO, made, tmp_path)
    assert set(shifted.ids.tolist()) == set(made.val.ids.tolist())
    assert len(shifted) == 2 * len(made.val)
    test = provide.held_out(trial, ScoredSet(TEST, "key"), tmp_path)
    assert not set(shifted.ids.tolist()) & set(test.ids.tolist())
    with pytest.raises(UserError, match=r"^\[val_shift\] images = 99: there are"):
        provide.val_shift(MICRO.model_copy(update={"images": 99}), made, tmp_path)


def reachable(thing: Any) -> list[np.ndarray]:
    """Every array that can be reached from ``thing`` by following references of data, not of code."""
    found, seen, queue = [], set(), [thing]
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            found.append(item)
            queue.append(item.base)
        queue += gc.get_referents(item)
    return found


def test_no_test_image_is_reachable_from_what_training_sees(trial: Trial, tmp_path: Path) -> None:
    made = provide.development(trial, tmp_path)
    test = provide.held_out(trial, ScoredSet(TEST, "key"), tmp_path)
    assert isinstance(made, Development)
    assert type(made.train) is type(made.val) is Samples
    mapped = provide.development(trial, tmp_path, most=0)
    assert not any(isinstance(array, np.memmap) or array.ndim == 4 for array in reachable(mapped))
    for side, copied in ((mapped.train, made.train), (mapped.val, made.val)):
        np.testing.assert_array_equal(side.images[:], copied.images)
    arrays = reachable(made)
    assert len(arrays) >= 6
    assert not any(isinstance(array, np.memmap) for array in arrays)
    pixels = {bytes(image) for array in arrays if array.ndim == 4 for image in array}
    assert len(pixels) == len(made.train) + len(made.val)
    assert not pixels & {bytes(image) for image in test.images}


def test_a_process_opens_a_source_once_and_forgets_the_oldest(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Source] = []
    real = provide.open_images

    def counted(data: Data, source: Source, *rest: Any) -> Any:
        opened.append(source)
        return real(data, source, *rest)

    monkeypatch.setattr(provide, "open_images", counted)
    monkeypatch.setattr(provide, "_opened", type(provide._opened)())
    monkeypatch.setattr(provide, "KEPT_BYTES", 0)
    others = [Source("folder", trial.source.path, f"copy {k} of {tmp_path}") for k in range(provide.OPENED)]
    for source in [trial.source, trial.source, *others, trial.source]:
        provide.development(make_trial(source, Replicate(0)), tmp_path)
    assert opened == [trial.source, *others, trial.source]
    assert len(provide._opened) == provide.OPENED


def test_two_studies_of_a_process_keep_their_own_groups(tmp_path: Path) -> None:
    """The same images with patients and without: the second study would be split as the first."""
    labels, patient = np.arange(40) % 2, np.arange(40) // 4
    np.savez(tmp_path / "cells.npz", images=noise(40), labels=labels, patient=patient)
    source = Source("npz", tmp_path / "cells.npz", str(tmp_path))
    plain = Data(source="npz:cells.npz", size_px=16)
    for data in (plain, plain.model_copy(update={"groups": "patient"}), plain):
        images, _ = provide.opened(data, source, tmp_path, None)
        assert (images.groups is None) is (data.groups is None)


def test_arms_of_a_seed_share_their_images_and_seeds_their_test_images(trial: Trial, tmp_path: Path) -> None:
    other_seed, scored = make_trial(trial.source, Replicate(1)), ScoredSet(TEST, "key")
    made = provide.development(trial, tmp_path)
    assert provide.development(make_trial(trial.source, Replicate(0)), tmp_path) is made
    assert provide.development(other_seed, tmp_path) is not made
    assert provide.held_out(trial, scored, tmp_path) is provide.held_out(other_seed, scored, tmp_path)


def test_what_makes_other_images_is_never_given_the_kept_ones(trial: Trial, tmp_path: Path) -> None:
    """Another fold, size, hidden set or source under the same key."""
    scored = ScoredSet(TEST, "key")
    sized = replace(trial, data=trial.data.model_copy(update={"size_px": 32}))
    folds = [make_trial(trial.source, Replicate(0, fold, 5)) for fold in (0, 1)]
    tests = [provide.held_out(one, scored, tmp_path) for one in (trial, sized, *folds)]
    assert [test.images.shape[1] for test in tests] == [16, 32, 16, 16]
    assert not set(tests[2].ids.tolist()) & set(tests[3].ids.tolist())
    harder = MICRO.model_copy(update={"severities": (5,)})
    soft, hard = (provide.held_out(trial, ScoredSet("c", "key", h), tmp_path) for h in (MICRO, harder))
    assert soft.condition_names != hard.condition_names


def test_what_is_kept_has_a_limit_and_the_longest_unused_goes_first(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provide, "_kept", type(provide._kept)())
    monkeypatch.setattr(provide, "KEPT_BYTES", 2 * 90 * 16 * 16 * 3)  # two splits of 90 images
    trials = [make_trial(trial.source, Replicate(seed)) for seed in range(3)]
    first, second = (provide.development(one, tmp_path) for one in trials[:2])
    assert provide.development(trials[0], tmp_path) is first
    provide.development(trials[2], tmp_path)
    assert sum(size for size, _ in provide._kept.values()) == provide.KEPT_BYTES
    assert provide.development(trials[0], tmp_path) is first
    assert provide.development(trials[1], tmp_path) is second, "which somebody holds"
    let_go = weakref.ref(second)
    del second
    assert let_go() is None


def test_what_is_larger_than_the_limit_is_not_kept(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provide, "_kept", type(provide._kept)())
    monkeypatch.setattr(provide, "KEPT_BYTES", 1000)
    assert len(provide.development(trial, tmp_path).train) == 80
    assert not provide._kept
