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
from bench.data.reader import BrokenImageError
from bench.data.sources.folder import folder, list_images, read_image, upright_size
from bench.errors import UserError


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
        (b"hello", "not a JPEG, PNG or TIFF image"),
        (encoded("jpeg")[:900], "truncated"),
        (encoded("png")[:900], "x.png"),
        (flipped(encoded("png")), "x.png"),
        (encoded("gif"), "not a JPEG, PNG or TIFF image"),
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
    fill(tmp_path, "a/1.png", "train/cats/1.png", "train/dogs/1.png", "scans/1.webp")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError) as error:
        list_images(tmp_path)
    text = str(error.value)
    assert "scans/ holds no image, only 1 .webp files" in text
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
