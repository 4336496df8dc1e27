"""Folders of images: one folder per class, read with Pillow."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.data.classes import in_order, numbers, one_form
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
ADVICE = "a folder source holds one folder per class, and in each of them its .jpg, .jpeg or .png images"


class ImageFile(NamedTuple):
    """An image of a class folder."""

    class_name: str
    name: str
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
    from bench.plan import fingerprint  # imports pydantic

    files = list_images(asked.path)
    content = asked.sha256((file.relative, file.size, file.mtime_ns) for file in files)
    folders = sorted({file.class_name for file in files})
    given = asked.data.classes if sorted(asked.data.classes or ()) == folders else None
    names = given or in_order(folders)
    if list(names) != list(given or folders) or numbers(names, numbered=False) != list(range(len(names))):
        # Read in the alphabet's order before, and a number as a place in it: other labels, other trials.
        content = fingerprint([content, names])
    return Located(asked.path, content, images=len(files), classes=len(names))


@sources.register("folder", path="folder", locate=locate)
def folder(path: Path, classes: tuple[str, ...] | None = None) -> Reader:
    """Class folders of JPEG or PNG files.

    path     holds one folder per class, and each of them its .jpg, .jpeg or .png images
    classes  the folders' names in another order: else whole numbers come by value, others by the alphabet
    """
    import numpy as np

    files = list_images(path)
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
        lambda index: read_image(path / called[index]),
        names=called,
        size=lambda index: upright_size(path / called[index]),
    )


def list_images(folder: Path) -> list[ImageFile]:
    """Images of every class folder, sorted by class and file name; one pass, no file is opened.

    Hidden names, files of other types and folders inside class folders are left out. Raises UserError when
    there is no class folder or one has no image. One class is enough here: a hidden set may hold just that.
    """
    classes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir():
                classes[entry.name] = _scan(entry)
    empty = [f"  {name}/ {classes[name].problem}" for name in sorted(classes) if not classes[name].files]
    if empty:
        raise UserError(f"{folder}: class folders without an image\n" + "\n".join(empty) + f"\n    {ADVICE}")
    if not classes:
        raise UserError(f"{folder}: no class folder\n    {ADVICE}")
    return sorted(file for scanned in classes.values() for file in scanned.files)


def _scan(folder: os.DirEntry[str]) -> _ClassFolder:
    found = _ClassFolder()
    with os.scandir(folder.path) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if suffix in SUFFIXES and entry.is_file():
                stat = entry.stat()
                found.files.append(ImageFile(folder.name, entry.name, stat.st_size, stat.st_mtime_ns))
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
