"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.plan import Replicate, Source, fingerprint
from bench.recipe import Data, Hidden

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real images and weights that development machines have; skips where it is absent."""
    folder = Path(os.environ.get("BENCH_SHARED", ROOT.parent / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip("needs the folder of real images (BENCH_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads this machine's settings or fills its cache."""
    for variable in list(os.environ):
        if variable.startswith("BENCH_") and variable != "BENCH_SHARED":
            monkeypatch.delenv(variable)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


class FakeLocator:
    """Answers a plan's questions without a disk: what a source is called is what it holds."""

    def __init__(self, content: str = "v1") -> None:
        self.content = content
        """Stands for the pixels: another content, another fingerprint."""

    def source(self, written: str, data: Data) -> Source:
        """A source whose content hashes to its own name."""
        kind = written.partition(":")[0]
        assert kind in ("synthetic", "bloodmnist", "npz", "folder")
        return Source(
            kind, None if kind == "synthetic" else Path("/images"), fingerprint([written, self.content])
        )

    def data_fingerprint(self, source: Source, data: Data) -> str:
        """Everything of ``[data]`` but how the source is written."""
        return fingerprint([source.fingerprint, data.model_dump(mode="json", exclude={"source"})])

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """One test set per fold, the same for every seed."""
        return fingerprint(["test", self.data_fingerprint(source, data), replicate.fold])

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """A corrupted set depends on the test images, any other on itself."""
        made_of = test_key if source is None else source.fingerprint
        return fingerprint([hidden.model_dump(mode="json"), made_of])

    def weights(self, written: str) -> tuple[Path, str]:
        """A file whose content is its name."""
        return Path("/weights") / written, fingerprint(written)


@pytest.fixture(scope="session")
def locator() -> FakeLocator:
    """A locator that needs no disk."""
    return FakeLocator()
