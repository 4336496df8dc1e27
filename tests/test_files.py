from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.files import BROKEN, CACHE_SETTING, filling, hand_over, write_whole


def test_a_file_and_its_folder_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.bin"
    assert hand_over(file, b"one") == file
    hand_over(file, b"two")
    assert file.read_bytes() == b"two"
    assert [path.name for path in file.parent.iterdir()] == ["a.bin"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"a\.png cannot be written: .*; choose another place"):
        hand_over(tmp_path / "taken" / "a.png", b"")


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match="choose another place"):
        hand_over(tmp_path / "a.png", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_written_is_called_by_the_name_a_person_knows(tmp_path: Path) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "arms.csv"
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(file, full)
    assert caught.value.filename == str(file)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_deleted_under_a_write_is_said(tmp_path: Path) -> None:
    file = tmp_path / "results" / "arms.csv"
    with pytest.raises(OSError, match="its folder was moved or deleted meanwhile") as caught:
        write_whole(file, lambda _: shutil.rmtree(file.parent))
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, str(file))
    assert caught.value.errno in BROKEN, "told without a traceback"


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EROFS, "Read-only file system", "CACHE/images/x.npy"), True),
        (OSError("3200 requested and 1600 written"), True),
        (OSError(errno.EACCES, "Permission denied", "/elsewhere/image.png"), False),
        (OSError(errno.EIO, "Input/output error", "CACHE/images/x.npy"), False),
    ],
)
def test_a_cache_that_cannot_be_written_is_named_with_its_setting(
    tmp_path: Path, problem: OSError, told: bool
) -> None:
    if problem.filename:
        problem.filename = problem.filename.replace("CACHE", str(tmp_path))
    with pytest.raises(OSError) as caught, filling(tmp_path, CACHE_SETTING):
        raise problem
    text = f"it belongs to the cache {tmp_path}: make room, or name another: {CACHE_SETTING}"
    assert (text in (caught.value.strerror or "")) == told
    if told:
        assert caught.value.errno in (errno.ENOSPC, errno.EROFS)
        assert str(caught.value.filename).startswith(str(tmp_path))
    else:
        assert caught.value is problem
