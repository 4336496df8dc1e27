"""How many trials run at once, and on which GPU each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.execute.jobs import Job, Place
from bench.files import write_whole
from bench.identity import identity
from bench.machine import Machine
from bench.plan import Trial
from bench.recipe import Data, Recipe
from bench.store import Record, Store

MOST_PER_GPU = 4
"""More share a GPU's time without adding to it (docs/performance.md)."""
CONTEXT_MB = 700.0
"""What CUDA and its libraries hold in each process beside tensors."""
FRAGMENTED = 1.2
"""The allocator reserves this many times what tensors take at their peak."""
FREE_SHARE = 0.95
"""Of a GPU's free memory, what may be given away."""
PROBES = "probes.json"
"""File of the cache with what ``bench plan --probe`` measured."""


@dataclass(frozen=True)
class Gpu:
    """A device that torch sees."""

    name: str
    """As CUDA_VISIBLE_DEVICES knows it: an index or a UUID."""
    free_mb: float


def choose(machine: Machine, place: Place, jobs: Sequence[Job], *, smoked: bool = False) -> list[str]:
    """One entry per worker: the GPU it sees, or "" on a CPU.

    ``machine.workers`` where it is given. Else a worker for each ``cpu_threads`` cores, or as many per GPU as
    the memory measured in finished trials and probes of these arms allows; one where none was measured.
    """
    if smoked and not machine.workers:
        return [""]  # a smoke trial takes a second, a worker ten to import torch
    trials = [job.run.trial for job in jobs]
    if place.device == "cpu" or machine.workers:
        return of_machine(machine, place.device, max(trial.recipe.cpu_threads for trial in trials), None)
    known = peaks_of(Store(place.results).records())
    for key, peak_mb in remembered_peaks(place.cache).items():
        known[key] = max(peak_mb, known.get(key, 0.0))
    return of_machine(machine, place.device, 1, most_of(trials, known))


def of_machine(machine: Machine, device: str, threads: int, peak_mb: float | None) -> list[str]:
    """The same for trials of so many CPU threads, or so many MB of a GPU's memory."""
    if device == "cpu":
        return [""] * (machine.workers or max(1, _cores() // threads))
    gpus = _gpus()
    if machine.workers:
        return [gpus[i % len(gpus)].name for i in range(machine.workers)]
    return share_out(gpus, peak_mb)


def share_out(gpus: Sequence[Gpu], peak_mb: float | None) -> list[str]:
    """GPU of each worker, one of every GPU before a second of any.

    peak_mb   most memory that a trial's tensors take, in MB; None: not known, one worker per GPU
    """
    if peak_mb is None:
        return [gpu.name for gpu in gpus]
    each = FRAGMENTED * peak_mb + CONTEXT_MB
    rooms = {gpu.name: max(1, min(MOST_PER_GPU, int(FREE_SHARE * gpu.free_mb / each))) for gpu in gpus}
    return [gpu.name for turn in range(MOST_PER_GPU) for gpu in gpus if rooms[gpu.name] > turn]


def peaks_of(records: Iterable[Record]) -> dict[str, float]:
    """What decides the memory of a trial → most that finished ones took on a GPU, in MB."""
    known: dict[str, float] = {}
    for record in records:
        peak = record.memory.get("peak_mb")
        if peak and record.machine.get("device") == "cuda" and record.trained:
            key = _about(*record.trained)
            known[key] = max(peak, known.get(key, 0.0))
    return known


def most_of(trials: Iterable[Trial], known: Mapping[str, float]) -> float | None:
    """Most memory among ``trials``, in MB; None when it is not known of every one."""
    peaks = [known.get(about(trial)) for trial in trials]
    if not peaks or None in peaks:
        return None
    return max(peak for peak in peaks if peak is not None)


def remembered_peaks(cache: Path) -> dict[str, float]:
    """What probes measured on this machine's GPUs."""
    try:
        found = json.loads((cache / PROBES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: float(value) for key, value in found.items() if isinstance(value, (int, float))}


def remember_peaks(cache: Path, measured: Mapping[str, float]) -> None:
    """Keep what a probe measured, by ``about``, in MB; a cache that cannot be written keeps nothing."""
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        text = json.dumps(remembered_peaks(cache) | dict(measured), indent=1)
        write_whole(cache / PROBES, text.encode())


def about(trial: Trial) -> str:
    """What decides how much memory a trial takes, as text."""
    return _about(trial.recipe, trial.data)


def _about(recipe: Recipe, data: Data) -> str:
    deciding = ("model", "batch_size", "stages", "precision", "ema", "graph", "compile", "augment")
    settings = identity(recipe)
    return json.dumps([data.size_px, *(settings[key] for key in deciding)], sort_keys=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[Gpu]:
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    names = named[:count] if len(named) >= count else [str(i) for i in range(count)]
    return [Gpu(name, torch.cuda.mem_get_info(i)[0] / 1e6) for i, name in enumerate(names)]
