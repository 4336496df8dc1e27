"""Which files of a folder are its images: the one rule for fingerprint and reader. Standard library only."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.errors import UserError

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
