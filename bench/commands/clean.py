"""``bench clean``: what can go, and how much room it makes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.commands.plan import planned, read_plan
from bench.machine import Machine
from bench.plan import ROOMS
from bench.registry import REGISTRIES
from bench.run import SMOKE_FOLDER
from bench.store import Store


@dataclass(frozen=True)
class Wanted:
    """What the person asked to be rid of."""

    stale: bool = False
    checkpoints: bool = False
    weights: bool = False
    smoke: bool = False
    cache: bool = False


def clean(machine: Machine, wanted: Wanted, *, delete: bool) -> str:
    """Say, and with ``delete`` do, what was asked; without a wish, say what each would free."""
    store = Store(machine.results)
    kinds = {
        "stale": stale_trials(store),
        "checkpoints": sorted(store.root.glob("trials/*/checkpoint.pt")),
        "weights": sorted(store.root.glob("trials/*/weights.safetensors")),
        "smoke": [store.root / SMOKE_FOLDER],
        "cache": [machine.cache / "images", machine.cache / "downloads"],
    }
    chosen = [kind for kind in kinds if getattr(wanted, kind)]
    lines = []
    with store.lock():
        for kind in chosen or kinds:
            paths = [path for path in kinds[kind] if path.exists()]
            size = sum(map(_size, paths))
            gone = delete and kind in chosen
            for path in paths if gone else []:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            lines.append(f"{kind:<12} {len(paths):>5}  {size / 1e6:>9.1f} MB{'  deleted' if gone else ''}")
    if not delete:
        lines.append(f"nothing deleted; add {'--yes' if chosen else 'what should go, and --yes'}")
    return "\n".join(lines)


def stale_trials(store: Store) -> list[Path]:
    """Folders of records that other component versions made and that no study of the folder lists."""
    current = dict(ROOMS)
    for registry in REGISTRIES.values():
        current |= {f"{component.kind}:{component.name}": component.version for component in registry}
    listed = {t.id for name in planned(store) for arm in read_plan(name, store).arms for t in arm.trials}
    stale = []
    for record in store.records():
        outdated = any(current.get(name) != version for name, version in record.versions.items())
        if outdated and record.id not in listed:
            stale.append(store.trial_dir(record.id))
    return stale


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
