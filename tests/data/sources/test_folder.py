from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise, write_folder

from bench.data import reading
from bench.data.fingerprint import locate
from bench.data.image_files import read_image, upright_size
from bench.data.reader import BrokenImageError
from bench.data.sources.folder import _scan, folder, list_images
from bench.errors import UserError
from bench.judge.accounts import lines
from bench.machine import Machine
from bench.plan import Source
from bench.planned import Account
from bench.recipe import Data


def test_classes_are_sorted_and_images_follow_file_names(tmp_path: Path) -> None:
    pixels = noise(4)
    reader = folder(write_folder(tmp_path, pixels, [1, 0, 1, 0], ["zebra", "ant"]))
    assert reader.classes == ("ant", "zebra")
    assert reader.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(reader.native(0), pixels[0])
    np.testing.assert_array_equal(reader.native(3), pixels[3])
    assert reader.split is None


def test_class_names_may_reorder_a_folder_but_not_rename_it(tmp_path: Path) -> None:
    write_folder(tmp_path, noise(2), [0, 1], ["ant", "zebra"])
    assert folder(tmp_path, ["zebra", "ant"]).labels.tolist() == [1, 0]
    with pytest.raises(UserError, match="do not match the class folders"):
        folder(tmp_path, ["bee", "ant"])


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(noise(1, size=8)[0][:4])
    exif = image.getexif()
    exif[0x0112] = 6  # stored turned left: a viewer turns it right
    image.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.fromarray(noise(1)[0]).convert(mode).save(file)
    assert read_image(file).shape == (16, 16, 3)
    assert read_image(file).dtype == np.uint8


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size in its header."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "png")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(1, size=64)[0]).save(buffer, kind)
    return buffer.getvalue()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"hello", "not a JPEG, PNG, TIFF, BMP, WebP or GIF image"),
        (encoded("jpeg")[:900], "truncated"),
        (encoded("png")[:900], "x.png"),
        (flipped(encoded("png")), "x.png"),
        (encoded("ppm"), "not a JPEG, PNG, TIFF, BMP, WebP or GIF image"),
        (png(60_000, 60_000), "x.png"),
        (png(9_000, 9_000), "9000 × 9000 pixels, at most 64,000,000 are read"),
    ],
)
def test_a_broken_file_is_named_with_its_reason(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BrokenImageError, match=says) as error:
        read_image(tmp_path / "x.png")
    assert "x.png" in str(error.value)


def test_the_pixel_limit_is_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(1)[0]).save(tmp_path / "x.png")
    monkeypatch.setattr(reading, "MAX_PIXELS", 255)
    with pytest.raises(BrokenImageError, match="16 × 16 pixels, at most 255"):
        read_image(tmp_path / "x.png")


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
    fill(tmp_path, "a/1.png", "train/cats/1.png", "train/dogs/1.png", "scans/1.jp2")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError) as error:
        list_images(tmp_path)
    text = str(error.value)
    assert "scans/ holds no image, only 1 .jp2 files" in text
    assert "train/ holds no image, only 2 folders" in text
    assert "void/ is empty" in text
    assert "\n  a/" not in text


@pytest.mark.parametrize(("names", "found"), [((), "no class folder")])
def test_a_folder_without_classes_is_an_error(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    with pytest.raises(UserError, match=found):
        list_images(fill(tmp_path, *names))


def test_images_are_called_by_their_path_in_the_order_of_their_labels(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(3), [1, 0, 1], ["a", "b"])
    assert folder(tmp_path / "cells").names == ["a/0001.png", "b/0000.png", "b/0002.png"]


def test_native_size_is_width_and_height_of_the_image_turned_upright(tmp_path: Path) -> None:
    Image.new("RGB", (30, 10)).save(tmp_path / "wide.png")
    exif = Image.Exif()
    exif[reading.EXIF_ORIENTATION] = 6
    Image.new("RGB", (30, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert [upright_size(tmp_path / name) for name in ("wide.png", "turned.jpg")] == [(30, 10), (10, 30)]


def test_a_file_without_a_size_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"broken\.png: .*replace this file or delete it"):
        upright_size(tmp_path / "broken.png")


@pytest.mark.parametrize("suffix", ["bmp", "webp", "gif", "TIF", "JpEg"])
def test_every_format_is_read_whatever_the_case_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.full((8, 8, 3), [200, 100, 40], np.uint8))
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / f"x.{suffix}"
    image.save(file, {"JpEg": "jpeg", "TIF": "tiff"}.get(suffix, suffix))
    assert [found.name for found in list_images(tmp_path)] == [f"x.{suffix}"]
    assert np.abs(read_image(file).astype(int) - [200, 100, 40]).max() <= 4
    assert upright_size(file) == (8, 8)


def test_of_a_gif_that_moves_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "x.gif")[0, 0].tolist() == [255, 0, 0]


def test_what_systems_leave_behind_is_passed_over_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a/.DS_Store", "a/Thumbs.db", "a/._1.png", "b/desktop.ini", "__MACOSX/a/._1.png", ".git/x")
    for name in ("a/1.png", "b/1.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    seen = located(tmp_path).seen
    assert seen is not None
    assert seen.images == {"a": 1, "b": 1}
    assert seen.skipped == {"": {"system files": 2}, "a": {"system files": 3}, "b": {"system files": 1}}
    said = list(lines(Account(set="local", images=seen.images, seen=seen)))
    assert said == [
        "local: 2 files or images found, 2 used",
        "local: passed over, 6 system files (a 3, b 1)",
    ]


def located(path: Path, **data: object) -> Source:
    machine = Machine(cache=path.parent / "cache")
    return locate(f"folder:{path}", Data.model_validate({"source": "folder:x", **data}), machine, path)


SIDES = ("train/ant/1.png", "train/bee/1.png", "VALID/ant/1.png", "VALID/bee/2.png", "test/ant/3.png")


def test_folders_for_training_validation_and_test_are_the_official_split(tmp_path: Path) -> None:
    for name in SIDES:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(1, seed=len(name))[0]).save(tmp_path / "x" / name)
    reader = folder(tmp_path / "x")
    assert (reader.classes, reader.labels.tolist()) == (("ant", "bee"), [0, 0, 0, 1, 1])
    assert reader.split is not None
    assert dict(zip(reader.names, reader.split.tolist(), strict=True)) == {
        name: {"train": 0, "VALID": 1, "test": 2}[name.split("/")[0]] for name in SIDES
    }
    source = located(tmp_path / "x")
    assert source.official
    assert source.seen is not None
    assert source.seen.images == {"ant": 3, "bee": 2}
    (tmp_path / "x/train/ant/1.png").rename(tmp_path / "x/test/ant/1.png")
    assert located(tmp_path / "x").fingerprint != source.fingerprint


@pytest.mark.parametrize(
    "names",
    [("train/1.png", "test/1.png"), ("train/1.png", "val/2.png", "bee/1.png")],
    ids=["images directly inside", "a folder of another name"],
)
def test_classes_that_are_called_like_sides_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert {file.side for file in list_images(fill(tmp_path, *names))} == {""}


def test_class_folders_of_a_side_may_hold_folders_of_patients(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/P1/1.png", "train/b/P2/1.png", "test/a/P3/1.png", "test/b/P4/1.png")
    files = list_images(tmp_path, between=True)
    assert files[0].relative == "train/a/P1/1.png"
    assert folder(tmp_path, groups="folder").columns["folder"]() == ["P1", "P3", "P2", "P4"]


def test_a_link_to_itself_is_no_image(tmp_path: Path) -> None:

    path = write_folder(tmp_path / "cells", noise(4, size=16), [0, 0, 1, 1], ["a", "b"])
    (path / "a" / "self.png").symlink_to("self.png")
    found = {of.name: of for of in _scan(path, between=False)}
    assert len(found["a"].files) == 2
    assert found["a"].other == {"links to nothing": 1}


def test_a_class_folder_that_is_called_by_a_space_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, noise(2), [0, 1], ["ant", " "])
    with pytest.raises(UserError, match='a class folder is called " "; rename it'):
        folder(tmp_path)
