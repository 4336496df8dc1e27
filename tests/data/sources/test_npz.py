from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import noise

from bench.data.fingerprint import locate
from bench.data.reader import Reader
from bench.data.sources.npz import npz
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Source
from bench.recipe import Data

PIXELS = noise(6)


def write(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def read(path: Path) -> Reader:
    """Opened, with its pixels: those are read when the first one is asked for."""
    reader = npz(path)
    reader.native(0)
    return reader


def medmnist(**changes: Any) -> dict[str, Any]:
    arrays = {
        "train_images": PIXELS[:3],
        "train_labels": np.array([[0], [1], [2]], np.uint8),
        "val_images": PIXELS[3:4],
        "val_labels": np.array([[1]], np.uint8),
        "test_images": PIXELS[4:],
        "test_labels": np.array([[2], [0]], np.uint8),
    } | changes
    return {name: array for name, array in arrays.items() if array is not None}


def test_medmnists_layout_keeps_its_own_split(tmp_path: Path) -> None:
    reader = npz(write(tmp_path, **medmnist()))
    assert reader.labels.tolist() == [0, 1, 2, 1, 2, 0]
    assert reader.split is not None
    assert reader.split.tolist() == [0, 0, 0, 1, 2, 2]
    for index in range(6):
        np.testing.assert_array_equal(reader.native(index), PIXELS[index])


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2], [[0], [1], [2], [0], [1], [2]], [0.0, 1, 2, 0, 1, 2]])
def test_the_contests_layout_has_no_split(tmp_path: Path, labels: list[Any]) -> None:
    reader = npz(write(tmp_path, images=PIXELS, labels=labels))
    assert reader.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert reader.split is None
    assert reader.classes == ("class 0", "class 1", "class 2")
    assert reader.channels == 3


@pytest.mark.parametrize("gray", [PIXELS[..., 0], PIXELS[..., :1]])
def test_gray_images_have_one_channel(tmp_path: Path, gray: np.ndarray) -> None:
    reader = npz(write(tmp_path, images=gray, labels=[0, 1] * 3))
    assert reader.channels == 1
    assert reader.native(0).shape == (16, 16, 1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, 127.0, 255.0]), [0, 127, 255]),
        (np.array([0, 127, 255], np.int64), [0, 127, 255]),
        (np.array([0, 1, 1], np.int64), [0, 1, 1]),
        (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
    ],
)
def test_pixels_are_converted_by_an_exact_rule(
    tmp_path: Path, stored: np.ndarray, expected: list[int]
) -> None:
    reader = npz(write(tmp_path, images=stored.reshape(1, 1, 3, 1).repeat(2, 0), labels=[0, 1]))
    assert reader.native(0).ravel().tolist() == expected


def test_one_rule_holds_for_all_parts_of_a_file(tmp_path: Path) -> None:
    """A dark part whose values happen to be 0 and 1 is not stretched when another part goes to 255."""
    arrays = medmnist(**{f"{part}_images": np.full((n, 4, 4), 1.0) for part, n in (("train", 3), ("val", 1))})
    arrays["test_images"] = np.full((2, 4, 4), 255.0)
    reader = npz(write(tmp_path, **arrays))
    assert reader.native(0).max() == 1
    assert reader.native(5).min() == 255


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": PIXELS, "y": [0] * 6}, r"has the arrays \[.x., .y.\]\n.*needed are images and labels"),
        ({"images": PIXELS}, "has images but no labels"),
        (medmnist(test_images=None), "has no test_images"),
        (medmnist(train_images=None), "has no train_images"),
        (medmnist(val_labels=None), "has val_images but no val_labels"),
        ({"images": PIXELS, "labels": [0] * 5}, "6 images but 5 labels"),
        ({"images": PIXELS[:0], "labels": []}, "holds no image"),
        ({"images": PIXELS, "labels": np.eye(6)}, r"shape \(6, 6\): several labels an image, as ChestMNIST"),
        ({"images": np.zeros((6, 9, 9, 9), np.uint8), "labels": [0] * 6}, "are volumes, as MedMNIST's 3D"),
        ({"images": np.zeros((6, 9, 9, 9, 1), np.uint8), "labels": [0] * 6}, "are volumes, as MedMNIST's 3D"),
        ({"images": PIXELS, "labels": np.zeros((6, 1, 1))}, r"shape \(6, 1, 1\), needed is"),
        ({"images": PIXELS, "labels": [0, 1, 2, 0, 1, -1]}, "holds -1"),
        (
            {"images": PIXELS, "labels": np.array([0, 1, 2, 0, 1, 4_000_000_000])},
            "labels goes up to 4000000000 with 4 different ones.*\n.*without gaps",
        ),
        (
            {"images": PIXELS, "labels": np.array([0, 1, 2, 0, 1, 2**63], np.uint64)},
            "up to 9223372036854775808 ",
        ),
        ({"images": PIXELS, "labels": [0, 1, 2, 0, 1, np.inf]}, "up to inf with 4"),
        ({"images": PIXELS.astype(str), "labels": [0] * 6}, "pixels are <U3, which are no numbers"),
        ({"images": PIXELS * 1j, "labels": [0] * 6}, "pixels are complex128, which are no numbers"),
        ({"images": PIXELS, "labels": [0, 1, 2, 0, 1, 0.5]}, "whole numbers from 0"),
        ({"images": PIXELS.transpose(0, 3, 1, 2), "labels": [0] * 6}, "channels come last"),
        ({"images": PIXELS[:, 0, 0], "labels": [0] * 6}, r"images of shape \(6, 3\)"),
        ({"images": PIXELS / 128, "labels": [0] * 6}, "allowed are uint8"),
        ({"images": PIXELS.astype(np.int64) + 1, "labels": [0] * 6}, "from 1 to 256"),
        ({"images": np.full((2, 4, 4), np.nan), "labels": [0, 1]}, "from nan to nan"),
        ({"images": PIXELS > 128, "labels": [0] * 6}, "pixels are bool"),
        (medmnist(val_images=PIXELS[3:4, :8]), "train, val and test must agree"),
        (
            {"images": PIXELS, "labels": np.array([0, None] * 3)},
            "holds Python objects, which are never loaded",
        ),
    ],
)
def test_a_wrong_npz_is_explained(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        read(write(tmp_path, **arrays))
    assert "x.npz" in str(error.value)


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_npz_is_damaged(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path, images=PIXELS, labels=[0] * 6)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"damaged|Python objects"):
        read(path)


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, images=PIXELS, labels=[0] * 6)
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read(path)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "x.npz").write_bytes(pickle.dumps({"images": 1}))
    with pytest.raises(UserError, match="Python objects"):
        npz(tmp_path / "x.npz")


def test_a_single_array_is_not_an_npz(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(UserError, match="holds a single array"):
        npz(tmp_path / "x.npz")


def test_names_are_given_in_label_order_and_must_be_as_many_as_labels(tmp_path: Path) -> None:
    path = write(tmp_path, images=PIXELS, labels=[0, 1, 2, 0, 1, 2])
    assert npz(path, ("a", "b", "c")).classes == ("a", "b", "c")
    with pytest.raises(UserError, match="gives 2 names, but the labels go from 0 to 2"):
        npz(path, ("a", "b"))


def test_images_are_called_by_their_place_and_measured(tmp_path: Path) -> None:
    reader = npz(write(tmp_path, images=np.zeros((2, 7, 9, 3), np.uint8), labels=[0, 1]))
    assert (reader.names, reader.size and reader.size(1)) == (["images[0]", "images[1]"], (9, 7))
    of = npz(write(tmp_path, **medmnist(images=PIXELS)))
    assert of.names == [*(f"train_images[{i}]" for i in range(3)), "val_images[0]"] + [
        f"test_images[{i}]" for i in range(2)
    ]


def test_opening_reads_labels_and_headers_but_no_pixel(tmp_path: Path) -> None:
    reader = npz(write(tmp_path, images=PIXELS, labels=[0, 1, 2] * 2))
    (tmp_path / "x.npz").unlink()
    assert reader.labels.tolist() == [0, 1, 2] * 2
    with pytest.raises(UserError, match=r"x\.npz"):
        reader.native(0)


@pytest.mark.shared
def test_the_real_npz_is_read(shared: Path) -> None:
    reader = npz(shared / "data/bloodlike28.npz")
    assert reader.split is not None
    assert np.bincount(reader.split).tolist() == [11959, 1712, 3421]
    assert reader.native(17091).shape == (28, 28, 3)


def located(path: Path, **keys: object) -> Source:
    data = Data.model_validate({"source": "npz:x", **keys})
    return locate(f"npz:{path}", data, Machine(cache=path.parent / "cache"), path.parent)


def test_validation_may_be_missing_and_is_then_drawn(tmp_path: Path) -> None:
    path = write(tmp_path, **medmnist(val_images=None, val_labels=None))
    split = npz(path).split
    assert split is not None
    assert split.tolist() == [0, 0, 0, 2, 2]
    assert located(path).official


def test_planning_counts_its_images_and_tells_what_the_crop_leaves_out(tmp_path: Path) -> None:
    path = write(
        tmp_path, **medmnist(**{f"{part}_images": np.zeros((n, 8, 10, 3), np.uint8) for part, n in SIZES})
    )
    seen = located(path).seen
    assert seen is not None
    assert (seen.images, seen.cropped, seen.oblong) == ({"class 0": 2, "class 1": 2, "class 2": 2}, 0.2, 6)
    named = located(path, classes=("a", "b", "c"), drop_classes=("b",), fit="pad")
    assert named.seen is not None
    assert (named.seen.images, named.seen.cropped, named.seen.oblong) == ({"a": 2, "c": 2}, 0.0, 0)
    assert (named.images, named.classes) == (4, 2)


SIZES = (("train", 3), ("val", 1), ("test", 2))


def test_what_is_wrong_with_an_npz_is_said_when_a_study_is_planned(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="several labels an image, as ChestMNIST"):
        located(write(tmp_path, images=PIXELS, labels=np.eye(6)))


@pytest.mark.parametrize("shape", [(10**9, 224, 224), (7, 9, 9)])
def test_a_header_that_promises_what_is_not_there_is_damage_before_memory_is_taken(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    labels = io.BytesIO()
    np.save(labels, np.zeros(6, np.int64))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(6 * 9 * 9))
        archive.writestr("labels.npy", labels.getvalue())
    with pytest.raises(UserError, match="is damaged: it holds 486 bytes instead of"):
        npz(tmp_path / "x.npz")


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, images=PIXELS, labels=[0] * 6)
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(UserError, match=r"of shape \(6, .* of memory, and this machine has 0"):
        npz(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(UserError, match="is a pipe, a socket or a device"):
        locate("npz:x.npz", Data(source="npz:x.npz"), Machine(), tmp_path)
