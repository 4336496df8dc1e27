"""Arrays in an npz file: MedMNIST's layout or the contest's, checked; never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.images import TEST, TRAIN, VAL, Labels, Pixels
from bench.data.reader import Reader
from bench.errors import UserError, shorten

SPLIT_NAMES = {"train": TRAIN, "val": VAL, "test": TEST}


def npz_reader(path: Path, classes: Sequence[str] | None = None) -> Reader:
    """An npz in MedMNIST's layout (``train_images``, ``train_labels``, …) or with ``images`` and ``labels``.

    images  (N, H, W) or (N, H, W, C) with C 1 or 3; labels (N,) or (N, 1), whole numbers from 0
    """
    arrays = _load(path)
    parts = [name for name in SPLIT_NAMES if f"{name}_images" in arrays]
    if not parts and "images" not in arrays:
        raise UserError(
            f"{path} has the arrays {shorten(sorted(arrays), 200)}\n"
            "    needed are images and labels, or MedMNIST's train_images, train_labels, val_…, test_…"
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
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} holds a single array; save images and labels with numpy.savez")
        with archive:
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
        example = shorten(int(labels.min()) if whole else labels[:5].tolist())
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
