"""What an interrupted training continues from: a file, written now and then, read once at the start."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import shorten
from bench.files import opened, write_whole

FORMAT = 1
"""Of the file; raised when what it holds changes."""

SHARE = 0.02
"""Writing may take so much of the time since the last checkpoint."""

SECONDS_PER_BYTE = 1 / 200e6
"""Assumed before the first is written: a slow disk that is waited for."""

Snapshot = dict[str, Any]
"""What ``torch.load(weights_only=True)`` reads: tensors, numbers and text in lists and dicts."""


class Interrupted(Exception):  # noqa: N818 - as asked, not an error
    """Training was asked to stop, and has written what it continues from if that was possible."""


class Checkpoint:
    """The file of one trial. It is a convenience: whatever is wrong with it is noted and never an error."""

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, object],
        note: Callable[[str], None] = lambda text: None,
        stop: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Nothing is read or written yet.

        identity   what must be the same for training to continue, as numbers, text and dicts of them
        note       told what the person may want to know
        stop       asked at each offer whether training is to end there
        now        seconds of training; several trials that take turns write no more often than one alone
        """
        self.path, self._identity, self._note, self._stop = path, dict(identity), note, stop
        self._seconds_per_byte, self._now = SECONDS_PER_BYTE, now
        self._since = now()

    def read(self, device: str) -> Snapshot | None:
        """What was kept, its tensors on ``device``; None where there is nothing to continue from."""
        if not os.path.lexists(self.path):
            return None
        try:
            state = _load(self.path, device)
            reason = self._differs(state)
        except Exception as error:  # there is no list of what a damaged file can raise
            reason = f"is damaged ({type(error).__name__}: {str(error).partition(chr(10))[0][:100]})"
        if reason:
            self._note(f"{self.path} {reason}; the trial starts again")
            return None
        self._note(f"continues from {self.path}")
        return state

    def _differs(self, state: Snapshot) -> str:
        """Why ``state`` is not this trial's, or nothing."""
        if state["format"] != FORMAT:
            return f"has format {shorten(state['format'])}, this bench reads {FORMAT}"
        for key, here in self._identity.items():
            if (there := state["identity"].get(key)) != here:
                return f"is of another {key}: {shorten(there)}, here {shorten(here)}"
        return ""

    def offer(self, state: Snapshot) -> bool:
        """Write ``state``, whole or not at all, if the time since the last one is worth it; return so.

        Raises Interrupted when training is to stop: then it was worth it.
        """
        if self._stop():
            rest = "continues from there" if self._write(state) else "starts again"
            last = state["history"][-1]
            raise Interrupted(f"stopped in stage {last['stage']} after epoch {last['epoch']}; {rest}")
        since = self._now() - self._since
        return _bytes(state) * self._seconds_per_byte <= SHARE * since and self._write(state)

    def _write(self, state: Snapshot) -> bool:
        """Write and remember how long it took; False, and a note, where the disk refuses."""
        begun, size = self._now(), _bytes(state)
        content = {"format": FORMAT, "identity": self._identity, **state}
        try:
            write_whole(self.path, lambda file: torch.save(content, file))
        except (OSError, RuntimeError) as error:  # RuntimeError: how torch tells of a disk that is full
            self._note(f"no checkpoint written to {self.path}: {str(error).partition(chr(10))[0]}")
            self._since = self._now()
            return False
        self._since = self._now()
        self._seconds_per_byte = (self._since - begun) / max(size, 1)
        return True


def restore_generators(states: Mapping[str, Tensor], device: str) -> None:
    """Let torch's generators go on where ``states``, of shape (n,) each, were taken."""
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def _load(path: Path, device: str) -> Snapshot:
    with opened(path) as content:
        # torch does not check the checksums it writes
        with zipfile.ZipFile(content) as file:
            if (broken := file.testzip()) is not None:
                raise ValueError(f"checksum of {broken}")
        content.seek(0)
        state = torch.load(content, map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"holds a {type(state).__name__}, not a table")
    return state


def _bytes(state: object) -> int:
    """Bytes of all tensors in ``state``."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, (list, tuple)) else 0
