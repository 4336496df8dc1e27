"""Which slice each image is of is stored whole, the same bytes for the same content."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import slices
from bench.slices import NO_VALUE, Sliced


def sliced(images: int) -> Sliced:
    ids = np.arange(images, dtype=np.uint64) * 7 + np.uint64(2**63)
    scanner, age = (np.arange(images, dtype=np.int16) % count - 1 for count in (3, 4))
    names = {"scanner": ("A", "B/2"), "patient's age": ("40-49", "50-59", "µ")}
    return Sliced(ids, {"scanner": scanner, "patient's age": age}, names)


def test_what_is_stored_reads_back_equal_and_is_the_same_bytes(tmp_path: Path) -> None:
    sets = {"local": sliced(40), "lab-2": sliced(5)}
    content = slices.write(sets)
    assert content == slices.write(sets)
    (tmp_path / slices.FILE).write_bytes(content)
    found = slices.read(tmp_path / slices.FILE)
    assert list(found) == list(sets)
    for name, one in sets.items():
        assert found[name].names == one.names
        np.testing.assert_array_equal(found[name].ids, one.ids)
        for column, codes in one.codes.items():
            np.testing.assert_array_equal(found[name].codes[column], codes)


def test_images_of_a_value_are_those_and_no_others() -> None:
    one = sliced(9)
    assert one.of("scanner", 0).tolist() == one.ids[1::3].tolist()
    assert len(one.of("scanner", NO_VALUE)) == 3


@pytest.mark.parametrize("content", [b"", b"no archive", slices.write({"local": sliced(40)})[:-40]])
def test_no_file_and_a_damaged_one_tell_nothing(tmp_path: Path, content: bytes) -> None:
    assert slices.read(tmp_path / slices.FILE) == {}
    (tmp_path / slices.FILE).write_bytes(content)
    assert slices.read(tmp_path / slices.FILE) == {}


@pytest.mark.parametrize(
    "damage",
    [
        {"local/ids": np.uint64(3)},
        {"local/ids": np.zeros((4, 2), np.uint64)},
        {"local/codes of scanner": np.zeros(3, np.int16)},
        {"local/codes of scanner": np.zeros((4, 1), np.int16)},
        {"local/names of scanner": np.array("A")},
    ],
)
def test_arrays_that_do_not_go_together_tell_nothing(tmp_path: Path, damage: dict[str, Any]) -> None:
    (tmp_path / slices.FILE).write_bytes(slices.write({"local": sliced(4)}))
    with np.load(tmp_path / slices.FILE) as stored:
        arrays = dict(stored)
    np.savez(tmp_path / slices.FILE, **arrays)  # type: ignore[arg-type]
    assert slices.read(tmp_path / slices.FILE)
    np.savez(tmp_path / slices.FILE, **arrays | damage)  # type: ignore[arg-type]
    assert slices.read(tmp_path / slices.FILE) == {}
