"""What a plan knows of images: whether near-copies come in bursts, and how a split comes out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from samples import noise

from bench import plan
from bench.data import cache, fingerprint, provide
from bench.data.locator import DiskLocator
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Replicate
from bench.recipe import Corrupted, Data, External, NamePattern

SEED, FOLD = Replicate(0), Replicate(0, 0, 5)
PATIENT = {"groups": "patient"}


def bursty(folder: Path, bursts: int = 2, *, official: bool = False) -> Data:
    """An npz of 60 plain images of two classes, and so many series of 12 that hardly differ."""
    pixels, rng = noise(60 + bursts, size=16), np.random.default_rng(1)
    series = np.repeat(pixels[60:], 12, axis=0)
    series[:, 0, 0] = rng.integers(0, 255, (len(series), 3))
    images = np.concatenate([pixels[:60], series])
    labels = np.concatenate([np.arange(60) % 2, np.repeat(np.arange(bursts) % 2, 12)]).astype(np.int64)
    order = rng.permutation(len(images))
    arrays = {"images": images[order], "labels": labels[order], "patient": np.arange(len(images)) % 15}
    if official:
        parts = zip(
            ("train", "val", "test"),
            np.split(np.arange(len(images)), [len(images) - 20, len(images) - 10]),
            strict=True,
        )
        arrays = {f"{part}_{name}": array[index] for part, index in parts for name, array in arrays.items()}
    np.savez(folder / "cells.npz", **arrays)  # type: ignore[arg-type]
    return Data(source="npz:cells.npz", size_px=16)


def located(folder: Path) -> DiskLocator:
    return DiskLocator(Machine(cache=folder / "cache"), folder)


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on decoding is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("decodes images")

    monkeypatch.setattr(cache, "_decode", refuse)


def test_bursts_make_other_keys_for_their_other_sides_and_plain_images_keep_theirs(tmp_path: Path) -> None:
    for count in (0, 2):
        data, disk = bursty(tmp_path, count), located(tmp_path)
        source = disk.source(data.source, data)
        for folds, replicate in ((False, SEED), (True, FOLD)):
            same = fingerprint.data_fingerprint(source, data) == disk.data_fingerprint(
                source, data, folds=folds
            )
            tested = fingerprint.test_key(source, data, replicate) == disk.test_key(source, data, replicate)
            assert same is tested is (count == 0)


def test_a_sources_own_split_stays_as_it_is_and_folds_pool_it(tmp_path: Path) -> None:
    data, disk = bursty(tmp_path, official=True), located(tmp_path)
    source = disk.source(data.source, data)
    assert disk.data_fingerprint(source, data) == fingerprint.data_fingerprint(source, data)
    assert disk.data_fingerprint(source, data, folds=True) != fingerprint.data_fingerprint(source, data)


def test_what_was_read_once_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, disk = bursty(tmp_path), located(tmp_path)
    grouped = data.model_copy(update=PATIENT)
    first = disk.data_fingerprint(disk.source(data.source, data), data), disk.shares(grouped, SEED)
    shutil.rmtree(tmp_path / "cache" / "images")
    provide._opened.clear()
    unread(monkeypatch)
    again = located(tmp_path)
    assert (
        again.data_fingerprint(again.source(data.source, data), data),
        again.shares(grouped, SEED),
    ) == first
    with pytest.raises(AssertionError, match="decodes images"):
        again.shares(grouped, Replicate(1))


def test_drawings_and_a_sources_own_split_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread(monkeypatch)
    disk = located(tmp_path)
    for data in (Data(source="synthetic"), Data(source="bloodmnist"), bursty(tmp_path, official=True)):
        disk.data_fingerprint(disk.source(data.source, data), data)
        assert disk.shares(data, SEED) is None


def test_groups_are_part_of_every_key_they_change_and_of_none_while_unset(tmp_path: Path) -> None:
    data, disk = bursty(tmp_path, 0), located(tmp_path)
    source = disk.source(data.source, data)
    plain, grouped, patterned = (
        data.model_copy(update={"groups": groups}) for groups in (None, "patient", NamePattern(pattern="."))
    )
    for key in (
        lambda data: disk.data_fingerprint(source, data),
        lambda data: disk.test_key(source, data, SEED),
        lambda data: disk.hidden_key(Corrupted(kind="corrupted"), None, disk.test_key(source, data, SEED)),
    ):
        assert len({key(plain), key(grouped), key(patterned)}) == 3
    foreign = [External(kind="external", source=data.source, groups=g) for g in (None, "patient")]
    assert len({disk.hidden_key(hidden, source, "t") for hidden in foreign}) == 2
    before = {"set": "test", "source": source.fingerprint, "version": 1, "test": 0.1, "split_seed": 0}
    assert disk.test_key(source, plain, SEED) == plan.fingerprint(before)


def test_shares_count_images_and_patients_on_each_side(tmp_path: Path) -> None:
    data, disk = bursty(tmp_path, 0).model_copy(update=PATIENT), located(tmp_path)
    shares = disk.shares(data, SEED)
    assert shares is not None
    assert (shares.images, sum(shares.sides.values()), sum(shares.groups.values())) == (60, 60, 15)
    assert shares.groups == {side: count // 4 for side, count in shares.sides.items()}, "of 4 images each"
    assert shares.asked == pytest.approx({"val": 0.1, "test": 0.1})


def test_sides_that_miss_their_share_by_more_than_a_point_are_told(tmp_path: Path) -> None:
    data, disk = bursty(tmp_path, 0).model_copy(update=PATIENT), located(tmp_path)
    told = disk.shares(data, SEED)
    assert told is not None
    why = "duplicates and groups stay whole, every class is on every side"
    assert told.missed == (  # patients of 4 images: 8 of 60, and 9/10 of 8 of the other 52
        f"val has 13.8 % of the images where 10 % was asked for: {why}",
        f"test has 13.3 % of the images where 10 % was asked for: {why}",
    )
    folded = disk.shares(data, FOLD)
    assert folded is not None
    assert folded.asked["test"] == 0.2
    assert folded.sides["test"] == 12


def test_a_validation_that_was_filled_by_request_is_not_too_large(tmp_path: Path) -> None:
    disk = located(tmp_path)
    limited = bursty(tmp_path, 0).model_copy(update={**PATIENT, "limit": 24})
    filled = disk.shares(limited.model_copy(update={"val_images": 16}), SEED)
    assert filled is not None
    assert filled.sides["val"] == 16, "of 12 asked for as a share, 4 of them within the limit"
    assert [line for line in filled.missed if line.startswith("val")] == []
    wanting = disk.shares(limited.model_copy(update={"val_images": 59}), SEED)
    assert wanting is not None
    (said,) = [line for line in wanting.missed if line.startswith("val")]
    assert said.startswith(f"val has {wanting.sides['val']} images where val_images asked for 59: ")


def test_a_split_that_cannot_be_is_told_elsewhere_with_all_that_is_wrong(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", images=noise(4), labels=np.array([0, 0, 0, 1]), patient=np.arange(4))
    assert located(tmp_path).shares(Data(source="npz:few.npz", size_px=16, groups="patient"), SEED) is None


def test_groups_that_cannot_be_read_are_told_by_the_plan(tmp_path: Path) -> None:
    data = bursty(tmp_path).model_copy(update={"groups": "slide"})
    with pytest.raises(UserError, match="has no column of that name; known: patient"):
        located(tmp_path).shares(data, SEED)


@pytest.mark.parametrize("content", ["5", "{}", "[]", "[" * 100_000, '{"stamp": "x"'])
def test_what_else_stands_where_something_was_remembered_is_found_out_again(
    tmp_path: Path, content: str
) -> None:
    data, disk = bursty(tmp_path), located(tmp_path)
    grouped = data.model_copy(update=PATIENT)

    def told(disk: DiskLocator) -> tuple[object, ...]:
        source = disk.source(data.source, data)
        return source, disk.data_fingerprint(source, data), disk.shares(grouped, SEED)

    before = told(disk)
    for folder in ("surveys", "fingerprints"):
        for file in (tmp_path / "cache" / folder).iterdir():
            file.write_text(content)
    assert told(located(tmp_path)) == before
