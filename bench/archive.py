"""The files in a zip archive, where there are many small archives: ``zipfile`` takes ten times as long."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection

END = struct.Struct("<4s4xHHLLH")
"""Last in an archive: magic, entries here, in all, bytes of the directory, its start, bytes of a comment."""
ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")
"""In the directory, before a name: magic, flags, method, checksum, packed and whole size, bytes of the name,
of an extra field, of a comment, start of the header."""
HEADER = struct.Struct("<4s22xHH")
"""Before a file's bytes: magic, bytes of the name, of an extra field; much else as in the directory."""
DEFLATED = 8
ELSEWHERE = 0xFFFFFFFF
"""Stands for a number that is too large for its place."""

_Member = tuple[int, int, int, int]
"""Start of the header, packed and whole size, checksum."""


def files_in(content: bytes) -> tuple[Collection[str], Callable[[str], bytes]]:
    """Names of the files in an archive, and what gives the content of one, checked by its checksum.

    Whatever is not as NumPy packs arrays, above 4 GB too, is left to ``zipfile``. Both raise what that does,
    BadZipFile or zlib.error in most cases.
    """
    members = _directory(content)
    if members is None:
        other = zipfile.ZipFile(io.BytesIO(content))
        return other.namelist(), other.read
    return members, lambda name: _unpacked(content, name, *members[name])


def _directory(content: bytes) -> dict[str, _Member] | None:
    """The files by name; None where anything is unusual."""
    end = len(content) - END.size
    if end < 0:
        return None
    magic, _, entries, size, at, comment = END.unpack_from(content, end)
    if magic != b"PK\x05\x06" or comment or at + size != end:
        return None
    found = {}
    for _ in range(entries):
        if at + ENTRY.size > end:
            return None
        magic, flags, method, crc, packed, size, named, *more, header = ENTRY.unpack_from(content, at)
        at += ENTRY.size + named
        name = content[at - named : at]
        if magic != b"PK\x01\x02" or method != DEFLATED or flags or any(more) or not name.isascii():
            return None
        if size == ELSEWHERE or max(packed, header + HEADER.size) > end:
            return None
        found[name.decode()] = header, packed, size, crc
    return found if at == end else None


def _unpacked(content: bytes, name: str, header: int, packed: int, size: int, crc: int) -> bytes:
    magic, named, extra = HEADER.unpack_from(content, header)
    start = header + HEADER.size + named
    if magic != b"PK\x03\x04" or content[start - named : start] != name.encode():
        raise zipfile.BadZipFile(f"{name} is not where the directory of its archive says")
    raw = memoryview(content)[start + extra :][:packed]
    found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, size + 1)  # bytes that never end are damage
    if len(found) != size or zlib.crc32(found) != crc:
        raise zipfile.BadZipFile(f"{name} is damaged")
    return found
