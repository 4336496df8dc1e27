"""What is asked most of a folder's records, in one file beside them: 30,000 records take seconds to read.

A view. An entry counts only while the disk says of the record, and of the files beside it, what it said when
they were read: times, size, inode. So whatever becomes of the view, or of a record, costs reading again and
nothing else; only bytes that rot while the disk says nothing of it are seen by who reads them all
(``bench status --check``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from bench.files import content_of, write_whole
from bench.record import Brief

FILE = ".briefs"
FORMAT = 1
"""Raised by hand when a record is read by other rules."""
ENOUGH = 500
"""New entries that are worth writing the file for: that many records are read in a tenth of a second."""
YOUNG_NS = 2 * 10**9
"""A file changed so lately may change once more without another time of change."""


class Stamp(NamedTuple):
    """What the disk says of a file without reading it."""

    changed_ns: int
    touched_ns: int
    """Change of content, name or rights: nobody sets it back."""
    size: int
    inode: int

    @classmethod
    def of(cls, path: str) -> Stamp | None:
        """None where there is no file, or something else of that name."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return cls(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)

    @property
    def young(self) -> bool:
        """Whether it may change unseen."""
        return time.time_ns() - self.changed_ns < YOUNG_NS


class Entry(NamedTuple):
    """A record, as it was read."""

    at: Stamp
    sound: dict[str, Stamp]
    """File beside it whose bytes were all found to be those that the record speaks of → its stamp then."""
    brief: Brief


_ENTRIES = TypeAdapter(dict[str, Entry])


class Briefs:
    """The briefs of a results folder, read when first asked for."""

    def __init__(self, root: Path) -> None:
        self._file = root / FILE
        self._entries: dict[str, Entry] | None = None
        self._new = 0

    @property
    def entries(self) -> dict[str, Entry]:
        """By trial, as the file has them and as they were read since."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def get(self, id: str, at: Stamp) -> Brief | None:
        """What was read when the record's file was as it is."""
        known = self.entries.get(id)
        return known.brief if known is not None and known.at == at else None

    def put(self, brief: Brief, at: Stamp) -> None:
        """Remember a record; where it was known, in place of what was, to share the reader's memory.

        at   of its file, from before it was read
        """
        known = self.entries.get(brief.id)
        if known is not None and known.at == at:
            self.entries[brief.id] = known._replace(brief=brief)
        elif not at.young:
            self.entries[brief.id] = Entry(at, {}, brief)
            self._new += 1

    def is_sound(self, id: str, part: str, at: Stamp) -> bool:
        """Whether all bytes of a file beside a record were found right when it was as it is."""
        known = self.entries.get(id)
        return known is not None and known.sound.get(part) == at

    def put_sound(self, id: str, part: str, at: Stamp) -> None:
        """Remember that they were; ``at`` as in ``put``."""
        known = self.entries.get(id)
        if known is not None and not at.young:
            known.sound[part] = at
            self._new += 1

    def forget(self) -> None:
        """Take nothing on trust from here on, nor later."""
        self._entries, self._new = {}, 0
        with contextlib.suppress(OSError):
            self._file.unlink()

    def keep(self) -> None:
        """Write the file where that is worth it. Where it cannot be written, the next one reads again."""
        if self._new < ENOUGH:
            return
        with contextlib.suppress(OSError):
            there = set(os.listdir(self._file.parent / "trials"))
            kept = {id: entry for id, entry in self.entries.items() if id in there}
            body = _ENTRIES.dump_json(kept, exclude_defaults=True)
            write_whole(self._file, _head(body) + body, safe=False)
            self._new = 0

    def _read(self) -> dict[str, Entry]:
        try:
            content = content_of(self._file)
            head, _, body = content.partition(b"\n")
            return _ENTRIES.validate_json(body) if head + b"\n" == _head(body) else {}
        except (OSError, ValidationError):
            return {}


def _head(body: bytes) -> bytes:
    """The first line: of what form the rest is, and that it is whole."""
    return f"briefs {FORMAT} {' '.join(Brief.model_fields)} {hashlib.sha256(body).hexdigest()}\n".encode()
