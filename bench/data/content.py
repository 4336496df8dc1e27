"""What lies at a path, told by its bytes and remembered, so that a warm ``bench plan`` is instant.

Standard library only. What was hashed once is remembered in the cache folder together with the size and time
of every file behind it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import UserError, shorten
from bench.files import json_of, opened, write_whole
from bench.machine import Machine

if TYPE_CHECKING:
    from bench.planned import Seen
    from bench.recipe import Data

MAX_BYTES = 2**30
"""Of an image file: as many pixels as are decoded have half of that, uncompressed in 16 bits with alpha."""
Stamped = tuple[str, int, int]
"""A file below a folder: its path there with forward slashes, its bytes, and its time in ns."""


class Listing(list[Stamped]):
    """Files below a folder, whose stamp is made once, however often something is remembered by it."""

    @cached_property
    def stamp(self) -> str:
        """Hash of every file's path, bytes and time: what is rewritten, moved, added or gone changes it."""
        lines = "\n".join([f"{name}\t{size}\t{mtime_ns}" for name, size, mtime_ns in self])
        return hashlib.sha256(os.fsencode(lines)).hexdigest()


class Located(NamedTuple):
    """Where a source is on this machine, and what it is everywhere; see ``plan.Source``."""

    path: Path | None
    content: str
    """Hash of its bytes, or a checksum that stands for them; empty: its version and its keys say it all."""
    official: bool = False
    images: int = 0
    classes: int = 0
    seen: Seen | None = None
    """What a look at its files tells; then ``images`` and ``classes`` are counted from it."""


@dataclass(frozen=True)
class Asked:
    """A source as a study writes it, with what finding it takes."""

    written: str
    """``folder:../cells``"""
    takes: str | None
    """What its PATH must be: ``file``, ``folder`` or ``any``; None: it has none."""
    data: Data
    machine: Machine
    relative_to: Path
    """Folder that a relative PATH starts from."""

    @cached_property
    def path(self) -> Path:
        """PATH, absolute and there. Raises UserError when it is missing or of the wrong kind."""
        name, _, written = self.written.partition(":")
        path = self.machine.resolve(
            written, self.relative_to, kind="folder" if self.takes == "folder" else "file"
        )
        shown = shorten(self.written, 200)
        if not path.exists():
            near = next((parent for parent in path.parents if parent.is_dir()), path)
            raise UserError(
                f"{shown}: there is no {path}\n"
                f"    the nearest folder that exists is {near}\n"
                f"    a relative path starts from {self.relative_to}"
            )
        if not (path.is_dir() or path.is_file()):
            raise UserError(f"{shown}: {path} is a pipe, a socket or a device; give a file or a folder")
        if self.takes != "any" and path.is_dir() != (self.takes == "folder"):
            raise UserError(
                f"{shown}: {path} is not a {self.takes}; {name}: takes the path of a {self.takes}"
            )
        return path

    @property
    def folder(self) -> Path:
        """PATH where it is a folder, else the folder of the file there: names in a table start from it."""
        return self.path if self.path.is_dir() else self.path.parent

    def sha256(self, files: Iterable[Stamped] | None = None) -> str:
        """SHA-256 hex of the file or folder at PATH, or of ``files`` below ``folder`` in their order."""
        if files is None and self.path.is_file():
            return file_sha256(self.path, self.machine.cache)
        stamped = _below(self.path) if files is None else files
        return folder_sha256(self.folder, stamped, self.machine.cache, known_as=self.path)

    def remembered(
        self, what: str, files: Iterable[Stamped], look: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What ``look()`` tells of these files below ``folder``, as JSON; again when one has changed."""
        told = _remembered(self.machine.cache, self.path, _stamp(files), lambda: json.dumps(look()), what)
        try:
            found = json.loads(told)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else look()  # a damaged memo costs a look


def by_content(asked: Asked) -> Located:
    """What every source is known by that does not say otherwise: the bytes at its PATH, if it has one."""
    return Located(None, "") if asked.takes is None else Located(asked.path, asked.sha256())


def file_sha256(path: Path, memo: Path) -> str:
    """SHA-256 hex of a file's bytes, remembered under the folder ``memo`` by path, size and time."""
    stat = path.stat()
    return _remembered(memo, path, f"{stat.st_size} {stat.st_mtime_ns}", lambda: _hash_file(path))


def is_same(file: Path, content: str, memo: Path) -> bool:
    """Whether a file still has that SHA-256 hex; ``memo`` as in ``file_sha256``. False where it is gone."""
    try:
        return file_sha256(file, memo) == content
    except OSError:
        return False


def folder_sha256(folder: Path, files: Iterable[Stamped], memo: Path, *, known_as: Path | None = None) -> str:
    """SHA-256 hex over (path, bytes) of ``files``, in their order, remembered like a file's.

    known_as   what it is remembered by: the folder, or a table of files there
    """
    files = files if isinstance(files, Listing) else Listing(files)
    return _remembered(
        memo, known_as or folder, _stamp(files), lambda: _hash_files(folder, [name for name, *_ in files])
    )


def _stamp(files: Iterable[Stamped]) -> str:
    return (files if isinstance(files, Listing) else Listing(files)).stamp


def _below(folder: Path) -> list[Stamped]:
    """Every file below a folder, sorted, without hidden names."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in names if not name.startswith(".")]
        found += [
            (path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in paths
        ]
    return sorted(found)


def _hash_file(path: Path) -> str:
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_bytes(path: Path) -> bytes:
    """All of an image file. Raises OSError as ``opened`` does, and for more than an image can have."""
    with opened(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise OSError(errno.EINVAL, f"has {size:,} bytes, at most {MAX_BYTES:,} are read", str(path))
        return file.read()


def _hash_files(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        try:
            content = image_bytes(folder / name)
        except OSError as error:
            named = os.fsencode(folder / name).decode("utf-8", "replace")
            raise UserError(f"{named}: {error.strerror}; replace this file or delete it") from None
        digest.update(os.fsencode(f"{name}\0{len(content)}\0"))
        digest.update(content)
    return digest.hexdigest()


def _remembered(memo: Path, path: Path, stamp: str, compute: Callable[[], str], what: str = "sha256") -> str:
    """``compute()``, or what it gave when ``path`` last had this stamp."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    file = memo / "fingerprints" / (f"{name}.json" if what == "sha256" else f"{name}-{what}.json")
    try:
        known = json_of(file)
        if known["stamp"] == stamp and known["path"] == str(path):
            return str(known[what])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not hashed before, or a damaged memo: hash it
    computed = compute()
    with contextlib.suppress(OSError):  # a read-only cache costs time, never a result
        write_whole(
            file, json.dumps({"path": str(path), "stamp": stamp, what: computed}).encode(), safe=False
        )
    return computed
