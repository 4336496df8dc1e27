from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise, write_folder

from bench.data import cache
from bench.data.cache import gray, open_images, open_reader
from bench.data.images import pixel_id
from bench.data.outliers import perceptual_hash
from bench.data.reader import Reader
from bench.data.reading import square
from bench.errors import UserError
from bench.plan import Source
from bench.recipe import Data

DATA = Data(source="folder:x", size_px=16)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Five images in two classes."""
    path = write_folder(tmp_path / "cells", noise(5, size=20), [0, 0, 1, 1, 1], ["a", "b"])
    return Source("folder", path, "fingerprint of cells")


def refuse(*_: object) -> Reader:
    raise AssertionError("decoded again")


def test_what_comes_back_is_what_the_source_holds(source: Source, tmp_path: Path) -> None:
    pixels = noise(5, size=20)
    images = open_images(DATA, source, tmp_path)
    np.testing.assert_array_equal(images.images, np.stack([square(image, 16) for image in pixels]))
    assert images.labels.tolist() == [0, 0, 1, 1, 1]
    assert images.classes == ("a", "b")
    assert images.split is None
    assert images.ids.tolist() == [pixel_id(image) for image in pixels]
    np.testing.assert_array_equal(images.phash, perceptual_hash(np.stack([gray(image) for image in pixels])))


def test_a_second_look_decodes_nothing_and_cannot_be_written_to(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_images(DATA, source, tmp_path)
    monkeypatch.setattr(cache, "open_source", refuse)
    second = open_images(DATA, source, tmp_path)
    np.testing.assert_array_equal(first.images, second.images)
    assert isinstance(second.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.images[0] = 0


def test_ids_and_hashes_do_not_depend_on_the_size_trained_at(source: Source, tmp_path: Path) -> None:
    small, large = (
        open_images(DATA.model_copy(update={"size_px": size}), source, tmp_path) for size in (16, 24)
    )
    assert small.images.shape[1:] != large.images.shape[1:]
    np.testing.assert_array_equal(small.ids, large.ids)
    np.testing.assert_array_equal(small.phash, large.phash)


def test_a_sources_own_split_and_class_names_are_kept(tmp_path: Path) -> None:
    pixels = noise(3, size=16)
    parts = zip(("train", "val", "test"), pixels, strict=True)
    arrays = {f"{part}_images": image[None] for part, image in parts}
    labels = {f"{part}_labels": [k] for k, part in enumerate(("train", "val", "test"))}
    np.savez(tmp_path / "x.npz", **arrays, **labels)
    data = DATA.model_copy(update={"classes": ("α", "β", "γ")})
    images = open_images(data, Source("npz", tmp_path / "x.npz", "f"), tmp_path)
    assert images.classes == ("α", "β", "γ")
    assert images.split is not None
    assert images.split.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "ids.npy", "phash.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_cache_is_built_again(source: Source, tmp_path: Path, name: str, damage: str) -> None:
    before = open_images(DATA, source, tmp_path)
    expected = np.array(before.images), before.ids.tolist()
    file = next((tmp_path / "images").glob(f"*/{name}"))
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[:-3] if damage == "cut" else b"\x93NUMPY" + content[6:40])
    after = open_images(DATA, source, tmp_path)
    np.testing.assert_array_equal(after.images, expected[0])
    assert after.ids.tolist() == expected[1]


def test_images_that_changed_in_their_place_are_decoded_again_by_the_next_process(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size, time and inode are as they were: a failing disk says nothing of it."""
    expected = np.array(open_images(DATA, source, tmp_path).images)
    file = next((tmp_path / "images").glob("*/images.npy"))
    stat = file.stat()
    with file.open("rb+") as content:
        content.seek(-400, os.SEEK_END)
        content.write(bytes(400))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    monkeypatch.setattr(cache, "_whole", {})
    np.testing.assert_array_equal(open_images(DATA, source, tmp_path).images, expected)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "ids.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["pipe", "deep", "number"])
def test_a_cache_that_holds_something_else_is_built_again(
    source: Source, tmp_path: Path, name: str, damage: str
) -> None:
    before = open_images(DATA, source, tmp_path).ids.tolist()
    file = next((tmp_path / "images").glob(f"*/{name}"))
    file.unlink()
    if damage == "pipe":
        os.mkfifo(file)
    else:
        file.write_text("[" * 100_000 if damage == "deep" else "5")
    assert open_images(DATA, source, tmp_path).ids.tolist() == before


@pytest.mark.parametrize("name", ["labels.npy", "ids.npy", "phash.npy"])
def test_a_single_changed_byte_beside_the_images_is_noticed(
    source: Source, tmp_path: Path, name: str
) -> None:
    before = open_images(DATA, source, tmp_path)
    file = next((tmp_path / "images").glob(f"*/{name}"))
    content = bytearray(file.read_bytes())
    content[-8] ^= 1  # the lowest byte of the last number
    file.write_bytes(content)
    after = open_images(DATA, source, tmp_path)
    assert after.labels.tolist() == before.labels.tolist()
    assert after.ids.tolist() == before.ids.tolist()
    assert after.phash.tolist() == before.phash.tolist()


def test_all_broken_images_are_named_together_up_to_twenty(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cells", noise(30), [0, 1] * 15, ["a", "b"])
    broken = sorted(folder.glob("a/*.png")) + sorted(folder.glob("b/*.png"))[:8]
    for file in broken:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="23 of 30 images cannot be read") as error:
        open_images(DATA, Source("folder", folder, "f"), tmp_path)
    assert sum(str(file) in str(error.value) for file in broken) == 20
    assert "… and 3 more" in str(error.value)
    assert [entry.name for entry in (tmp_path / "images").iterdir() if entry.is_dir()] == []


def test_an_interruption_leaves_nothing_behind_and_the_next_call_starts_again(
    source: Source, tmp_path: Path
) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(DATA, source, tmp_path, progress=interrupt)
    assert [entry.name for entry in (tmp_path / "images").iterdir() if entry.is_dir()] == []
    assert len(open_images(DATA, source, tmp_path)) == 5


def test_progress_ends_with_everything(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 2)
    seen: list[tuple[int, int]] = []
    open_images(DATA, source, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_two_callers_at_once_decode_a_source_once(tmp_path: Path) -> None:
    """Threads here, but each opens the lock file itself, as processes do."""
    pixels, built = noise(600), []
    together = threading.Barrier(2)

    def reader() -> Reader:
        built.append(threading.get_ident())
        time.sleep(0.05)
        return Reader(("a", "b"), np.arange(600, dtype=np.int64) % 2, 3, lambda index: pixels[index])

    def ask(_: int) -> int:
        together.wait()
        return len(open_reader("key", reader, 16, tmp_path))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [600, 600]
    assert len(built) == 1


def test_the_largest_central_square_is_kept() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 9
    np.testing.assert_array_equal(square(image, 4), np.full((4, 4, 3), 9))
    np.testing.assert_array_equal(square(image.transpose(1, 0, 2), 4), np.full((4, 4, 3), 9))


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_an_image_of_the_right_size_is_left_alone(fit: str) -> None:
    image = noise(1)[0]
    np.testing.assert_array_equal(square(image, 16, fit), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("fill", "bars"),
    [("black", [0, 0]), ("white", [255, 255]), ("edge", [10, 40]), ("reflect", [20, 30])],
)
def test_padding_keeps_the_whole_image_between_bars(fill: str, bars: list[int], channels: int) -> None:
    column = np.repeat(np.array([10, 20, 30, 40], np.uint8), channels).reshape(1, 4, channels)
    tall = np.broadcast_to(column, (6, 4, channels))
    made = square(tall, 6, "pad", fill)
    assert made.shape == (6, 6, channels)
    np.testing.assert_array_equal(made[:, 1:5], tall)
    assert made[0, [0, 5], 0].tolist() == bars
    np.testing.assert_array_equal(square(tall.transpose(1, 0, 2), 6, "pad", fill), made.transpose(1, 0, 2))


def test_padding_a_very_long_image_leaves_a_pixel_of_it() -> None:
    line = np.full((2, 500, 3), 200, np.uint8)
    for fill in ("black", "edge", "reflect"):
        assert square(line, 16, "pad", fill).max() == 200


def test_squashing_keeps_both_ends() -> None:
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 16:] = 240
    made = square(wide, 8, "squash")
    assert made.shape == (8, 8, 3)
    assert (made[:, 0].max(), made[:, 7].min()) == (0, 240)


def test_each_way_to_become_square_has_a_place_of_its_own_in_the_cache(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=noise(4, size=24)[:, :, :16], labels=[0, 1, 0, 1])
    data = Data(source="npz:x.npz", size_px=16)
    source = Source("npz", tmp_path / "x.npz", "0" * 64)
    made = {}
    for fit, fill in (("crop", "black"), ("pad", "black"), ("pad", "white"), ("squash", "black")):
        wanted = data.model_copy(update={"fit": fit, "fill": fill})
        images = open_images(wanted, source, tmp_path / "cache")
        native = noise(4, size=24)[:, :, :16]
        np.testing.assert_array_equal(images.images, [square(image, 16, fit, fill) for image in native])
        made[fit, fill] = images
    assert len({images.ids.tobytes() for images in made.values()}) == 1


def test_shrinking_averages_instead_of_picking() -> None:
    checkers = np.indices((32, 32)).sum(0)[..., None] % 2 * np.uint8(255)
    small = square(checkers.astype(np.uint8), 16)
    assert small.shape == (16, 16, 1)
    assert np.abs(small.astype(int) - 127.5).max() < 40


def test_gray_and_colour_images_become_the_same_gray() -> None:
    image = noise(1)[0][..., :1]
    np.testing.assert_array_equal(gray(image), gray(image.repeat(3, axis=2)))


def test_native_sizes_are_noted_as_images_are_decoded(tmp_path: Path) -> None:
    """Those of drawings are not: they have none."""
    write_folder(tmp_path / "cells", noise(3, size=24), [0, 1, 0], ["a", "b"])
    Image.fromarray(noise(1, size=40)[0][:30]).save(tmp_path / "cells" / "b" / "z.png")
    source = Source("folder", tmp_path / "cells", "f" * 64)
    images = open_images(Data(source="folder:cells", size_px=16), source, tmp_path / "cache")
    assert images.sizes is not None
    assert images.sizes.tolist() == [[24, 24]] * 3 + [[40, 30]]
    drawn = Data(source="synthetic", size_px=16, n_images=120)
    assert open_images(drawn, Source("synthetic", None, "d"), tmp_path / "cache").sizes is None


def test_a_disk_that_fills_while_images_are_decoded_is_told_as_the_caches(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"it belongs to the cache {tmp_path}: .* BENCH_CACHE") as caught:
            open_images(DATA, source, tmp_path)
    assert caught.value.errno == errno.ENOSPC, "a worker takes it for the machine's failure"
    assert len(open_images(DATA, source, tmp_path)) == 5
