"""How many trials run at once, and on which GPU each."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.execute import look
from bench.execute.jobs import Job, Place
from bench.execute.look import Gpu
from bench.files import json_of, write_whole
from bench.identity import identity
from bench.machine import Machine
from bench.plan import Trial
from bench.recipe import Recipe
from bench.record import GANG
from bench.store import Record, Store

MOST_PER_GPU = 4
"""More share a GPU's time without adding to it (docs/performance.md)."""
CONTEXT_MB = 700.0
"""What CUDA and its libraries hold in each process beside tensors."""
FREE_SHARE = 0.95
"""Of a GPU's free memory, what may be given away."""
MOST_IN_GANG = 8
"""Trials that take turns in one process, where nobody asks for more."""
WORTH = 1.1
"""Times the images a second that twice as many trials must bring together, or half as many stay."""
RATES = ("lr", "weight_decay")
"""Of an optimizer: what searches vary and memory does not depend on."""
PROBES = "probes.json"
"""File of the cache with what ``bench plan --probe`` measured."""

Speeds = dict[str, dict[int, list[float]]]
"""Kind of trial → how many took turns → images a second of each, in its own share of the time."""


class Rooms:
    """How many trials run at once on each GPU; told anew as trials end and their memory is known."""

    def __init__(self, place: Place, gpus: Sequence[Gpu], gang: int = 0) -> None:
        """Take up what finished trials and probes have measured.

        gpus   with the memory that is free before any of our workers runs
        gang   trials that take turns in a worker, as a person asked; 0: to be chosen
        """
        self._store, self._gpus, self._gang = Store(place.results), gpus, gang
        self._known = remembered_peaks(place.cache)
        self._speeds: Speeds = {}
        for record in self._store.records():
            self._learn(record)

    def ended(self, trial: Trial) -> None:
        """Take note of what a trial took that has a record now."""
        record = self._store.read(trial.id)
        if record is not None:
            self._learn(record)

    def slots(self, trials: Iterable[Trial]) -> list[str]:
        """The GPU of each worker that ``trials``, running ones and waiting ones, have room for.

        One for each GPU where they take turns instead: kernels of two processes never run side by side.
        """
        trials = list(trials)
        if self._gang > 1 or self._may_take_turns(trials):
            return [gpu.name for gpu in self._gpus]
        return share_out(self._gpus, most_of(trials, self._known))

    def seats(self, trials: Sequence[Trial]) -> int:
        """How many of ``trials`` take turns in one worker: as many as every GPU holds, as long as it pays."""
        peak = most_of(trials, self._known)
        if peak is None or not self._may_take_turns(trials):
            return 1
        free = min(gpu.free_mb for gpu in self._gpus)
        room = int((FREE_SHARE * free - CONTEXT_MB) / max(peak, 1.0))
        return worth(self._speeds, min(room, MOST_IN_GANG))

    def _may_take_turns(self, trials: Sequence[Trial]) -> bool:
        """Whether a worker may have several: steps are recorded, and nobody found that two do not pay."""
        measured = any(1 in of for of in self._speeds.values())
        recorded = self._gang != 1 and all(trial.recipe.graph for trial in trials)
        return recorded and (not measured or worth(self._speeds, 2) > 1)

    def _learn(self, record: Record) -> None:
        if record.machine.get("device") != "cuda" or not record.trained:
            return
        key, size = _about(record.trained[0], record.data_fingerprint), int(record.machine.get(GANG) or 1)
        if (peak := record.memory.get("reserved_mb")) and size == 1:  # else it is that of all
            self._known[key] = max(peak, self._known.get(key, 0.0))
        if (speed := record.timings.get("images_per_s")) and record.status == "done":
            self._speeds.setdefault(key, {}).setdefault(size, []).append(speed)


def worth(speeds: Speeds, most: int) -> int:
    """How many trials take turns: a power of two, doubled as long as the last doubling paid.

    It pays where trials of the same kind trained ``WORTH`` times as many images a second, all together; what
    nobody has measured is tried once what it is compared with was.
    """
    size = 1
    while 2 * size <= most and any(size in of for of in speeds.values()):
        gains = [
            statistics.median(of[2 * size]) / statistics.median(of[size])
            for of in speeds.values()
            if size in of and 2 * size in of
        ]
        if not gains:
            return 2 * size
        if statistics.median(gains) < WORTH:
            return size
        size *= 2
    return size


def choose(
    machine: Machine, place: Place, jobs: Sequence[Job], *, smoked: bool = False
) -> tuple[list[str], Rooms | None]:
    """One entry per worker: the GPU it sees, or "" on a CPU; and what says it anew while trials run.

    ``machine.workers`` where it is given. Else a worker for each ``cpu_threads`` cores, or as many per GPU as
    the memory measured in finished trials and probes of these arms allows; one where none was measured.
    """
    if smoked and not machine.workers:
        return [""], None  # a smoke trial takes a second, a worker ten to import torch
    trials = [job.run.trial for job in jobs]
    if place.device == "cpu":
        return of_cpu(machine, max(trial.recipe.cpu_threads for trial in trials)), None
    if machine.workers:
        names = look.names()
        return [names[i % len(names)] for i in range(machine.workers)], None
    rooms = Rooms(place, look.gpus(), machine.gang)
    return rooms.slots(trials), rooms


def of_cpu(machine: Machine, threads: int) -> list[str]:
    """The same on a CPU, for trials of so many threads."""
    return [""] * (machine.workers or max(1, cores() // threads))


def share_out(gpus: Sequence[Gpu], peak_mb: float | None) -> list[str]:
    """GPU of each worker, one of every GPU before a second of any.

    peak_mb   most memory that a trial reserves, in MB; None: not known, one worker per GPU
    """
    if peak_mb is None:
        return [gpu.name for gpu in gpus]
    each = peak_mb + CONTEXT_MB
    rooms = [1 if gpu.exclusive else int(FREE_SHARE * gpu.free_mb / each) for gpu in gpus]
    rooms = [max(1, min(MOST_PER_GPU, room)) for room in rooms]
    return [
        gpu.name for turn in range(MOST_PER_GPU) for gpu, room in zip(gpus, rooms, strict=True) if room > turn
    ]


def most_of(trials: Iterable[Trial], known: Mapping[str, float]) -> float | None:
    """Most memory among ``trials``, in MB; None when it is not known of every one."""
    peaks = [known.get(about(trial)) for trial in trials]
    if not peaks or None in peaks:
        return None
    return max(peak for peak in peaks if peak is not None)


def remembered_peaks(cache: Path) -> dict[str, float]:
    """What probes measured on this machine's GPUs."""
    try:
        found = json_of(cache / PROBES)
    except (OSError, ValueError):
        return {}
    return {key: float(value) for key, value in found.items() if isinstance(value, (int, float))}


def remember_peaks(cache: Path, measured: Mapping[str, float]) -> None:
    """Keep what a probe measured, by ``about``, in MB; a cache that cannot be written keeps nothing."""
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        text = json.dumps(remembered_peaks(cache) | dict(measured), indent=1)
        write_whole(cache / PROBES, text.encode())


def about(trial: Trial) -> str:
    """What decides how much memory a trial reserves, as text: images, and all of the recipe but rates."""
    return _about(trial.recipe, trial.data_fingerprint)


def _about(recipe: Recipe, fingerprint: str) -> str:
    settings = {key: value for key, value in identity(recipe).items() if key not in ("schedule", "loss")}
    optimizer = {key: value for key, value in settings["optimizer"].items() if key not in RATES}
    return json.dumps([fingerprint, settings | {"optimizer": optimizer}], sort_keys=True)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
