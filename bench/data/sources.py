"""Readers: from a source as it lies on disk to labels and native pixels, checked, nothing executed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data import bloodmnist
from bench.data.images import TEST, TRAIN, VAL, Labels, Pixels
from bench.data.listing import list_images
from bench.errors import UserError, shorten
from bench.plan import Source
from bench.recipe import Data

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a file of a few kilobytes may hold gigabytes of pixels."""
SYNTHETIC_SEED = 0
SYNTHETIC_ID_PX = 32
"""Drawings have no native size; this one gives their identity, so that it is the same at every ``size_px``."""


class BrokenImage(Exception):
    """An image that cannot be read; the text names it and says why."""


@dataclass(frozen=True)
class Reader:
    """A source opened: labels at hand, pixels on demand.

    labels   (N,) int64
    split    (N,) int8 (0 train, 1 validation, 2 test) or None
    native   index → (H, W, C) uint8 as the source stores it; raises BrokenImage; safe from several threads
    drawn    (N, S, S, C) uint8 already at the size wanted, when the source can draw any size; else None
    """

    classes: tuple[str, ...]
    labels: Labels
    channels: int
    native: Callable[[int], Pixels]
    split: npt.NDArray[np.int8] | None = None
    drawn: Pixels | None = None


def open_source(data: Data, source: Source) -> Reader:
    """The reader of a source; downloads BloodMNIST when it is not there. Raises UserError for what is wrong."""
    if source.kind == "synthetic":
        return synthetic_reader(data.n_images, data.size_px, SYNTHETIC_SEED, classes=data.classes)
    if source.path is None:
        raise ValueError(f"a source of kind {source.kind} has a path")
    if source.kind == "folder":
        return folder_reader(source.path, data.classes)
    if source.kind == "bloodmnist":
        return npz_reader(bloodmnist.fetch(source.path), data.classes or bloodmnist.CLASSES)
    return npz_reader(source.path, data.classes)


# --- folders of files ---------------------------------------------------------------------------------------


def folder_reader(folder: Path, classes: Sequence[str] | None = None) -> Reader:
    """Class folders of JPEG and PNG files; classes in the order of their sorted names, or of ``classes``."""
    files = list_images(folder)
    found = sorted({file.class_name for file in files})
    if classes is not None and sorted(classes) != found:
        raise UserError(
            f"[data] classes = {shorten(list(classes), 200)} do not match the class folders of {folder}\n"
            f"    its folders are {shorten(found, 300)}; leave classes out, or give the same names in another order"
        )
    names = tuple(classes or found)
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[file.class_name] for file in files], dtype=np.int64)
    paths = [folder / file.class_name / file.name for file in files]
    return Reader(names, labels, 3, lambda index: read_image(paths[index]))


def read_image(path: Path) -> Pixels:
    """One JPEG or PNG as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Raises BrokenImage for a truncated or damaged file, another format, more than 8 bits, or too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BrokenImage(f"{path}: {width} × {height} pixels, at most {MAX_PIXELS:,} are read")
            if image.mode.startswith(("I", "F")):
                raise BrokenImage(f"{path}: {image.mode} pixels, only 8 bits per channel are read")
            image.verify()
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Image.UnidentifiedImageError:
        raise BrokenImage(f"{path}: {'empty file' if not content else 'not a JPEG or PNG image'}") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BrokenImage(f"{path}: {error}") from None


# --- npz files ----------------------------------------------------------------------------------------------

SPLIT_NAMES = {"train": TRAIN, "val": VAL, "test": TEST}


def npz_reader(path: Path, classes: Sequence[str] | None = None) -> Reader:
    """An npz in MedMNIST's layout (``train_images``, ``train_labels``, … own split) or with ``images``, ``labels``.

    images  (N, H, W) or (N, H, W, C) with C 1 or 3; labels (N,) or (N, 1), whole numbers from 0
    """
    arrays = _load(path)
    parts = [name for name in SPLIT_NAMES if f"{name}_images" in arrays]
    if not parts and "images" not in arrays:
        raise UserError(
            f"{path} has the arrays {shorten(sorted(arrays), 200)}\n"
            "    needed are images and labels, or train_images, train_labels, val_…, test_… (MedMNIST's layout)"
        )
    if parts and len(parts) < len(SPLIT_NAMES):
        missing = [f"{name}_images" for name in SPLIT_NAMES if name not in parts]
        raise UserError(f"{path} has no {', '.join(missing)}; save all images as images and labels instead")
    pairs = [_pair(path, arrays, f"{name}_" if parts else "") for name in parts or [""]]
    images = _as_uint8(path, [_with_channels(path, pair[0]) for pair in pairs])
    shapes = {array.shape[1:] for array in images}
    if len(shapes) > 1:
        raise UserError(
            f"{path}: its images have the shapes {sorted(shapes)}, train, val and test must agree"
        )
    labels = np.concatenate([pair[1] for pair in pairs])
    split = None
    if parts:
        sides = [
            np.full(len(pair[1]), SPLIT_NAMES[name], np.int8) for name, pair in zip(parts, pairs, strict=True)
        ]
        split = np.concatenate(sides)
    names = _class_names(path, labels, classes)
    return Reader(names, labels, images[0].shape[3], _lookup(images), split)


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays this module reads; never unpickles."""
    wanted = {f"{part}{what}" for part in ("", "train_", "val_", "test_") for what in ("images", "labels")}
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(f"{path} holds a single array; save images and labels with numpy.savez")
            found = archive.files
            arrays = {}
            for key in sorted(wanted.intersection(found)):
                arrays[key] = archive[key]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{path} is damaged or no npz: {error}; save it again with numpy.savez") from None
    except ValueError as error:
        pickled = "allow_pickle" in str(error) or "pickled" in str(error)
        what = "holds Python objects, which are never loaded" if pickled else f"is damaged: {error}"
        raise UserError(
            f"{path}: {key or 'file'} {what}; save plain number arrays with numpy.savez"
        ) from None
    return arrays or dict.fromkeys(found, np.empty(0))


def _pair(path: Path, arrays: dict[str, npt.NDArray[Any]], part: str) -> tuple[npt.NDArray[Any], Labels]:
    """Images as stored and labels (N,) int64 of one part, of equal length."""
    if f"{part}labels" not in arrays:
        raise UserError(f"{path} has {part}images but no {part}labels; it has {shorten(sorted(arrays), 200)}")
    images, labels = arrays[f"{part}images"], arrays[f"{part}labels"]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(
            f"{path}: {part}labels has shape {labels.shape}, needed is (N,) or (N, 1), one class each"
        )
    if len(labels) != len(images) or not len(labels):
        raise UserError(
            f"{path}: {len(images)} {part}images but {len(labels)} {part}labels; one label an image"
        )
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and bool(np.all(labels == np.floor(labels)))
    )
    if not whole or labels.min() < 0:
        example = shorten(labels[: 5 if not whole else 0].tolist() or labels.min())
        raise UserError(f"{path}: {part}labels holds {example}; labels are whole numbers from 0")
    return images, labels.astype(np.int64)


def _with_channels(path: Path, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, H, W) or (N, H, W, C) → (N, H, W, C) with C 1 or 3."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        hint = "; channels come last: transpose it to (N, H, W, C)" if images.ndim == 4 else ""
        raise UserError(
            f"{path}: images of shape {images.shape}, needed is (N, H, W), (N, H, W, 1) or (N, H, W, 3){hint}"
        )
    return images


def _as_uint8(path: Path, arrays: list[npt.NDArray[Any]]) -> list[Pixels]:
    """Pixels as 0 to 255, exactly: whole numbers from 0 to 255 stay; floats from 0 to 1 are ×255, rounded.

    One rule for all parts of a file. Raises UserError for anything else, also for NaN.
    """
    if all(array.dtype == np.uint8 for array in arrays):
        return arrays
    kinds = {array.dtype.kind for array in arrays}
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    if kinds <= {"f"} and 0 <= low <= high <= 1:
        return [np.round(array * np.float64(255)).astype(np.uint8) for array in arrays]
    whole = kinds <= {"f", "i", "u"} and 0 <= low <= high <= 255
    if whole and all(np.array_equal(array, np.floor(array)) for array in arrays):
        return [array.astype(np.uint8) for array in arrays]
    types = ", ".join(sorted({str(array.dtype) for array in arrays}))
    raise UserError(
        f"{path}: pixels are {types} from {low:g} to {high:g}\n"
        "    allowed are uint8, whole numbers from 0 to 255, or floats from 0 to 1"
    )


def _lookup(arrays: list[Pixels]) -> Callable[[int], Pixels]:
    """Index into several arrays (n, H, W, C) as if they were one, without a copy."""
    starts = np.cumsum([0, *map(len, arrays)])

    def native(index: int) -> Pixels:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        image: Pixels = arrays[part][index - starts[part]]
        return image

    return native


def _class_names(path: Path, labels: Labels, classes: Sequence[str] | None) -> tuple[str, ...]:
    count = int(labels.max()) + 1
    if classes is None:
        return tuple(f"class {k}" for k in range(count))
    if len(classes) != count:
        raise UserError(
            f"{path}: [data] classes gives {len(classes)} names, but the labels go from 0 to {count - 1}\n"
            f"    give {count} names, in label order"
        )
    return tuple(classes)


# --- drawings -----------------------------------------------------------------------------------------------


def synthetic_reader(
    n_images: int,
    size_px: int,
    seed: int,
    *,
    classes: Sequence[str] | None = None,
    shift: dict[str, float] | None = None,
) -> Reader:
    """Drawn cells. ``shift`` holds the generator's own knobs (stain, illumination, scale, focus).

    Other ``classes`` than the generator's rename its eight; with another number of names the drawings are dealt
    out to the classes in turn: smoke runs need some image of every class, not a sensible one.
    """
    from bench.data import synthetic

    drawn, labels = synthetic.draw(n_images, size_px, seed, **(shift or {}))
    small = drawn
    if size_px != SYNTHETIC_ID_PX:
        small, _ = synthetic.draw(n_images, SYNTHETIC_ID_PX, seed, **(shift or {}))
    names = tuple(classes or synthetic.CLASSES)
    if len(names) != len(synthetic.CLASSES):
        labels = np.arange(n_images, dtype=np.int64) % len(names)
    return Reader(names, labels, 3, lambda index: small[index], drawn=drawn)
