from pathlib import Path
from typing import Any

import pytest
from studies import ARMS, read, text

from bench.errors import UserError
from bench.study.read import load, parse
from bench.study.toml import find


def refused(content: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(content, name="tiny", file="tiny.toml")
    return str(caught.value)


def test_a_study_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ablations").mkdir()
    (tmp_path / "mine").mkdir()
    file = Path("ablations/mine.toml")
    file.write_text(text())
    assert find(Path("mine")) == find(Path("ablations/mine")) == file
    assert find(file) == file
    assert find(Path("other")) == Path("other")
    with pytest.raises(UserError, match=r"^mine\.toml: no such file; did you mean ablations/mine\.toml\?$"):
        load(find(Path("mine.toml")))
    Path("mine.toml").write_text(text())
    assert find(Path("mine")) == Path("mine.toml")


def test_a_file_that_is_not_there_or_a_folder_is_said(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        load(tmp_path / "x.toml")
    assert (
        str(caught.value)
        == f"{tmp_path / 'x.toml'}: no such file; bench new NAME writes a study to start from"
    )
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert (
        str(caught.value) == f"{tmp_path}: is a folder, not a study file; name one of the .toml files in it"
    )


def test_a_path_that_cannot_be_is_said():
    with pytest.raises(UserError, match="cannot be read"):
        load(Path("x" * 5000))
    with pytest.raises(UserError):
        load(Path("a\0b"))


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bench.study.toml.content_of", refuse)
    (tmp_path / "x.toml").touch()
    with pytest.raises(UserError, match=r"x\.toml: cannot be read: Permission denied"):
        load(tmp_path / "x.toml")


def test_a_file_must_be_utf_8(tmp_path: Path):
    (tmp_path / "x.toml").write_bytes(b'question = "\xff"')
    with pytest.raises(
        UserError, match=r"is not UTF-8 text \(invalid start byte at byte 12\); save it as UTF-8"
    ):
        load(tmp_path / "x.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path):
    (tmp_path / "tiny.toml").write_bytes(b"\xef\xbb\xbf" + text().replace("\n", "\r\n").encode())
    assert load(tmp_path / "tiny.toml") == read()


@pytest.mark.parametrize(
    "content", ["a = ", "[a]\n[a]", "a = 1\na = 2", "a.b = 1\na = 1", "\0", "= 1", 'a = "', "a = 01"]
)
def test_what_is_no_toml_is_said_with_the_place(content: str):
    message = refused(content)
    assert message.startswith("tiny.toml is not valid TOML: ")
    assert "line" in message or "end of document" in message


@pytest.mark.parametrize(
    "content",
    [
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{ a = " * 5000 + "1" + "}" * 5000,
        "x = " + "[" * 40 + "]" * 40,
        ".".join(["a"] * 3000) + " = 1",
        text(recipe=".".join(["a"] * 3000) + " = 1"),
        text(recipe='"' + ".".join(["a"] * 3000) + '" = 1'),
        text(ARMS + '[arms.x]\n"' + ".".join(["0"] * 3000) + '" = 1'),
    ],
)
def test_what_is_nested_too_deep_is_said(content: str):
    assert "too deep" in refused(content)


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "F" * 5000, str(2**63), str(-(2**63) - 1)])
def test_a_number_beyond_64_bits_is_said(number: str):
    message = refused(text(top=f"looks = [{number}]"))
    assert "whole numbers have 64 bits at most" in message
    assert len(message) < 250
