"""Files that appear whole or not at all, and how far reading many of them has come."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from bench.errors import UserError

Count = Callable[[int, int], None]
"""Is told (done, of) while something long goes on."""
Counting = Callable[[str], AbstractContextManager[Count]]
"""Opens such a counter for something that may take a while, named."""

PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""A file that is not complete yet."""
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
"""Why a file cannot be written by no fault of its writer."""
BROKEN = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE)
"""Other faults of the machine."""
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)
"""Something else has the name of a file or folder that is to be written."""
CACHE_SETTING = "cache in bench.toml, or BENCH_CACHE"
OLD_S = 60.0
"""Seconds after which nobody writes it any more."""


@contextlib.contextmanager
def uncounted(what: str) -> Iterator[Count]:
    """Counts nothing, for whoever has nobody to tell."""
    yield lambda done, of: None


def opened(path: Path | str) -> io.BufferedReader:
    """A file to read. Raises OSError, also for a pipe, which would be waited for, or an endless device."""
    return open(path, "rb", opener=_regular)


def content_of(path: Path | str) -> bytes:
    """All of a file. Raises OSError as ``opened`` does."""
    with open(path, "rb", buffering=0, opener=_regular) as file:
        return file.read()


def json_of(path: Path | str, kind: type = dict) -> Any:
    """What a file of JSON holds, an object unless another ``kind`` is named.

    Raises OSError as ``opened`` does, ValueError for anything else.
    """
    try:
        found = json.loads(content_of(path))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    if not isinstance(found, kind):
        raise ValueError(f"{path} holds another kind of thing")
    return found


def sum_of(path: Path | str) -> str:
    """Size and SHA-256 of a file: most damage shows in the size, which costs nothing to ask for.

    Raises OSError as ``opened`` does.
    """
    with opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{file.tell()} {digest}"


def sum_of_bytes(content: bytes) -> str:
    """The same of what a file is to hold."""
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}"


def _regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else a pipe without a writer holds on here
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return handle
    os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, "is a folder", path)
    raise OSError(errno.EINVAL, "is a pipe, a socket or a device, not a file", path)


def write_whole(path: Path, content: bytes | Callable[[IO[bytes]], object], *, safe: bool = True) -> None:
    """Write through a temporary file beside ``path`` that takes its name once it is complete.

    path      its folder is made where it is missing
    content   the bytes, or what writes them into an open file
    safe      be on the disk before the name is taken, so that a power cut leaves the old file or the new one

    Raises OSError, with ``path`` as its file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            file.flush()
            if safe:
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(part), part):
            error.filename = str(path)  # the name that a person knows
            if isinstance(error, FileNotFoundError):
                raise vanished(path) from error
        raise
    if safe:
        sync_folder(path.parent)


def vanished(path: Path | str) -> OSError:
    """In place of a file that was not found: what was about to be written has no folder any more."""
    return OSError(errno.ESTALE, "its folder was moved or deleted meanwhile", str(path))


def sweep(*folders: Path, older_s: float = OLD_S) -> None:
    """Remove what ``write_whole`` had begun in processes that were killed; a younger one may be at work."""
    now = time.time()
    for folder in folders:
        with contextlib.suppress(OSError):
            names = os.listdir(folder)
            for part in (folder / name for name in names if PART.fullmatch(name)):
                if now - part.stat().st_mtime > older_s:
                    part.unlink()


def remove(path: Path) -> None:
    """A file, or the folder or link that someone put in its place; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def filling(cache: Path, setting: str) -> Iterator[None]:
    """Have a cache that cannot be written named by the error, and what sets its place.

    cache     the folder
    setting   what names another, as a person writes it

    Raises OSError where writing within does, for a worker still the machine's failure and no bug.
    """
    try:
        yield
    except OSError as error:
        full = error.errno is None and " requested and " in str(error)  # NumPy leaves out the system's number
        number = errno.ENOSPC if full else error.errno
        inside = not error.filename or str(error.filename).startswith(str(cache))
        if number not in REFUSED or not inside:
            raise
        told = f"it belongs to the cache {cache}: make room, or name another: {setting}"
        raise OSError(number, f"{os.strerror(number)}\n    {told}", error.filename or str(cache)) from error


def hand_over(path: Path, content: bytes) -> Path:
    """Write a file that a person asked for; returns its path. Raises UserError where that fails.

    Nothing but a file is replaced: a pipe, or /dev/stdout, may be somebody's.
    """
    if os.path.exists(path) and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is a pipe, a socket or a device, not a file; choose another place")
    try:
        write_whole(path, content, safe=False)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; choose another place") from None
    return path


def move(source: Path, target: Path) -> None:
    """Move a finished file, to the disk before to its name. Raises OSError."""
    with open(source, "rb+") as file, named(target):
        os.fsync(file.fileno())
    if source.parent == target.parent:
        os.replace(source, target)
        return
    with open(source, "rb") as content:
        write_whole(target, lambda file: shutil.copyfileobj(content, file))
    source.unlink()


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an error of a handle the name of its file, which a person is told."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows has no handle of a folder
        return
    try:
        with named(folder):
            os.fsync(handle)
    finally:
        os.close(handle)
