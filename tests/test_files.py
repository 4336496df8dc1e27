from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.files import hand_over


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
