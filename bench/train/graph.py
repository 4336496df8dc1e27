"""A training step recorded once and replayed from then on: one launch in place of a thousand.

At batch 64 an EfficientNet spends most of a step on a GPU waiting for the host to launch kernels. What a
recording holds is fixed: memory addresses, shapes, and numbers that came from the host. So batches are copied
into buffers of its own, and numbers that change from step to step (learning rate, share of the average) live
on the device.

Dropout draws as without a graph: torch keeps seed and offset of its CUDA generator on the device and moves
them on at every replay, so an epoch's ``torch.manual_seed`` holds for replays too.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

CANNOT_RECORD = "graph = true: the step cannot be recorded, trains without"
"""Begins the note of a recording that failed; a worker that says so is replaced after its trial."""
WARM_UP = 3
"""Ordinary steps before the recording: in them kernels are chosen and the optimizer makes its averages."""

Step = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W), targets (B, K) → what the step tells, on the device."""
Note = Callable[[str], None]


class Recorder(Protocol):
    """What a device must be able to do."""

    def aside(self, step: Step, images: Tensor, targets: Tensor) -> Tensor:
        """Take an ordinary step with (B, C, H, W) and (B, K) where recordings are made; what it tells."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` would do without doing it; returned is what does it.

        Raises RuntimeError when something in ``work`` cannot be recorded.
        """
        ...


class Graphed:
    """The steps of one stage: a few ordinary ones, then replays. No step is taken twice or left out."""

    def __init__(self, recorder: Recorder, optimizer: Optimizer, batch_size: int, note: Note) -> None:
        """Nothing is recorded yet.

        batch_size   images of a batch that is replayed; the last, smaller one of an epoch is an ordinary step
        note         told when recording fails and the stage goes on with ordinary steps
        """
        self._recorder, self._optimizer, self._note = recorder, optimizer, note
        self._batch_size, self._warm, self._failed = batch_size, 0, False
        self._replay: Callable[[], None] | None = None

    @property
    def replays(self) -> bool:
        """Whether the step has been recorded."""
        return self._replay is not None

    def __call__(self, step: Step, images: Tensor, targets: Tensor) -> Tensor:
        """Take ``step``, the same at every call; what it tells, which the next call overwrites.

        images    (V·B, C, H, W) float32
        targets   (B, K) float32
        """
        if self._failed or len(targets) != self._batch_size:
            return step(images, targets)
        if self._warm < WARM_UP:
            self._warm += 1
            return self._recorder.aside(step, images, targets)
        if self._replay is None:
            self._replay = self._record(step, images, targets)
        if self._replay is None:
            self._failed = True
            return step(images, targets)
        self._images.copy_(images)
        self._targets.copy_(targets)
        self._replay()
        return self._told

    def _record(self, step: Step, images: Tensor, targets: Tensor) -> Callable[[], None] | None:
        """The step, recorded for batches of these shapes; None, and a note, where that fails."""
        self._images, self._targets = torch.empty_like(images), torch.empty_like(targets)

        def work() -> None:
            self._told = step(self._images, self._targets)

        self._optimizer.zero_grad()  # the recording makes gradients of its own
        try:
            with _capturable(self._optimizer):
                return self._recorder.record(work)
        except RuntimeError as error:  # what torch raises for CUDA's errors, and for too little memory
            reason = str(_first_cause(error)).partition("\n")[0][:200]
            self._note(f"{CANNOT_RECORD} ({reason})")
            self._optimizer.zero_grad()
            del self._images, self._targets
            return None


class CudaRecorder:
    """Recordings of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        current = torch.cuda.current_stream(device)
        # the default stream cannot be recorded; that of a stance can
        shared = current == torch.cuda.default_stream(device)
        self._stream = torch.cuda.Stream(device) if shared else current  # type: ignore[no-untyped-call]

    def aside(self, step: Step, images: Tensor, targets: Tensor) -> Tensor:
        """Take an ordinary step with (B, C, H, W) and (B, K) on the stream that is recorded later."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            told = step(images, targets)
        current.wait_stream(self._stream)
        return told

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record ``work``; torch registers its own generator with every recording."""
        generator = torch.cuda.default_generators[self._device.index or 0]
        before, current = generator.clone_state(), torch.cuda.current_stream(self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph, stream=self._stream), _holding():
                work()
        except BaseException:
            # A recording that broke off leaves the generator waiting for its end, and dropout would fail; and
            # torch leaves the recording's stream current where ending it fails too (2.11).
            torch.cuda.set_stream(current)
            generator.graphsafe_set_state(before)
            raise
        return graph.replay


@contextlib.contextmanager
def _holding() -> Iterator[None]:
    """Collect no garbage: to destroy the recording of an ended trial could break this one."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _first_cause(error: BaseException) -> BaseException:
    """What broke a recording: that it could not be ended is raised on top of it."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def rates_on_device(optimizer: Optimizer, device: torch.device) -> None:
    """Make every group's learning rate a float32 scalar on the device, for a recording to read."""
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), float(group["lr"]), dtype=torch.float32, device=device)


@contextlib.contextmanager
def _capturable(optimizer: Optimizer) -> Iterator[None]:
    """Tell Adam that it is being recorded; outside, it would warn of a flag without a recording."""
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
