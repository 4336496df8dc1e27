from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from samples import noise

from bench.data.reading import UnreadableError, header, read
from bench.data.sources.folder import folder, list_images
from bench.errors import UserError

TIMES = 10 if "DEEP" in os.environ else 1
"""``just deep`` takes ten times as much; here a seeded tenth of it."""
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")

GRAY, RGB, GRAY_ALPHA, RGB_ALPHA = 0, 2, 4, 6
"""Colour types of the PNG format."""


def png16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of (H, W, C) uint16, which Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, **given: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **given)  # type: ignore[arg-type]
    return buffer.getvalue()


def saved(image: Image.Image, kind: str = "png", **given: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **given)
    return buffer.getvalue()


# -- more than 8 bits ----------------------------------------------------------------------------------------

TWO = np.array([[[0], [257 * 100]], [[257 * 200], [65535]]], np.uint16)
"""Gray values that are 0, 100, 200 and 255 in 8 bits."""
IN_COLOUR = np.concatenate([TWO, TWO[::-1], TWO[:, ::-1]], axis=2)
OPAQUE = np.full_like(TWO, 65535)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (png16(TWO, GRAY), False),
        (png16(IN_COLOUR, RGB), True),
        (png16(np.concatenate([TWO, OPAQUE], 2), GRAY_ALPHA), False),
        (png16(np.concatenate([IN_COLOUR, OPAQUE], 2), RGB_ALPHA), True),
        (tiff(TWO[..., 0]), False),
        (tiff(TWO[..., 0], byteorder=">"), False),
        (tiff(65535 - TWO[..., 0], photometric="miniswhite"), False),
        (tiff(IN_COLOUR, photometric="rgb"), True),
        (tiff(IN_COLOUR, photometric="rgb", byteorder=">", compression="zlib"), True),
        (tiff(np.moveaxis(IN_COLOUR, 2, 0), photometric="rgb", planarconfig="separate"), True),
        (tiff(np.concatenate([IN_COLOUR, OPAQUE], 2), photometric="rgb", extrasamples=["unassalpha"]), True),
        (tiff(np.concatenate([IN_COLOUR, TWO], 2), photometric="rgb", extrasamples=["unspecified"]), True),
    ],
)
def test_sixteen_bits_become_eight_over_the_full_depth(content: bytes, colour: bool) -> None:
    gray = np.array([[[0], [100]], [[200], [255]]], np.uint8)
    expected = np.concatenate([gray, gray[::-1], gray[:, ::-1]], 2) if colour else gray.repeat(3, axis=2)
    np.testing.assert_array_equal(read(content), expected)
    assert header(content).bits == 16


def test_a_declared_range_becomes_0_to_255_and_what_is_outside_is_clipped() -> None:
    values = np.array([[[99], [100]], [[2148], [5000]]], np.uint16)
    found = read(png16(values.repeat(3, axis=2), RGB), (100, 4195))
    assert found[..., 0].tolist() == [[0, 0], [128, 255]]  # (2148 − 100) / 4095 · 255 = 127.5 → 128
    plain = noise(1)[0]
    np.testing.assert_array_equal(read(saved(Image.fromarray(plain)), (100, 4195)), plain)  # 8 bits stay


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tiff(np.zeros((4, 4), np.float32)), "32-bit F pixels; 8 and 16 bits per channel are read"),
        (tiff(np.zeros((4, 4), np.int32)), "32-bit I pixels"),
        (tiff(np.zeros((4, 4, 4), np.uint16), photometric="separated"), "16-bit CMYK pixels"),
        (tiff(np.zeros((3, 4, 4), np.uint8), photometric="minisblack"), "holds 3 pictures, a file of one"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused_by_name(content: bytes, says: str) -> None:
    with pytest.raises(UnreadableError, match=says):
        read(content)


# -- transparency --------------------------------------------------------------------------------------------


def test_transparent_pixels_are_laid_on_white_whatever_colour_is_below() -> None:
    pixels = np.array([[[200, 0, 40, 0], [200, 0, 40, 255]], [[200, 0, 40, 51], [0, 0, 0, 102]]], np.uint8)
    expected = [[[255, 255, 255], [200, 0, 40]], [[244, 204, 212], [153, 153, 153]]]  # 51/255 = 1/5
    assert read(saved(Image.fromarray(pixels, "RGBA"))).tolist() == expected
    wide = np.concatenate([pixels[..., :3], pixels[..., 3:]], 2).astype(np.uint16) * 257
    assert read(png16(wide, RGB_ALPHA)).tolist() == expected
    gray = np.array([[[0, 0], [10, 255]]], np.uint8)
    assert read(saved(Image.fromarray(gray, "LA"))).tolist() == [[[255] * 3, [10] * 3]]


def test_a_transparent_colour_of_a_palette_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 80, 80, 80])
    image.putdata([0, 1])
    assert read(saved(image, transparency=0)).tolist() == [[[255] * 3, [80] * 3]]
    assert header(saved(image, transparency=0)).transparent
    assert read(saved(image)).tolist() == [[[9] * 3, [80] * 3]]


def test_an_alpha_channel_that_hides_nothing_changes_nothing() -> None:
    pixels = noise(1)[0]
    image = Image.fromarray(pixels)
    image.putalpha(255)
    np.testing.assert_array_equal(read(saved(image)), pixels)
    assert not header(saved(image)).transparent


# -- what lies beside the picture ----------------------------------------------------------------------------


def test_a_photo_with_any_exif_block_is_read_as_it_lies() -> None:
    pixels = noise(1, size=24)[0]
    plain = read(saved(Image.fromarray(pixels), "jpeg"))
    chance = random.Random(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 1, "maker", "2020:01:01 00:00:00"
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00", 0x829A: 0.01}
    block = exif.tobytes()
    for _ in range(150 * TIMES):
        odd = bytearray(block)
        for _ in range(chance.randint(1, 12)):
            odd[chance.randrange(6, len(odd))] = chance.randrange(256)
        found = read(saved(Image.fromarray(pixels), "jpeg", exif=bytes(odd)))
        assert any(np.array_equal(turned, found) for turned in _all_ways(plain))


def _all_ways(pixels: np.ndarray) -> list[np.ndarray]:
    """The eight ways that an orientation can turn a picture."""
    return [np.rot90(side, k) for side in (pixels, pixels[:, ::-1]) for k in range(4)]


def test_five_megabytes_of_text_beside_the_picture_do_not_matter() -> None:
    pixels = noise(1)[0]
    for zipped in (False, True):
        text = PngInfo()
        text.add_text("notes", "x" * 5_000_000, zip=zipped)
        np.testing.assert_array_equal(read(saved(Image.fromarray(pixels), pnginfo=text)), pixels)


@pytest.mark.parametrize("kind", ["jpeg", "png", "png with right checksums", "tiff"])
def test_a_damaged_file_is_read_or_refused_never_anything_else(kind: str) -> None:
    form, mend = kind.split()[0], kind.endswith("checksums")
    whole = saved(Image.fromarray(noise(1, size=24)[0]), form)
    refused = sum(_refused(whole, random.Random(seed), mend) for seed in range(50 * TIMES))
    assert 5 * TIMES < refused <= 50 * TIMES


def _summed(content: bytes) -> bytes:
    """A PNG with the checksum of every whole chunk made right: else a decoder sees none of the damage."""
    mended, at = bytearray(content), 8
    while (end := at + 8 + int.from_bytes(mended[at : at + 4], "big")) + 4 <= len(mended):
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def _refused(whole: bytes, chance: random.Random, mend: bool) -> bool:
    damaged = bytearray(whole)
    for _ in range(chance.randint(1, 20)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    content = bytes(damaged[: chance.randint(1, len(damaged))] if chance.random() < 0.3 else damaged)
    content = _summed(content) if mend else content
    try:
        header(content)
        return read(content).shape[2] != 3
    except UnreadableError as error:
        return bool(str(error))


def test_a_name_that_is_not_utf_8_is_read_and_shown(tmp_path: Path) -> None:
    for name in (b"cat/\xff.png", b"dog/a.png"):
        file = Path(str(tmp_path)) / name.decode("utf-8", "surrogateescape")
        file.parent.mkdir()
        file.write_bytes(saved(Image.fromarray(noise(1)[0])))
    reader = folder(tmp_path)
    assert list(reader.names) == ["cat/�.png", "dog/a.png"]
    np.testing.assert_array_equal(reader.native(0), noise(1)[0])
    (tmp_path / b"\xfe".decode("utf-8", "surrogateescape")).mkdir()
    (tmp_path / b"\xfe".decode("utf-8", "surrogateescape") / "1.png").write_bytes(b"x")
    with pytest.raises(UserError, match="not UTF-8: �\n    rename them"):
        list_images(tmp_path)
