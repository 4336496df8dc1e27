"""How many trials run at once, and on which GPU each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.execute import Job, Setting
from bench.machine import Machine
from bench.store import Record, Store

MOST_PER_GPU = 4
"""More share a GPU's time without adding to it (docs/performance.md)."""
CONTEXT_MB = 700.0
"""What CUDA and its libraries hold in each process beside tensors."""
FRAGMENTED = 1.2
"""The allocator reserves this many times what tensors take at their peak."""
FREE_SHARE = 0.95
"""Of a GPU's free memory, what may be given away."""


@dataclass(frozen=True)
class Gpu:
    """A device that torch sees."""

    name: str
    """As CUDA_VISIBLE_DEVICES knows it: an index or a UUID."""
    free_mb: float


def choose(machine: Machine, setting: Setting, jobs: Sequence[Job], *, smoked: bool = False) -> list[str]:
    """One entry per worker: the GPU it sees, or "" on a CPU.

    ``machine.workers`` where it is given. Else a worker for each ``cpu_threads`` cores, or as many per GPU as
    the memory measured in finished trials and probes of these arms allows; one where none was measured.
    """
    if machine.executor == "inline" or (smoked and not machine.workers):
        return [""]  # a smoke trial takes a second, a worker ten to import torch
    if setting.device == "cpu":
        threads = max(job.run.trial.recipe.cpu_threads for job in jobs)
        return [""] * (machine.workers or max(1, _cores() // threads))
    gpus = _gpus()
    if machine.workers:
        return [gpus[i % len(gpus)].name for i in range(machine.workers)]
    peak_mb = measured_peak_mb(jobs, Store(setting.results).records())
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


def measured_peak_mb(jobs: Iterable[Job], records: Iterable[Record]) -> float | None:
    """Most memory among GPU trials of the same recipes and image size; None when one was never measured."""
    known: dict[str, float] = {}
    for record in records:
        peak = record.memory.get("peak_mb")
        if peak and record.machine.get("device") == "cuda":
            about = _about(record.recipe, record.data["size_px"])
            known[about] = max(peak, known.get(about, 0.0))
    peaks = []
    for job in jobs:
        trial = job.run.trial
        peaks.append(known.get(_about(trial.recipe.model_dump(mode="json"), trial.data.size_px)))
    if not peaks or None in peaks:
        return None
    return max(peak for peak in peaks if peak is not None)


def _about(recipe: dict[str, object], size_px: int) -> str:
    """What decides how much memory a trial takes."""
    import json

    deciding = ("model", "batch_size", "stages", "precision", "ema", "graph", "compile", "augment")
    return json.dumps([size_px, *(recipe.get(key) for key in deciding)], sort_keys=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[Gpu]:
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    names = named[:count] if len(named) >= count else [str(i) for i in range(count)]
    return [Gpu(name, torch.cuda.mem_get_info(i)[0] / 1e6) for i, name in enumerate(names)]
