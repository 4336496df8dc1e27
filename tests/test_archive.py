"""Small archives are read as ``zipfile`` reads them, or known for damage."""

from __future__ import annotations

import io
import random
import zipfile

import numpy as np
import pytest

from bench.archive import _directory, files_in
from bench.predictions import UNREADABLE


def packed() -> bytes:
    """An archive as predictions are kept."""
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez_compressed(out, **{"val/ids": np.arange(50), "val/p": rng.random((50, 3)), "none": np.empty(0)})
    return out.getvalue()


def contents(archive: bytes) -> dict[str, bytes]:
    names, content_of = files_in(archive)
    return {name: content_of(name) for name in names}


def by_zipfile(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_an_archive_of_arrays_is_read_as_by_zipfile() -> None:
    assert contents(packed()) == by_zipfile(packed())
    assert _directory(packed()) is not None, "without zipfile's help"


@pytest.mark.parametrize("kind", ["stored", "with a comment", "with a name in letters of its own", "empty"])
def test_any_other_archive_is_left_to_zipfile(kind: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED) as file:
        if kind != "empty":
            file.writestr("é" if "letters" in kind else "a", b"content" * 9)
        file.comment = b"a comment" if "comment" in kind else b""
    assert contents(out.getvalue()) == by_zipfile(out.getvalue())
    assert (_directory(out.getvalue()) is None) == (kind != "empty")


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all, but long enough to be one"])
def test_what_is_no_archive_is_refused_as_by_zipfile(content: bytes) -> None:
    with pytest.raises(zipfile.BadZipFile):
        files_in(content)


def test_a_damaged_archive_says_what_zipfile_says_or_that_it_is_damaged() -> None:
    lot, refused = random.Random(0), 0
    for _ in range(2000):
        damaged = bytearray(packed())
        for _ in range(lot.choice([1, 1, 2, 20])):
            damaged[lot.randrange(len(damaged))] ^= 1 << lot.randrange(8)
        whole = bytes(damaged[: lot.choice([len(damaged), len(damaged), lot.randrange(len(damaged))])])
        try:
            found = contents(whole)
        except UNREADABLE:
            refused += 1
        else:
            assert found == by_zipfile(whole)
    assert refused > 1000


def test_bytes_that_unpack_to_more_than_is_said_are_damage_and_fill_no_memory() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(10**7))
    content, size = out.getvalue(), (10**7).to_bytes(4, "little")
    assert content.count(size) == 2
    with pytest.raises(zipfile.BadZipFile, match="a is damaged"):
        contents(content.replace(size, (7).to_bytes(4, "little")))
