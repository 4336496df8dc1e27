from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise, write_folder

from bench.data import origins
from bench.errors import UserError
from bench.plan import Source


def npz(path: Path, **arrays: np.ndarray) -> Source:
    np.savez(path, **arrays)
    return Source("npz", path, "npz")


def test_images_of_a_folder_are_called_by_their_path_in_the_order_of_the_reader(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(3), [1, 0, 1], ["a", "b"])
    source = Source("folder", tmp_path / "cells", "x")
    assert origins.names(source, 3) == ["a/0001.png", "b/0000.png", "b/0002.png"]


def test_native_sizes_of_a_folder_are_counted_as_width_and_height(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(3, size=20), [0, 0, 1], ["a", "b"])
    Image.new("RGB", (30, 10)).save(tmp_path / "cells" / "b" / "wide.png")
    told: list[tuple[int, int]] = []
    sizes = origins.native_sizes(
        Source("folder", tmp_path / "cells", "x"), lambda done, total: told.append((done, total))
    )
    assert sizes == {(20, 20): 3, (30, 10): 1}
    assert told == [(4, 4)]


def test_an_image_that_lies_on_its_side_counts_with_its_upright_size(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(2), [0, 1], ["a", "b"])
    exif = Image.Exif()
    exif[origins.EXIF_ORIENTATION] = 6
    Image.new("RGB", (30, 10)).save(tmp_path / "cells" / "a" / "turned.jpg", exif=exif)
    assert origins.native_sizes(Source("folder", tmp_path / "cells", "x"))[(10, 30)] == 1


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(2), [0, 1], ["a", "b"])
    (tmp_path / "cells" / "a" / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a/broken\.png: .*replace this file or delete it"):
        origins.native_sizes(Source("folder", tmp_path / "cells", "x"))


def test_images_of_a_contest_npz_are_called_by_their_place(tmp_path: Path) -> None:
    source = npz(tmp_path / "a.npz", images=np.zeros((2, 7, 9, 3), np.uint8), labels=np.zeros(2))
    assert origins.names(source, 2) == ["images[0]", "images[1]"]
    assert origins.native_sizes(source) == {(9, 7): 2}


def test_images_of_medmnist_are_called_by_their_place_in_three_arrays(tmp_path: Path) -> None:
    parts = {
        f"{part}_images": np.zeros((n, 8, 8), np.uint8) for part, n in (("val", 1), ("train", 2), ("test", 1))
    }
    source = npz(tmp_path / "a.npz", images=np.zeros((9, 8, 8), np.uint8), **parts)
    assert origins.names(source, 4) == [
        "train_images[0]",
        "train_images[1]",
        "val_images[0]",
        "test_images[0]",
    ]
    assert origins.native_sizes(source) == {(8, 8): 4}


def test_only_headers_of_an_npz_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = npz(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.zeros(2))
    monkeypatch.setattr(np, "load", None)
    assert origins.native_sizes(source) == {(8, 8): 2}


def test_a_damaged_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a\.npz is damaged or no npz"):
        origins.names(Source("npz", tmp_path / "a.npz", "x"), 2)


def test_drawings_have_numbers_and_no_native_size() -> None:
    source = Source("synthetic", None, "x")
    assert origins.names(source, 2) == ["drawing 0", "drawing 1"]
    assert not origins.native_sizes(source)
