from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.listing import list_images
from bench.errors import UserError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_images_are_sorted_by_class_and_name(tmp_path: Path) -> None:
    fill(tmp_path, "b/2.png", "b/1.JPG", "a/9.jpeg")
    assert [file.relative for file in list_images(tmp_path)] == ["a/9.jpeg", "b/1.JPG", "b/2.png"]


def test_hidden_names_nested_files_other_types_and_loose_files_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "a/.1.png", "a/notes.txt", "a/deep/2.png", "b/1.png", ".git/1.png", "loose.png")
    assert [file.relative for file in list_images(tmp_path)] == ["a/1.png", "b/1.png"]


def test_all_class_folders_without_an_image_are_named_together_with_what_they_hold(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "train/cats/1.png", "train/dogs/1.png", "scans/1.tif")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError) as error:
        list_images(tmp_path)
    text = str(error.value)
    assert "scans/ holds no image, only 1 .tif files" in text
    assert "train/ holds no image, only 2 folders" in text
    assert "void/ is empty" in text
    assert "\n  a/" not in text


@pytest.mark.parametrize(("names", "found"), [((), "no class folder")])
def test_a_folder_without_classes_is_an_error(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    with pytest.raises(UserError, match=found):
        list_images(fill(tmp_path, *names))
