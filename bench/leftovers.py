"""What can go from a results folder, on request, and how much room it makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.store import Record, Store


@dataclass(frozen=True)
class Leftover:
    """Something on the disk that can go, on request."""

    path: Path
    size: int
    """Bytes."""


def stale(store: Store, is_current: Callable[[Record], bool]) -> list[Leftover]:
    """Folders of trials whose component versions are not today's, as the caller tells."""
    return [_leftover(store.trial_dir(record.id)) for record in store.records() if not is_current(record)]


def checkpoints(store: Store) -> list[Leftover]:
    """Checkpoints of unfinished trials; without them these start again."""
    return [_leftover(path) for path in sorted(store.root.glob("trials/*/checkpoint.pt"))]


def weights(store: Store) -> list[Leftover]:
    """Kept weights; without them a set added later needs ``--rescore``."""
    return [_leftover(path) for path in sorted(store.root.glob("trials/*/weights.safetensors"))]


def remove(store: Store, leftovers: Iterable[Leftover]) -> int:
    """Delete and return the bytes freed. Refuses what is not inside a trial's folder, which may be a link."""
    freed = 0
    trials = store.root / "trials"
    for leftover in leftovers:
        path = leftover.path
        if trials not in path.parents or ".." in path.relative_to(trials).parts:
            raise ValueError(f"{path} is not inside {trials}")
        if path.is_dir():
            (path / "record.json").unlink(missing_ok=True)  # first: half a folder is no trial
            clear(path)
        else:
            path.unlink(missing_ok=True)
        freed += leftover.size
    return freed


def clear(folder: Path) -> None:
    """Delete a folder; of a link to one what is in it, for the link says on which disk a person wants it."""
    if not folder.is_symlink():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _leftover(path: Path) -> Leftover:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Leftover(path, sum(file.stat().st_size for file in files))
