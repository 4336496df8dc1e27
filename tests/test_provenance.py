import platform
import subprocess
from pathlib import Path

import pytest

from bench import provenance


@pytest.fixture(autouse=True)
def _forget() -> None:
    provenance.commit.cache_clear()
    provenance.libraries.cache_clear()


def test_libraries_that_can_change_a_score_are_named_with_their_versions():
    found = provenance.libraries()
    assert found["python"] == platform.python_version()
    assert {"torch", "timm", "kornia", "numpy", "pillow"} <= set(found)
    assert all(version[0].isdigit() for version in found.values())


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "LIBRARIES", ("numpy", "no-such-library"))
    assert set(provenance.libraries()) == {"python", "numpy"}


def test_a_package_that_offers_a_component_is_named_with_its_version():
    found = provenance.packages(["sha256:00", "package:pydantic", "package:pydantic"])
    assert set(found) == {"pydantic"}
    assert found["pydantic"][0].isdigit()


def test_the_machine_is_told_without_its_name():
    about = provenance.machine("cpu")
    assert about["device"] == "cpu"
    assert about["device_name"]
    assert isinstance(about["cores"], int)
    assert platform.node() not in map(str, about.values())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a committed package ``bench``, taken for ours."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "provenance.py").write_text("a = 1\n")
    (tmp_path / "notes.txt").write_text("x")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "bench" / "provenance.py"))
    return tmp_path


def test_the_commit_is_told_and_marked_when_the_package_was_changed(checkout: Path):
    clean = provenance.commit()
    assert len(clean) == 12
    assert int(clean, 16) > 0
    provenance.commit.cache_clear()
    (checkout / "notes.txt").write_text("changed")
    assert provenance.commit() == clean, "only the package counts"
    provenance.commit.cache_clear()
    (checkout / "bench" / "provenance.py").write_text("a = 2\n")
    assert provenance.commit() == clean + "+"


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "bench" / "provenance.py"))
    assert provenance.commit() == ""


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == ""
