"""``bench clean``: what can go, and how much room it makes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import leftovers
from bench.claims import Presence
from bench.commands.status import planned, read_plan
from bench.errors import UserError
from bench.folders import check_writable
from bench.leftovers import Leftover
from bench.machine import Machine
from bench.plan import ROOMS
from bench.progress.terminal import Terminal
from bench.registry import version_today
from bench.run.joining import FOLDER
from bench.run.planning import SMOKE_FOLDER
from bench.store import Store

CACHED = ("images", "corrupted", "duplicates", "inspected", "downloads")
"""Folders of the cache that take room; what was hashed is remembered in a few kilobytes."""


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
        "stale": _stale(store),
        "checkpoints": leftovers.checkpoints(store),
        "weights": leftovers.weights(store),
        "smoke": _whole(store.root / SMOKE_FOLDER),
        "cache": _whole(*(machine.cache / name for name in CACHED)),
    }
    chosen = [kind for kind in kinds if getattr(wanted, kind)]
    lines = []
    with (
        _alone(store, machine) if delete else contextlib.nullcontext()
    ):  # looking neither waits nor makes folders
        for kind in chosen or kinds:
            gone = delete and kind in chosen
            if gone and kind in ("smoke", "cache"):
                for leftover in kinds[kind]:
                    leftovers.clear(leftover.path)
            elif gone:
                leftovers.remove(store, kinds[kind])
            size = sum(leftover.size for leftover in kinds[kind])
            lines.append(
                f"{kind:<12} {len(kinds[kind]):>5}  {size / 1e6:>9.1f} MB{'  deleted' if gone else ''}"
            )
    if not (delete and chosen):
        lines.append(f"nothing deleted; add {'--yes' if chosen else 'what should go, and --yes'}")
    return "\n".join(lines)


@contextlib.contextmanager
def _alone(store: Store, machine: Machine) -> Iterator[None]:
    """Within, no run joins. Raises UserError while one is at work."""
    check_writable(store.root)
    with Presence(store.root, machine.lease_s) as presence, presence.hold(FOLDER):
        with Terminal().waiting("waiting to see whether runs of other machines are alive"):
            who = presence.wait_until_alone()
        if who:
            raise UserError(
                f"another run is working in the results folder {store.root}: {who}\n"
                "    wait until it ends (bench status shows how far it is)"
            )
        yield


def _stale(store: Store) -> list[Leftover]:
    """Trials that other component versions made and that no study of the folder lists."""
    listed = {id for name in planned(store) for id in read_plan(name, store).ids}
    return leftovers.stale(
        store,
        lambda record: (
            record.id in listed
            or all(
                v == (ROOMS.get(n) or version_today(n))
                for n, v in record.versions.items()
                if n not in record.origins
            )
        ),
    )


def _whole(*folders: Path) -> list[Leftover]:
    sizes = {f: sum(p.stat().st_size for p in f.rglob("*") if p.is_file()) for f in folders if f.is_dir()}
    return [Leftover(folder, size) for folder, size in sizes.items()]
