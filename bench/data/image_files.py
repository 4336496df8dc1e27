"""Image files below a folder: which are images, what their headers tell, how one is read and named."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.classes import in_order, numbers, one_form
from bench.data.content import Asked, Listing, Located, Stamped, image_bytes
from bench.data.reader import BrokenImageError, Size
from bench.errors import UserError, shorten

if TYPE_CHECKING:
    from bench.data.images import Pixels

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""In any case."""
READ = "JPEG, PNG, TIFF, BMP, WebP and GIF"
READING = 2
"""Raised when images are read otherwise; part of what those are that it changes."""
SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")
"""What systems leave beside pictures, in lower case; so is all that begins with a dot."""

SYSTEM_FILES = "system files"
"""The kind under which what is passed over is counted."""


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return name.lower().endswith(SUFFIXES)


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden, or left there by a system."""
    return name.startswith(".") or name.lower() in SYSTEM


def located(
    asked: Asked,
    files: Sequence[Stamped],
    labels: Sequence[str],
    rows: Sequence[object] | None = None,
    skipped: Mapping[str, dict[str, int]] | None = None,
) -> Located:
    """What image files are known by: names, bytes and classes, and which numbers these have.

    files    below the folder of ``asked.path``, or below itself
    labels   class name of each
    rows     what else is known of each and matters; None: the files' names say it all
    skipped  as ``Seen`` has it
    """
    from bench.plan import fingerprint
    from bench.planned import Seen

    files = files if isinstance(files, Listing) else Listing(files)
    content = asked.sha256(files)
    told = asked.remembered(f"headers-{READING}", files, lambda: _headers(asked.folder, files))
    images = Counter(labels)
    found = sorted(images)
    given = asked.data.classes if sorted(asked.data.classes or ()) == found else None
    names = given or in_order(found)
    places = list(range(len(names)))
    renumbered = list(names) != list(given or found) or numbers(names, numbered=False) != places
    read_otherwise = told.pop("otherwise")
    if rows is not None:
        content = fingerprint([content, list(rows)])
    if renumbered or read_otherwise:
        # Read in the alphabet's order before, a number as a place in it, alpha as nothing, 16 bits as 8:
        # what was trained on that is another trial.
        content = fingerprint([content, names if renumbered else None, READING])
    counts: Counter[str] = Counter()
    for name in dict.fromkeys(labels):
        counts[one_form(name)] += images[name]
    return Located(asked.path, content, seen=Seen(images=counts, skipped=dict(skipped or {}), **told))


def _headers(folder: Path, files: Sequence[Stamped]) -> dict[str, Any]:
    """What the images' headers tell together: fields of ``Seen``, and if one was read otherwise before."""
    from bench.data import reading

    told: Counter[str] = Counter()
    cropped, otherwise = 0.0, False
    for name, *_ in files:
        with contextlib.suppress(reading.UnreadableError, OSError):  # said when it is decoded
            found = reading.header(image_bytes(folder / name))
            told += Counter(
                transparent=found.transparent, deep=found.bits > 8, oblong=found.cropped > reading.NOTICED
            )
            cropped += found.cropped / len(files)
            otherwise |= found.transparent or found.bits > 8
    return {**told, "cropped": round(cropped, 4), "otherwise": otherwise}


def ordered(classes: Sequence[str] | None, labels: Sequence[str], where: str) -> tuple[str, ...]:
    """The class names of ``labels`` in label order: as ``[data] classes`` has them, which may only reorder.

    where   what has these classes, for messages: ``class folders of PATH``
    """
    found = in_order(labels)
    if classes is not None and sorted(classes) != sorted(found):
        raise UserError(
            f"[data] classes = {shorten(list(classes), 200)} do not match the {where}\n"
            f"    there are {shorten(list(found), 300)}; leave classes out, or reorder these"
        )
    return tuple(classes or found)


def read_image(path: Path, bit_range: tuple[int, int] | None = None) -> Pixels:
    """One image file as (H, W, 3) uint8 RGB, see ``reading.read``. Raises BrokenImageError that names it."""
    from bench.data import reading

    try:
        return reading.read(image_bytes(path), bit_range)
    except (reading.UnreadableError, OSError) as error:
        raise BrokenImageError(f"{shown(path)}: {_why(error)}") from None


def _why(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def upright_size(path: Path) -> Size:
    """Size of an image once it is turned as its EXIF orientation says, as ``read_image`` does."""
    from bench.data import reading

    try:
        return reading.header(image_bytes(path))[:2]
    except (reading.UnreadableError, OSError) as error:
        raise UserError(f"{shown(path)}: {_why(error)}; replace this file or delete it") from None


def shown(name: str | Path) -> str:
    """A name as text: some file systems have names that are not UTF-8, and no report takes those."""
    return os.fsencode(name).decode("utf-8", "replace")
