"""Folders of images: one folder per class, read with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from bench.data.images import Pixels
from bench.data.listing import list_images
from bench.data.reader import BrokenImageError, Reader
from bench.errors import UserError, shorten

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file may hold gigabytes of pixels."""


def folder_reader(folder: Path, classes: Sequence[str] | None = None) -> Reader:
    """Class folders of JPEG and PNG files; classes in the order of their sorted names, or of ``classes``."""
    files = list_images(folder)
    found = sorted({file.class_name for file in files})
    if classes is not None and sorted(classes) != found:
        raise UserError(
            f"[data] classes = {shorten(list(classes), 200)} do not match the class folders of {folder}\n"
            f"    its folders are {shorten(found, 300)}; leave classes out, or reorder these"
        )
    names = tuple(classes or found)
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[file.class_name] for file in files], dtype=np.int64)
    paths = [folder / file.class_name / file.name for file in files]
    return Reader(names, labels, 3, lambda index: read_image(paths[index]))


def read_image(path: Path) -> Pixels:
    """One JPEG or PNG as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Raises BrokenImageError for a damaged file, another format, more than 8 bits or too many pixels.
    """
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
