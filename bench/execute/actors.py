"""Processes of a Ray cluster that keep the GPU, or the share of one, that they were granted.

Imports no Ray: it is handed in.
"""

from __future__ import annotations

from typing import Any


class Actors:
    """Actors with a share of a GPU each; one that is free takes the next call that needs its share."""

    def __init__(self, ray: Any, worker: type) -> None:
        """None is started yet.

        worker   its ``work`` takes what ``call`` is given
        """
        # no restarts: a lost worker is a killed trial, and the next call starts another
        self._ray, self._worker = ray, ray.remote(max_restarts=0, max_task_retries=0)(worker)
        self._free: list[tuple[float, Any]] = []
        self._busy: dict[Any, tuple[float, Any]] = {}

    def call(self, share: float, *given: Any) -> Any:
        """Hand a call to an actor with that share of a GPU, a new one where none is free; its reference."""
        fitting = [each for each in self._free if each[0] == share]
        if fitting:
            self._free.remove(fitting[0])
        else:
            self.dismiss()  # of another share: it would hold what the new one needs
        actor = fitting[0][1] if fitting else self._worker.options(num_cpus=1, num_gpus=share).remote()
        ref = actor.work.remote(*given)
        self._busy[ref] = share, actor
        return ref

    def free(self, ref: Any, *, keep: bool) -> None:
        """The call has ended; its actor takes others, or makes room for a fresh one."""
        share, actor = self._busy.pop(ref)
        if keep:
            self._free.append((share, actor))
        else:
            self._ray.kill(actor)

    def kill(self, ref: Any) -> None:
        """End the actor that is at this call."""
        self._ray.kill(self._busy[ref][1])

    def dismiss(self) -> None:
        """End those that are free."""
        for _, actor in self._free:
            self._ray.kill(actor)
        self._free = []
