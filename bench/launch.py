"""Runs a conductor's jobs on this machine: which executor, how many workers, what is told meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.execute import Executor, Job, Setting, inline, local
from bench.machine import Machine
from bench.terminal import Terminal


@dataclass(frozen=True)
class Crew:
    """Whoever runs the trials of one ``bench run``, from its first batch of jobs to its last."""

    setting: Setting
    machine: Machine
    terminal: Terminal
    smoked: bool

    def run(self, title: str, jobs: Sequence[Job]) -> list[str]:
        """Run ``jobs``; return a line for each that failed. Every one of them ends with a record."""
        if not jobs:
            return []
        workers = _workers(self.machine, self.setting.device, len(jobs), smoked=self.smoked)
        failures = []
        with self.terminal.trials(title, len(jobs), workers) as screen:
            for event in _executor(self.machine, workers)(jobs, self.setting, screen.listen):
                screen.ended(event)
                if event.kind == "failed":
                    failures.append(
                        f"{event.arm} {event.replicate}: {event.text}   (bench show {event.trial})"
                    )
        return failures


@contextmanager
def crew(
    machine: Machine, results: Path, terminal: Terminal, *, keep_weights: bool, smoked: bool
) -> Iterator[Crew]:
    """A crew for the whole of one run. Raises UserError for a device or an executor that is not there."""
    if machine.executor == "ray":
        raise UserError("--executor ray is not built yet; use local or inline")
    setting = Setting(results, machine.cache, device_of(machine), keep_weights)
    yield Crew(setting, machine, terminal, smoked)


def _executor(machine: Machine, workers: int) -> Executor:
    if machine.executor == "inline" or workers == 1:
        return inline.execute
    return local.executor(workers)


def _workers(machine: Machine, device: str, jobs: int, *, smoked: bool) -> int:
    """One process per core on a CPU, one on a GPU, unless the machine's settings say otherwise."""
    if machine.executor == "inline" or (smoked and not machine.workers):
        return 1  # a smoke trial takes a second, a worker ten to import torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = machine.workers or (cores if device == "cpu" else 1)
    return max(1, min(wanted, jobs))


def device_of(machine: Machine) -> str:
    """``cpu`` or ``cuda``. Raises UserError for a GPU that is not there."""
    import torch

    there = torch.cuda.is_available()
    if machine.device == "cuda" and not there:
        raise UserError('device = "cuda": torch sees no GPU here; use --device cpu, or see bench doctor')
    return "cuda" if machine.device != "cpu" and there else "cpu"
