"""Folders that are written into, and what may stand in their place or keep them shut."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from bench.errors import UserError
from bench.files import CACHE_SETTING, remove

NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Why a folder takes no file of this user's, however much room there is."""


def cleared(folder: Path) -> bool:
    """Whether something else stood in place of a trial's folder; that is gone now.

    A link to another disk is a folder; one to another trial's is not, for each would take the other's.
    """
    strange = os.path.lexists(folder) and not folder.is_dir()
    if not strange and folder.is_symlink():
        strange = folder.resolve().parent == folder.parent.resolve()
    if strange:
        remove(folder)
    return strange


def check_open(folder: Path) -> None:
    """Make a folder; raise OSError where it takes no file: better before training than after."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def shuts_out(folder: Path, error: OSError) -> bool:
    """Whether what the system refused is a matter of one trial's folder, and not of the disk."""
    if error.errno not in NOT_OURS or not str(error.filename or "").startswith(str(folder)):
        return False
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent):
            return True
    except OSError:
        return False


def check_writable(results: Path) -> None:
    """Raise UserError when nothing can be written into a results folder: better before the first trial."""
    trials = results / "trials"
    if os.path.lexists(trials) and not trials.is_dir():
        raise UserError(
            f"{trials} is no folder, and all trials are to lie in it\n"
            "    move away what is there, or give another --results FOLDER"
        )
    _check(results, "results folder", "choose another with --results FOLDER")


def check_cache(cache: Path) -> None:
    """The same of the cache folder."""
    _check(cache, "cache folder", f"name another: {CACHE_SETTING}")


def _check(folder: Path, what: str, else_: str) -> None:
    try:
        check_open(folder)
    except OSError as error:
        raise UserError(
            f"cannot write to the {what} {folder}: {error.strerror}\n    make it writable, or {else_}"
        ) from None
