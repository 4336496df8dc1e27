"""Folders of images: one folder per class."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.data.classes import in_order, numbers, one_form
from bench.data.content import Asked, Located
from bench.data.reader import BrokenImageError, Reader, Size
from bench.errors import UserError, shorten
from bench.registry import sources

if TYPE_CHECKING:
    from bench.data.images import Pixels

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
ADVICE = (
    "a folder source holds one folder per class, and in each of them its JPEG, PNG or TIFF images;\n"
    '    with [data] groups = "folder" in folders of their own, one per patient'
)
READING = 2
"""Raised when images are read otherwise; part of what those are that it changes."""
OUTSIDE = ""
"""Stands for the class of images that lie beside the class folders."""
BETWEEN = "folder"
"""The column of the folders between classes and images, which are read where ``groups`` names it."""


class ImageFile(NamedTuple):
    """An image of a class folder."""

    class_name: str
    name: str
    """``img.png``, or ``PATIENT/img.png``."""
    size: int
    mtime_ns: int

    @property
    def relative(self) -> str:
        """Path below the source folder, with forward slashes."""
        return f"{self.class_name}/{self.name}"


@dataclass
class _ClassFolder:
    files: list[ImageFile] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    """What else lies there, by kind: no image of it is read."""

    @property
    def problem(self) -> str:
        """Why there is no image here."""
        if not self.other:
            return "is empty"
        found = ", ".join(f"{count} {what}" for what, count in self.other.most_common(3))
        return f"holds no image, only {found}"


def locate(asked: Asked) -> Located:
    """Known by the names and bytes of its images: what else lies in the folder does not matter."""
    from bench.plan import Seen, fingerprint  # imports pydantic

    scanned = _scan(asked.path, between=asked.data.groups == BETWEEN)
    files = _images(scanned)
    stamped = [(file.relative, file.size, file.mtime_ns) for file in files]
    content = asked.sha256(stamped)
    told = asked.remembered(f"headers-{READING}", stamped, lambda: _headers(asked.path, files))
    folders = sorted({file.class_name for file in files})
    given = asked.data.classes if sorted(asked.data.classes or ()) == folders else None
    names = given or in_order(folders)
    places = list(range(len(names)))
    renumbered = list(names) != list(given or folders) or numbers(names, numbered=False) != places
    read_otherwise = told.pop("otherwise")
    if renumbered or read_otherwise:
        # Read in the alphabet's order before, a number as a place in it, alpha as nothing, 16 bits as 8:
        # what was trained on that is another trial.
        content = fingerprint([content, names if renumbered else None, READING])
    images = Counter(one_form(file.class_name) for file in files)
    skipped = {
        one_form(name): dict(sorted(of.other.items())) for name, of in sorted(scanned.items()) if of.other
    }
    return Located(asked.path, content, seen=Seen(images=images, skipped=skipped, **told))


@sources.register("folder", path="folder", locate=locate)
def folder(
    path: Path,
    classes: tuple[str, ...] | None = None,
    bit_range: tuple[int, int] | None = None,
    groups: object = None,
) -> Reader:
    """Class folders of JPEG, PNG or TIFF files.

    path       holds one folder per class, and each of them its .jpg, .jpeg, .png, .tif or .tiff images
    classes    the folders' names in another order: else whole numbers come by value, others by the alphabet
    bit_range  the values of 16-bit images that become 0 and 255; else 0 and 65535
    groups     ``"folder"``: each class folder holds folders of images, one per patient, say
    """
    import numpy as np

    between = groups == BETWEEN
    files = list_images(path, between=between)
    found = in_order(file.class_name for file in files)
    if classes is not None and sorted(classes) != sorted(found):
        raise UserError(
            f"[data] classes = {shorten(list(classes), 200)} do not match the class folders of {path}\n"
            f"    its folders are {shorten(list(found), 300)}; leave classes out, or reorder these"
        )
    names = classes or found
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[one_form(file.class_name)] for file in files], dtype=np.int64)
    called = [file.relative for file in files]
    return Reader(
        names,
        labels,
        3,
        lambda index: read_image(path / called[index], bit_range),
        names=list(map(shown, called)),
        columns={BETWEEN: lambda: [file.name.rpartition("/")[0] for file in files]} if between else {},
        size=lambda index: upright_size(path / called[index]),
        file=lambda index: path / called[index],
    )


def list_images(folder: Path, *, between: bool = False) -> list[ImageFile]:
    """Images of every class folder, sorted by class and file name; one pass, no file is opened.

    between  those in folders inside class folders too, which are left out otherwise

    Hidden names and files of other types are left out. Raises UserError when there is no class folder, or
    one has no image. One class is enough here: a hidden set may hold just that.
    """
    return _images(_scan(folder, between=between))


def _images(scanned: dict[str, _ClassFolder]) -> list[ImageFile]:
    return sorted(file for of in scanned.values() for file in of.files)


def _scan(folder: Path, *, between: bool) -> dict[str, _ClassFolder]:
    """Class folders by name; under ``OUTSIDE`` what lies beside them."""
    classes = {}
    outside = _ClassFolder()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                classes[entry.name] = _scan_class(entry.path, entry.name, between)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                outside.other["images beside the class folders"] += 1
    _check(folder, classes)
    return classes | ({OUTSIDE: outside} if outside.other else {})


def _check(folder: Path, classes: dict[str, _ClassFolder]) -> None:
    empty = [f"  {name}/ {classes[name].problem}" for name in sorted(classes) if not classes[name].files]
    if empty:
        raise UserError(f"{folder}: class folders without an image\n" + "\n".join(empty) + f"\n    {ADVICE}")
    if not classes:
        raise UserError(f"{folder}: no class folder\n    {ADVICE}")
    strange = [shown(name) for name in sorted(classes) if shown(name) != name]
    if strange:
        raise UserError(
            f"{folder}: names of class folders that are not UTF-8: {', '.join(strange)}\n    rename them"
        )


def _scan_class(folder: str, class_name: str, between: bool, inside: str = "") -> _ClassFolder:
    """What a class folder holds, or a folder ``inside`` it (``P1/``)."""
    found = _ClassFolder()
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if suffix in SUFFIXES and entry.is_file():
                stat = entry.stat()
                file = ImageFile(class_name, inside + entry.name, stat.st_size, stat.st_mtime_ns)
                found.files.append(file)
            elif between and entry.is_dir():
                inner = _scan_class(entry.path, class_name, between=False, inside=f"{entry.name}/")
                found.files += inner.files
                found.other += inner.other
            else:
                found.other[_kind(entry, suffix)] += 1
    return found


def _kind(entry: os.DirEntry[str], suffix: str) -> str:
    if entry.is_dir():
        return "folders"
    if not os.path.exists(entry.path):
        return "links to nothing"
    return f"{shown(suffix) or 'other'} files"


def _headers(folder: Path, files: list[ImageFile]) -> dict[str, Any]:
    """What the images' headers tell together: fields of ``Seen``, and if one was read otherwise before."""
    from bench.data import reading

    told: Counter[str] = Counter()
    cropped, otherwise = 0.0, False
    for file in files:
        with contextlib.suppress(reading.UnreadableError):  # said when it is decoded
            found = reading.header((folder / file.relative).read_bytes())
            told += Counter(
                transparent=found.transparent, deep=found.bits > 8, oblong=found.cropped > reading.NOTICED
            )
            cropped += found.cropped / len(files)
            otherwise |= found.transparent or found.bits > 8
    return {**told, "cropped": round(cropped, 4), "otherwise": otherwise}


def read_image(path: Path, bit_range: tuple[int, int] | None = None) -> Pixels:
    """One image file as (H, W, 3) uint8 RGB, see ``reading.read``. Raises BrokenImageError that names it."""
    from bench.data import reading

    try:
        return reading.read(path.read_bytes(), bit_range)
    except (reading.UnreadableError, OSError) as error:
        raise BrokenImageError(f"{shown(path)}: {error}") from None


def upright_size(path: Path) -> Size:
    """Size of an image once it is turned as its EXIF orientation says, as ``read_image`` does."""
    from bench.data import reading

    try:
        return reading.header(path.read_bytes())[:2]
    except (reading.UnreadableError, OSError) as error:
        raise UserError(f"{shown(path)}: {error}; replace this file or delete it") from None


def shown(name: str | Path) -> str:
    """A name as text: some file systems have names that are not UTF-8, and no report takes those."""
    return os.fsencode(name).decode("utf-8", "replace")
