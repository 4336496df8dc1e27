"""Sources decoded once: images at the study's size in a memory-mapped file, shared by every process.

Layout of ``<cache>/images/<key>/``: ``images.npy`` (N, S, S, C) uint8, ``labels.npy`` (N,) int64, ``ids.npy``
and ``phash.npy`` (N,) uint64, ``split.npy`` (N,) int8 where the source has one, ``sizes.npy`` (N, 2) int32 of
native images where it has such, and ``meta.json``, which says what the others must look like. A folder
appears whole or not at all; a damaged one is built again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.claims import alone
from bench.data.groups import groups_of
from bench.data.images import Images, Pixels, npy_header, pixel_id
from bench.data.outliers import GRAY_PX, perceptual_hash
from bench.data.reader import BrokenImageError, Reader, once, open_source
from bench.data.reading import square
from bench.errors import UserError
from bench.files import CACHE_SETTING, Count, content_of, filling, json_of, named, opened
from bench.plan import Source, fingerprint
from bench.recipe import Data

CACHE_VERSION = 1
"""Raised when decoding, resizing or hashing changes."""
THREADS = 2
"""Pillow and SHA-256 release the interpreter; more threads only compete for one disk."""
BLOCK = 512
SHOWN_BROKEN = 20


class _DamagedError(Exception):
    """A cache folder that is not what its meta.json says."""


def open_images(data: Data, source: Source, cache: Path, progress: Count | None = None) -> Images:
    """Every image of a source, made square as ``data`` says, decoded once and memory-mapped afterwards.

    progress  called with (images done, images in all) while decoding
    Raises UserError that names all broken images together, or counts those without a group.
    """
    fit = () if data.fit == "crop" else (data.fit, data.fill)
    key = fingerprint([source.kind, source.fingerprint, data.size_px, data.classes, CACHE_VERSION, *fit])
    reader = once(lambda: open_source(data, source))
    # Groups first: what is wrong with them is told before an hour of decoding.
    groups = None if data.groups is None else groups_of(reader(), data.groups, data.source)
    images = open_reader(key, reader, data.size_px, cache, progress, fit)
    return images if groups is None else replace(images, groups=groups)


def open_reader(
    key: str,
    reader: Callable[[], Reader],
    size_px: int,
    cache: Path,
    progress: Count | None = None,
    fit: Sequence[str] = (),
) -> Images:
    """The images that ``reader()`` gives, square at ``size_px``, under ``key`` in the cache.

    fit   how they become square, see ``reading.square``; empty: its defaults

    Two processes that want the same images decode them once: the second waits for the first.

    Raises OSError that names the cache where that is full or cannot be written.
    """
    folder = cache / "images" / key[:32]
    try:
        return _load(folder)
    except _DamagedError:
        pass  # not there yet, or not whole: a claim decides who builds it
    with filling(cache, CACHE_SETTING):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(cache, f"images-{folder.name}"):
            try:
                return _load(folder)
            except _DamagedError:
                _build(folder, reader(), size_px, progress, fit)
    return _load(folder)


def _load(folder: Path) -> Images:
    """Raises _DamagedError when anything is missing or not as described."""
    try:
        meta = json_of(folder / "meta.json")
        images = mapped(folder / "images.npy", meta.get("images_sha256"))
        if list(images.shape) != meta["shape"] or images.dtype != np.uint8:
            raise _DamagedError(f"images.npy has shape {images.shape}")
        arrays = {name: _checked(folder / f"{name}.npy", sha256) for name, sha256 in meta["sha256"].items()}
        return Images(
            images,
            arrays["labels"],
            arrays["ids"],
            classes=tuple(meta["classes"]),
            split=arrays.get("split"),
            phash=arrays["phash"],
            sizes=arrays.get("sizes"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise _DamagedError(f"{folder}: {error}") from error


_whole: dict[Path, tuple[object, ...]] = {}
"""Files whose content this process has hashed: the checksum, and time, size and inode then."""


def mapped(file: Path, sha256: str | None, mode: Literal["r", "c"] = "r") -> npt.NDArray[Any]:
    """The array of a file, mapped into memory; its bytes are checked once in a process, and when they change.

    sha256   hex, of the whole file; None: a cache of before has none, and is taken as it is
    mode     ``r``, or ``c`` for private pages that may be written into

    Raises ValueError for other bytes than those, OSError for no file.
    """
    with opened(file) as content:  # not through the mapping, whose pages would count as memory
        stat = os.fstat(content.fileno())
        stamp = (sha256, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if sha256 is not None and _whole.get(file) != stamp:
            if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
                raise ValueError(f"{file} has changed")
            _whole[file] = stamp
    array: npt.NDArray[Any] = np.load(file, mmap_mode=mode, allow_pickle=False)
    return array


def _checked(file: Path, sha256: str) -> npt.NDArray[Any]:
    content = content_of(file)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _DamagedError(f"{file.name} has changed")
    array: npt.NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _build(folder: Path, reader: Reader, size_px: int, progress: Count | None, fit: Sequence[str]) -> None:
    """Decode into a temporary folder beside ``folder``, then rename: whole or not at all."""
    count = len(reader.labels)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        shape = (count, size_px, size_px, reader.channels)
        # Written and not mapped: pages of a mapping would count as this process's memory.
        with (temporary / "images.npy").open("wb") as file:
            told = hashlib.sha256()

            def write(block: bytes | memoryview) -> None:
                told.update(block)
                with named(folder):
                    file.write(block)

            write(npy_header(shape))
            arrays = _decode(reader, shape, write, progress, fit)
            with named(folder):
                file.flush()
                os.fsync(file.fileno())
        hashes = {name: _save(temporary / f"{name}.npy", array) for name, array in arrays.items()}
        meta = {"version": CACHE_VERSION, "shape": shape, "classes": reader.classes, "sha256": hashes}
        meta["images_sha256"] = told.hexdigest()
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(file: Path, array: npt.NDArray[Any]) -> str:
    np.save(file, array, allow_pickle=False)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _decode(
    reader: Reader,
    shape: Sequence[int],
    write: Callable[[memoryview], Any],
    progress: Count | None,
    fit: Sequence[str],
) -> dict[str, npt.NDArray[Any]]:
    """Hand images of ``shape`` (N, S, S, C) to ``write``, block by block; returns what else is kept of them.

    That is labels, ids, phash, sizes (but of drawings) and, where there is one, split, each of N.
    Native pixels are read once: for the image, its id, its perceptual hash and its size.
    """
    count, size_px = len(reader.labels), shape[1]
    ids, phash = np.empty(count, np.uint64), np.empty(count, np.uint64)
    sizes = np.empty((count, 2), np.int32)
    images = np.empty((min(BLOCK, count), *shape[1:]), np.uint8)
    broken: list[str] = []
    drawn = reader.drawn

    def decode(index: int) -> tuple[int, Pixels] | str:
        try:
            native = reader.native(index)
        except BrokenImageError as error:
            return str(error)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # a source of somebody else's: whatever it raises, an image is at fault
            called = reader.names[index] if reader.names else f"image {index}"
            return f"{called}: {type(error).__name__}: {error}"
        if native.dtype != np.uint8 or native.shape[2:] != (reader.channels,):
            raise UserError(
                f"image {index} is {native.dtype} {native.shape}\n"
                f"    a source's reader gives (H, W, {reader.channels}) uint8, as its channels say"
            )
        images[index % BLOCK] = square(native, size_px, *fit) if drawn is None else drawn(index)
        sizes[index] = native.shape[1::-1]
        return pixel_id(native), gray(native)

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            decoded = list(pool.map(decode, range(start, stop)))
            broken += [item for item in decoded if isinstance(item, str)]
            whole = [item for item in decoded if not isinstance(item, str)]
            if not broken:
                ids[start:stop] = [item[0] for item in whole]
                phash[start:stop] = perceptual_hash(np.stack([item[1] for item in whole]))
                write(images[: stop - start].data)
            if progress:
                progress(stop, count)
    if broken:
        raise _broken_error(broken, count)
    arrays: dict[str, npt.NDArray[Any]] = {"labels": reader.labels, "ids": ids, "phash": phash}
    if drawn is None:
        arrays["sizes"] = sizes
    return arrays if reader.split is None else arrays | {"split": reader.split}


def _broken_error(broken: list[str], count: int) -> UserError:
    shown = "\n".join(f"  {line}" for line in broken[:SHOWN_BROKEN])
    more = f"\n  … and {len(broken) - SHOWN_BROKEN} more" if len(broken) > SHOWN_BROKEN else ""
    return UserError(
        f"{len(broken)} of {count} images cannot be read\n{shown}{more}\n"
        "    replace these files or delete them"
    )


def gray(native: Pixels) -> Pixels:
    """An image (H, W, C) uint8 as perceptual hashing wants it: luminance (32, 32) uint8, Lanczos."""
    from PIL import Image

    image = Image.fromarray(native).convert("L") if native.shape[2] == 3 else Image.fromarray(native[..., 0])
    return np.asarray(image.resize((GRAY_PX, GRAY_PX), Image.Resampling.LANCZOS))
