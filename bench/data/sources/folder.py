"""Folders of images: one folder per class, read with Pillow."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.data.content import Asked, Located
from bench.data.reader import BrokenImageError, Reader, Size
from bench.errors import UserError, shorten
from bench.registry import sources

if TYPE_CHECKING:
    from bench.data.images import Pixels

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file may hold gigabytes of pixels."""
EXIF_ORIENTATION = 0x0112
LYING = range(5, 9)
"""EXIF orientations that swap width and height."""
SUFFIXES = (".jpg", ".jpeg", ".png")
ADVICE = (
    "a folder source holds one folder per class, and in each of them its .jpg, .jpeg or .png images;\n"
    '    with groups = "folder", folders that hold them, one per patient'
)
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

    @property
    def problem(self) -> str:
        """Why there is no image here."""
        if not self.other:
            return "is empty"
        found = ", ".join(f"{count} {what}" for what, count in self.other.most_common(3))
        return f"holds no image, only {found}"


def locate(asked: Asked) -> Located:
    """Known by the names and bytes of its images: what else lies in the folder does not matter."""
    files = list_images(asked.path, between=asked.data.groups == BETWEEN)
    content = asked.sha256((file.relative, file.size, file.mtime_ns) for file in files)
    return Located(asked.path, content, images=len(files), classes=len({file.class_name for file in files}))


@sources.register("folder", path="folder", locate=locate)
def folder(path: Path, classes: tuple[str, ...] | None = None, groups: object = None) -> Reader:
    """Class folders of JPEG or PNG files.

    path     holds one folder per class, and each of them its .jpg, .jpeg or .png images
    groups   ``"folder"``: each class folder holds folders of images, one per patient, say
    classes  the folders' names in another order than the alphabet's
    """
    import numpy as np

    between = groups == BETWEEN
    files = list_images(path, between=between)
    found = sorted({file.class_name for file in files})
    if classes is not None and sorted(classes) != found:
        raise UserError(
            f"[data] classes = {shorten(list(classes), 200)} do not match the class folders of {path}\n"
            f"    its folders are {shorten(found, 300)}; leave classes out, or reorder these"
        )
    names = tuple(classes or found)
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[file.class_name] for file in files], dtype=np.int64)
    called = [file.relative for file in files]
    return Reader(
        names,
        labels,
        3,
        lambda index: read_image(path / called[index]),
        names=called,
        columns={BETWEEN: lambda: [file.name.rpartition("/")[0] for file in files]} if between else {},
        size=lambda index: upright_size(path / called[index]),
    )


def list_images(folder: Path, *, between: bool = False) -> list[ImageFile]:
    """Images of every class folder, sorted by class and file name; one pass, no file is opened.

    between  those in folders inside class folders too, which are left out otherwise

    Hidden names and files of other types are left out. Raises UserError when
    there is no class folder or one has no image. One class is enough here: a hidden set may hold just that.
    """
    classes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir():
                classes[entry.name] = _scan(entry.path, entry.name, between)
    empty = [f"  {name}/ {classes[name].problem}" for name in sorted(classes) if not classes[name].files]
    if empty:
        raise UserError(f"{folder}: class folders without an image\n" + "\n".join(empty) + f"\n    {ADVICE}")
    if not classes:
        raise UserError(f"{folder}: no class folder\n    {ADVICE}")
    return sorted(file for scanned in classes.values() for file in scanned.files)


def _scan(folder: str, class_name: str, between: bool, inside: str = "") -> _ClassFolder:
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
                inner = _scan(entry.path, class_name, between=False, inside=f"{entry.name}/")
                found.files += inner.files
                found.other += inner.other
            else:
                found.other["folders" if entry.is_dir() else f"{suffix or 'other'} files"] += 1
    return found


def read_image(path: Path) -> Pixels:
    """One JPEG or PNG as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Raises BrokenImageError for a damaged file, another format, more than 8 bits or too many pixels.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BrokenImageError(f"{path}: {width} × {height} pixels, at most {MAX_PIXELS:,} are read")
            if image.mode.startswith(("I", "F")):
                raise BrokenImageError(f"{path}: {image.mode} pixels, only 8 bits per channel are read")
            image.verify()
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise BrokenImageError(
            f"{path}: {'empty file' if not content else 'not a JPEG or PNG image'}"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BrokenImageError(f"{path}: {error}") from None


def upright_size(path: Path) -> Size:
    """Size of an image once it is turned as its EXIF orientation says, as ``read_image`` does."""
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            lying = image.getexif().get(EXIF_ORIENTATION) in LYING
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: {error}; replace this file or delete it") from None
    return (height, width) if lying else (width, height)
