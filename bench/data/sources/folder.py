"""Folders of images: one folder per class, or those in folders for training, validation and test."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.data.classes import one_form
from bench.data.content import Asked, Listing, Located, Stamped
from bench.data.image_files import (
    READ,
    SYSTEM_FILES,
    is_image,
    is_system,
    located,
    ordered,
    read_image,
    shown,
    upright_size,
)
from bench.data.reader import Reader
from bench.data.sides import side_of
from bench.errors import UserError, shorten
from bench.registry import sources

ADVICE = (
    f"a folder source holds one folder per class, and in each of them its images ({READ});\n"
    '    with [data] groups = "folder" in folders of their own, one per patient; or train/, val/ and test/\n'
    "    and in each of them the class folders"
)
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
    side: str = ""
    """Folder that its class folder is in: ``train``; empty: the source itself."""

    @property
    def relative(self) -> str:
        """Path below the source folder, with forward slashes."""
        return "/".join(filter(None, (self.side, self.class_name, self.name)))


@dataclass
class _ClassFolder:
    name: str
    files: list[Stamped] = field(default_factory=list)
    """Images below the source folder: plain tuples, for there may be a million."""
    other: Counter[str] = field(default_factory=Counter)
    """What else lies there, by kind: no image of it is read."""
    own: bool = False
    """Some image lies right here, in no folder inside."""
    sides: bool = False
    """Paths of images begin with a side."""

    def ordered(self) -> list[Stamped]:
        """Its images by name, those of one name by side."""
        if not self.sides:
            return sorted(self.files)
        return sorted(self.files, key=lambda file: file[0].split("/", 2)[::-2])

    @property
    def problem(self) -> str:
        """Why there is no image here."""
        if not self.other:
            return "is empty"
        found = ", ".join(f"{count} {what}" for what, count in self.other.most_common(3))
        return f"holds no image, only {found}"


def locate(asked: Asked) -> Located:
    """Known by the names and bytes of its images: what else lies in the folder does not matter."""
    scanned = _scan(asked.path, between=asked.data.groups == BETWEEN)
    other: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for of in scanned:  # a class has a folder on each side
        other[one_form(of.name)] += of.other
    found = located(
        asked,
        Listing(file for of in scanned for file in of.ordered()),
        [name for of in scanned for name in [of.name] * len(of.files)],
        skipped={name: dict(sorted(kinds.items())) for name, kinds in sorted(other.items()) if kinds},
    )
    return found._replace(official=any(of.sides for of in scanned))


@sources.register("folder", path="folder", locate=locate)
def folder(
    path: Path,
    classes: tuple[str, ...] | None = None,
    bit_range: tuple[int, int] | None = None,
    groups: object = None,
) -> Reader:
    """Class folders of image files, or train/, val/ and test/ with class folders in each.

    path       holds one folder per class, and each of them its images, of any of these suffixes in any case:
               .jpg .jpeg .png .tif .tiff .bmp .webp .gif (the first frame). Or it holds train, val and test,
               each with class folders: its official split (also training, valid, validation, testing;
               without val it is drawn from train)
    classes    the folders' names in another order: else whole numbers come by value, others by the alphabet
    bit_range  the values of 16-bit images that become 0 and 255; else 0 and 65535
    groups     ``"folder"``: each class folder holds folders of images, one per patient, say
    """
    import numpy as np

    between = groups == BETWEEN
    files = list_images(path, between=between)
    names = ordered(classes, [file.class_name for file in files], f"class folders of {path}")
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[one_form(file.class_name)] for file in files], dtype=np.int64)
    called = [file.relative for file in files]
    sides = [side_of(file.side) for file in files]
    return Reader(
        names,
        labels,
        3,
        lambda index: read_image(path / called[index], bit_range),
        np.array(sides, dtype=np.int8) if files[0].side else None,
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
    return [_image_file(of, file) for of in _scan(folder, between=between) for file in of.ordered()]


def _image_file(of: _ClassFolder, file: Stamped) -> ImageFile:
    side, below = file[0].split("/", 1) if of.sides else ("", file[0])
    return ImageFile(of.name, below[len(of.name) + 1 :], *file[1:], side)


def _scan(folder: Path, *, between: bool) -> list[_ClassFolder]:
    """Class folders, of every side where there are sides; named ``OUTSIDE``: what lies beside them."""
    inside, outside = _entries(folder)
    classes = {entry.name: _scan_class(entry.path, entry.name, between, f"{entry.name}/") for entry in inside}
    if _are_sides(classes):
        classes = {}
        for side in inside:
            for of in _scan_side(side, outside, between):
                known = classes.setdefault(of.name, _ClassFolder(of.name))
                known.files += of.files
                known.other += of.other
                known.sides = True
    _check(folder, list(classes.values()))
    scanned = [*classes.values(), *([outside] if outside.other else [])]
    return sorted(scanned, key=lambda of: of.name)


def _entries(folder: Path) -> tuple[list[os.DirEntry[str]], _ClassFolder]:
    """The folders in ``folder``, and what lies beside them."""
    inside = []
    outside = _ClassFolder(OUTSIDE)
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_system(entry.name):
                outside.other[SYSTEM_FILES] += 1
            elif entry.is_dir():
                inside.append(entry)
            elif is_image(entry.name):
                outside.other["images beside the class folders"] += 1
    return inside, outside


def _are_sides(folders: Mapping[str, _ClassFolder]) -> bool:
    """Whether these are the folders of training, validation and test images, and not of classes.

    Every folder has the name of a side, and no images of its own but folders: a class may be called test.
    """
    named = {side_of(name) for name in folders}
    return len(folders) > 1 and None not in named and not any(of.own for of in folders.values())


def _scan_side(side: os.DirEntry[str], outside: _ClassFolder, between: bool) -> list[_ClassFolder]:
    """The class folders of a side; what lies beside them is counted with ``outside``."""
    inside, beside = _entries(Path(side.path))
    outside.other += beside.other
    return [_scan_class(entry.path, entry.name, between, f"{side.name}/{entry.name}/") for entry in inside]


def _check(folder: Path, classes: list[_ClassFolder]) -> None:
    named = sorted(classes, key=lambda of: of.name)
    empty = [f"  {of.name}/ {of.problem}" for of in named if not of.files]
    if empty:
        raise UserError(f"{folder}: class folders without an image\n" + "\n".join(empty) + f"\n    {ADVICE}")
    if not classes:
        raise UserError(f"{folder}: no class folder\n    {ADVICE}")
    strange = [shown(of.name) for of in named if shown(of.name) != of.name]
    if strange:
        raise UserError(
            f"{folder}: names of class folders that are not UTF-8: {', '.join(strange)}\n    rename them"
        )
    blank = next((of for of in named if not of.name.strip()), None)
    if blank is not None:
        raise UserError(f"{folder}: a class folder is called {shorten(blank.name)}; rename it for its class")


def _scan_class(folder: str, class_name: str, between: bool, below: str) -> _ClassFolder:
    """What a class folder holds, or a folder inside it, whose path ``below`` the source ends with a slash.

    Every image is asked for its size and time, for one that is written anew in its place leaves no trace in
    its folder; through the open folder, which spares the system the way to it, 300,000 times.
    """
    found, within = _ClassFolder(class_name), list[Stamped]()
    files = found.files
    opened = os.open(folder, os.O_RDONLY) if os.scandir in os.supports_fd else None
    try:
        with os.scandir(folder if opened is None else opened) as entries:
            for entry in entries:
                name = entry.name
                if is_system(name):
                    found.other[SYSTEM_FILES] += 1
                elif is_image(name) and _is(entry.is_file):
                    stat = entry.stat()
                    files.append((below + name, stat.st_size, stat.st_mtime_ns))
                elif between and _is(entry.is_dir):
                    inner = _scan_class(f"{folder}/{name}", class_name, False, f"{below}{name}/")
                    within += inner.files
                    found.other += inner.other
                else:
                    found.other[_kind(folder, entry)] += 1
    finally:
        if opened is not None:
            os.close(opened)
    found.own = bool(files)
    found.files += within
    return found


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is of a kind; a link to itself is of none."""
    try:
        return kind()
    except OSError:
        return False


def _kind(folder: str, entry: os.DirEntry[str]) -> str:
    if _is(entry.is_dir):
        return "folders"
    if not os.path.exists(f"{folder}/{entry.name}"):
        return "links to nothing"
    return f"{shown(os.path.splitext(entry.name)[1].lower()) or 'other'} files"
