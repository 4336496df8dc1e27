"""Runs a conductor's jobs on this machine: which executor, how many workers, what is told meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UserError
from bench.execute import Executor, Job, Setting, inline, local
from bench.machine import Machine
from bench.terminal import Terminal


class Crew:
    """Whoever runs the trials of one ``bench run``, from its first batch of jobs to its last."""

    def __init__(self, setting: Setting, machine: Machine, terminal: Terminal, *, smoked: bool) -> None:
        """Nothing is started yet: the first batch does."""
        self.setting, self.machine, self.terminal = setting, machine, terminal
        self._capacity = _capacity(machine, setting.device, smoked=smoked)
        self._executor: Executor | None = None

    def run(self, title: str, jobs: Sequence[Job]) -> list[str]:
        """Run ``jobs``; return a line for each that failed. Every one of them ends with a record."""
        if not jobs:
            return []
        failures = []
        executor = self._for(len(jobs))
        with self.terminal.trials(title, len(jobs), min(self._capacity, len(jobs))) as screen:
            for event in executor.run(jobs, screen.listen):
                screen.ended(event)
                if event.kind == "failed":
                    failures.append(
                        f"{event.arm} {event.replicate}: {event.text}   (bench show {event.trial})"
                    )
        return failures

    def close(self) -> None:
        """End the workers."""
        if self._executor is not None:
            self._executor.close()

    def _for(self, jobs: int) -> Executor:
        """The executor of a batch; the same for every batch, unless there is nothing to share out."""
        if self._executor is None and min(self._capacity, jobs) == 1:
            return inline.Inline(self.setting)  # a worker would take ten seconds to import torch
        if self._executor is None:
            self._executor = local.Local(self._capacity, self.setting)
        return self._executor


@contextmanager
def crew(
    machine: Machine, results: Path, terminal: Terminal, *, keep_weights: bool, smoked: bool
) -> Iterator[Crew]:
    """A crew for the whole of one run. Raises UserError for a device or an executor that is not there."""
    if machine.executor == "ray":
        raise UserError("--executor ray is not built yet; use local or inline")
    setting = Setting(results, machine.cache, device_of(machine), keep_weights)
    hands = Crew(setting, machine, terminal, smoked=smoked)
    try:
        yield hands
    finally:
        hands.close()


def _capacity(machine: Machine, device: str, *, smoked: bool) -> int:
    """One process per core on a CPU, one on a GPU, unless the machine's settings say otherwise."""
    if machine.executor == "inline" or (smoked and not machine.workers):
        return 1  # a smoke trial takes a second, a worker ten to import torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return machine.workers or (cores if device == "cpu" else 1)


def device_of(machine: Machine) -> str:
    """``cpu`` or ``cuda``. Raises UserError for a GPU that is not there."""
    import torch

    there = torch.cuda.is_available()
    if machine.device == "cuda" and not there:
        raise UserError('device = "cuda": torch sees no GPU here; use --device cpu, or see bench doctor')
    return "cuda" if machine.device != "cpu" and there else "cpu"
