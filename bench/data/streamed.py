"""A split that does not fit the device: batches are gathered on a thread, and sent one ahead of their use.

The same bytes come in the same order as from a ``Resident``, so on a CPU the same bits. While one block is
computed with, the next is on its way to the device and the one after it is gathered, from a memory-mapped
file that all processes share, or from memory. Nothing but ``read_into`` runs on the thread: a recording of
CUDA steps must not meet calls of another thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.data.images import Samples, digest, read_into
from bench.data.resident import Resident, Rows, Wanted, as_floats, resident

BUFFERS = 3
"""One block is computed with, one is on its way, one is gathered."""


class Streamed:
    """Images of a split outside the device, with the interface of a ``Resident``; its labels are there."""

    def __init__(self, samples: Samples, device: torch.device | str) -> None:
        self._images, self._device = samples.images, torch.device(device)
        self.labels = torch.from_numpy(np.ascontiguousarray(samples.labels)).to(device)
        """(N,) int64."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Of its images."""
        return self._images.nbytes

    @property
    def digest(self) -> bytes:
        """Hash of its images."""
        return digest(self._images)

    @property
    def resident_bytes(self) -> int:
        """Of its images, on the device: none but a few blocks."""
        return 0

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` in turn, with its images: (B, C, H, W) float32 in [0, 1], channels last.

        Asks for two more than it has given.
        """
        lane, coming, turn = lane_to(self._device), iter(wanted), 0
        sent: tuple[Wanted, Arrival] | None = None
        with ThreadPoolExecutor(1, "images") as pool:
            gathered = self._gather(pool, lane, next(coming, None), turn)
            while gathered or sent:
                ready, sent = sent, None
                if gathered:
                    sent = gathered[0], lane.send(turn, gathered[1].result())
                    turn = (turn + 1) % BUFFERS
                    gathered = self._gather(pool, lane, next(coming, None), turn)
                if ready:
                    yield ready[0], as_floats(ready[1]())

    def _gather(
        self, pool: ThreadPoolExecutor, lane: Lane, rows: Wanted | None, turn: int
    ) -> tuple[Wanted, Future[Tensor]] | None:
        """Begin to read ``rows`` into buffer ``turn``: (B, H, W, C) uint8 on the host."""
        if rows is None:
            return None
        buffer = lane.buffer(turn, (len(rows.places), *self._images.shape[1:]))

        def read() -> Tensor:
            read_into(self._images, rows.places, buffer.numpy())
            return buffer

        return rows, pool.submit(read)


class Arrival(Protocol):
    """Bytes on their way: to call it gives them, (B, H, W, C) uint8 on the device."""

    def __call__(self) -> Tensor: ...


class Lane(Protocol):
    """How bytes get to a device."""

    def buffer(self, turn: int, shape: tuple[int, ...]) -> Tensor:
        """Buffer ``turn`` on the host, (n, H, W, C), to be written into: what it sent has left it."""

    def send(self, turn: int, pixels: Tensor) -> Arrival:
        """Begin to send ``pixels`` (n, H, W, C), which lie in buffer ``turn``."""


def lane_to(device: torch.device) -> Lane:
    """The lane to a device."""
    return CudaLane(device) if device.type == "cuda" else HostLane()


class HostLane:
    """To the CPU: bytes (n, H, W, C) are where they are wanted once they are gathered."""

    def __init__(self) -> None:
        self._buffers: dict[int, Tensor] = {}

    def buffer(self, turn: int, shape: tuple[int, ...]) -> Tensor:
        """Buffer ``turn``, in ordinary memory."""
        return _of(self._buffers, turn, shape, pinned=False)

    def send(self, turn: int, pixels: Tensor) -> Arrival:
        """``pixels`` themselves."""
        return lambda: pixels


class CudaLane:
    """To a CUDA device: bytes (n, H, W, C) from pinned buffers, on a stream of their own, beside kernels."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: dict[int, Tensor] = {}
        self._left: dict[int, torch.cuda.Event] = {}

    def buffer(self, turn: int, shape: tuple[int, ...]) -> Tensor:
        """Buffer ``turn``, pinned; waits for the copy that was begun from it three blocks ago."""
        if turn in self._left:
            self._left.pop(turn).synchronize()
        return _of(self._buffers, turn, shape, pinned=True)

    def send(self, turn: int, pixels: Tensor) -> Arrival:
        """Begin a copy; whoever takes it makes the stream that is then current wait for it, not the host."""
        with torch.cuda.stream(self._stream):
            there = pixels.to(self._device, non_blocking=True)
            left = torch.cuda.Event()  # type: ignore[no-untyped-call]
            left.record(self._stream)
        self._left[turn] = left

        def arrival() -> Tensor:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(left)
            there.record_stream(current)  # its memory is not given to a later copy before it was used
            return there

        return arrival


def _of(buffers: dict[int, Tensor], turn: int, shape: tuple[int, ...], *, pinned: bool) -> Tensor:
    """The first ``shape[0]`` images of buffer ``turn``, made where it is missing or too small."""
    if turn not in buffers or len(buffers[turn]) < shape[0]:
        buffers[turn] = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
    return buffers[turn][: shape[0]]


Split = Resident | Streamed
"""A split as training and evaluation use it."""


def placed(samples: Samples, device: torch.device | str, room: int) -> Split:
    """``samples`` on the device if they take ``room`` bytes or less or are there already; else streamed."""
    there = resident(samples, device, room)
    return Streamed(samples, device) if there is None else there


__all__ = ["Resident", "Rows", "Split", "Streamed", "placed"]
