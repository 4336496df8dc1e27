"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Heeded when torch is imported. Tests compute little, several processes at once: threads of theirs that wait
# for one another on a busy core took most of the time that a step of a tiny network had.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when ray is imported, by whichever file of tests comes first: else "uv run" starts uv in every worker.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

import pytest
from studies import FakeLocator

from bench import registry

ROOT = Path(__file__).resolve().parent.parent

LONGEST = (
    "test_tutorial.py",
    "test_chaos.py",
    "test_ray.py",
    "test_local.py",
    "test_through.py",
    "test_scripts.py",
)
"""Files that take minutes come first: where two processes share the files out, both end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all else in its order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


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


@pytest.fixture(autouse=True)
def _nothing_from_outside() -> Iterator[None]:
    """No test leaves a study's own components on offer."""
    yield
    registry.use(())


@pytest.fixture(scope="session")
def locator() -> FakeLocator:
    """A locator that needs no disk."""
    return FakeLocator()
