"""Arrays in an npz file: MedMNIST's layout or the contest's, checked; never unpickled."""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.arrays import Shape, pixels_of, size_of
from bench.data.content import Asked, Located
from bench.data.reader import Reader, once
from bench.errors import UserError, shorten
from bench.registry import sources

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bench.data.images import Labels, Pixels

PARTS = ("train", "val", "test")
"""In the order of ``images.TRAIN``, ``VAL`` and ``TEST``: 0, 1, 2."""
WANTED = [f"{part}{what}" for part in ("", *(f"{p}_" for p in PARTS)) for what in ("images", "labels")]

FREE_LABELS = 10_000
"""Labels below this may leave gaps: a hidden set has a few of many classes."""


LOOK = 1
"""Raised when the same arrays would be told of otherwise."""


def locate(asked: Asked) -> Located:
    """Known by its bytes; MedMNIST's layout brings its own split."""
    from bench.planned import Seen

    try:
        with zipfile.ZipFile(asked.path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{asked.path} is not a readable npz: {error}; save it with numpy.savez, or copy it again"
        ) from None
    stat = asked.path.stat()
    stamped = [(asked.path.name, stat.st_size, stat.st_mtime_ns)]
    told = asked.remembered(f"arrays-{LOOK}", stamped, lambda: _look(asked.path))
    given, counts = asked.data.classes or (), told.pop("counts")
    called = given if len(given) == len(counts) else [f"class {k}" for k in range(len(counts))]
    images = {name: count for name, count in zip(called, counts, strict=True) if count}
    official = {f"{part}_images.npy" for part in (PARTS[0], PARTS[-1])} <= names
    return Located(asked.path, asked.sha256(), official, seen=Seen(images=images, **told))


def _look(path: Path) -> dict[str, Any]:
    """Images of each label, and what the central square would leave out of them."""
    import numpy as np

    from bench.data.reading import NOTICED

    shapes = _shapes(path)
    parts = _parts(path, shapes)
    labels = [_labels(path, part, shapes) for part in parts]
    height, width, _ = size_of(path, shapes[f"{parts[0]}images"])
    cropped = 1 - min(height, width) / max(height, width)
    count = sum(map(len, labels))
    return {
        "counts": np.bincount(np.concatenate(labels)).tolist(),
        "cropped": round(cropped, 4),
        "oblong": count if cropped > NOTICED else 0,
    }


@sources.register("npz", path="file", locate=locate, numbered=True)
def npz(path: Path, classes: tuple[str, ...] | None = None) -> Reader:
    """A NumPy archive: train_images, train_labels, val_…, test_… (MedMNIST) or images, labels.

    Without val_images validation is drawn from training by each seed.

    path     images (N, H, W) or (N, H, W, C) with C 1 or 3; labels (N,) or (N, 1), whole numbers from 0; any
             other array (N,) is a column (train_patient, val_… and test_…: patient) for ``groups``
    classes  names of the labels, in their order
    """
    import numpy as np

    shapes = _shapes(path)
    parts = _parts(path, shapes)
    images = [f"{part}images" for part in parts]
    sizes = {size_of(path, shapes[name]) for name in images}
    sides = [_labels(path, part, shapes) for part in parts]
    if len(sizes) > 1:
        raise UserError(f"{path}: its images have the shapes {sorted(sizes)}, train, val and test must agree")
    height, width, channels = sizes.pop()
    labels = np.concatenate(sides)

    def load() -> list[Pixels]:
        with opened(path) as archive:
            return pixels_of(path, [archive[name] for name in images])

    return Reader(
        _class_names(path, labels, classes),
        labels,
        channels,
        _lookup(once(load), sides),
        _split(parts, sides),
        names=[f"{name}[{i}]" for name, side in zip(images, sides, strict=True) for i in range(len(side))],
        columns=_columns(path, parts),
        size=lambda _: (width, height),
    )


def _parts(path: Path, shapes: dict[str, Shape]) -> list[str]:
    """What the names of the arrays begin with, one for each part of the file."""
    parts = [part for part in PARTS if f"{part}_images" in shapes]
    if not parts and "images" not in shapes:
        with opened(path) as archive:
            found = shorten(sorted(archive.files), 200)
        raise UserError(
            f"{path} has the arrays {found}\n"
            "    needed are images and labels, or MedMNIST's train_images, train_labels, val_…, test_…"
        )
    missing = [f"{part}_images" for part in (PARTS[0], PARTS[-1]) if part not in parts]
    if parts and missing:
        raise UserError(f"{path} has no {', '.join(missing)}; save all images as images and labels instead")
    return [f"{part}_" for part in parts] or [""]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """The archive, which never unpickles; what goes wrong while it is open becomes a UserError."""
    import numpy as np

    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} holds a single array; save images and labels with numpy.savez")
        with archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{path} is damaged or no npz: {error}; save it again with numpy.savez") from None
    except MemoryError:
        raise UserError(f"{path} holds an array that no memory here can take; save it again") from None
    except ValueError as error:
        pickled = "allow_pickle" in str(error) or "pickled" in str(error)
        what = "holds Python objects, which are never loaded" if pickled else f"is damaged: {error}"
        raise UserError(f"{path} {what}; save plain number arrays with numpy.savez") from None


def _shapes(path: Path) -> dict[str, Shape]:
    """Shape of each array that this module reads, from the headers inside the archive."""
    from numpy.lib import format as header

    shapes = {}
    with opened(path) as archive, zipfile.ZipFile(path) as members:
        for name in set(WANTED).intersection(archive.files):
            with members.open(f"{name}.npy") as file:
                old = header.read_magic(file) == (1, 0)
                read = header.read_array_header_1_0 if old else header.read_array_header_2_0
                shapes[name], _, dtype = read(file)
                if not shapes[name]:
                    raise UserError(f"{path}: {name} is a single value; save an array with one row an image")
                _check_size(path, members.getinfo(f"{name}.npy"), file.tell(), shapes[name], dtype)
            if dtype.hasobject:
                raise UserError(
                    f"{path}: {name} holds Python objects, which are never loaded\n"
                    "    save plain number arrays with numpy.savez"
                )
    return shapes


def _check_size(path: Path, info: zipfile.ZipInfo, head: int, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Raise UserError for a header that promises what is not there, and for more than any memory holds."""
    told = math.prod(shape) * dtype.itemsize
    what = f"{path}: {info.filename.removesuffix('.npy')} of shape {shape}"
    if not dtype.hasobject and head + told != info.file_size:
        raise UserError(f"{what} is damaged: it holds {info.file_size - head} bytes instead of {told}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else told
    if told > memory:
        raise UserError(
            f"{what} takes {told / 1e9:.0f} GB of memory, and this machine has {memory / 1e9:.0f}"
        )


def _columns(path: Path, parts: list[str]) -> dict[str, Callable[[], npt.ArrayLike]]:
    """The file's other arrays (N,) by name: ``patient``, or ``train_patient``, ``val_…`` and ``test_…``."""
    import numpy as np

    with opened(path) as archive:
        there = set(archive.files) - set(WANTED)
    names = [name.removeprefix(parts[0]) for name in sorted(there) if name.startswith(parts[0])]

    def values(name: str) -> npt.ArrayLike:
        with opened(path) as archive:
            return np.concatenate([archive[f"{part}{name}"] for part in parts])

    return {name: partial(values, name) for name in names if there >= {f"{part}{name}" for part in parts}}


def _split(parts: list[str], sides: list[Labels]) -> npt.NDArray[np.int8] | None:
    """Side of each image, (N,) int8, where the file has parts."""
    import numpy as np

    numbers = [PARTS.index(part[:-1]) for part in parts if part]
    return np.repeat(np.array(numbers, np.int8), [len(side) for side in sides]) if numbers else None


def _labels(path: Path, part: str, shapes: dict[str, Shape]) -> Labels:
    """Labels (n,) int64 of one part, one for each of its images."""
    import numpy as np

    if f"{part}labels" not in shapes:
        raise UserError(f"{path} has {part}images but no {part}labels; it has {shorten(sorted(shapes), 200)}")
    with opened(path) as archive:
        labels: npt.NDArray[Any] = archive[f"{part}labels"]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise UserError(
            f"{path}: {part}labels has shape {labels.shape}: several labels an image, as ChestMNIST,\n"
            "    are another task; needed is (N,) or (N, 1), one class each; of one-hot rows the argmax(1)"
        )
    if labels.ndim != 1:
        raise UserError(
            f"{path}: {part}labels has shape {labels.shape}, needed is (N,) or (N, 1), one class each"
        )
    images = shapes[f"{part}images"][0]
    if not images:
        raise UserError(f"{path}: {part}images holds no image")
    if len(labels) != images:
        raise UserError(f"{path}: {images} {part}images but {len(labels)} {part}labels; one label an image")
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and bool(np.all(labels == np.floor(labels)))
    )
    if not whole or labels.min() < 0:
        example = shorten(int(labels.min()) if whole else labels[:5].tolist())
        raise UserError(f"{path}: {part}labels holds {example}; labels are whole numbers from 0")
    most = max(FREE_LABELS, sum(shape[0] for name, shape in shapes.items() if name.endswith("images")))
    if labels.max() >= most:
        different = len(np.unique(labels))
        raise UserError(
            f"{path}: {part}labels goes up to {labels.max():.0f} with {different} different ones\n"
            "    each number up to the largest would be a class: number them from 0 without gaps, as with\n"
            "    np.unique(labels, return_inverse=True)[1]"
        )
    return labels.astype(np.int64)


def _lookup(load: Callable[[], list[Pixels]], sides: list[Labels]) -> Callable[[int], Pixels]:
    """Index into several arrays (n, H, W, C) as if they were one, without a copy."""
    import numpy as np

    starts = np.cumsum([0, *map(len, sides)])

    def native(index: int) -> Pixels:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        image: Pixels = load()[part][index - starts[part]]
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
