"""What torch keeps once for a whole process, kept apart for trials that take turns in it.

Generators, which dropout draws from; settings, such as TF32 and threads; on a GPU the stream on which kernels
queue. A trial alone has a stance too: there is no other way to run one.
"""

from __future__ import annotations

from typing import TypeVar

import torch

from bench.recipe import Recipe
from bench.train.device import Settings
from bench.train.turns import Turns

T = TypeVar("T")


class Stance:
    """One trial's, while it is not its turn; or the process's own."""

    def __init__(self, device: str) -> None:
        """As torch stands now."""
        self._gpu = torch.device(device) if torch.device(device).type == "cuda" else None
        self.keep()

    def keep(self) -> None:
        """Note how torch stands."""
        self.settings = Settings.present()
        self._drawn = torch.get_rng_state()
        if self._gpu:
            self._stream = torch.cuda.current_stream(self._gpu)
            self._generator = self._default().graphsafe_get_state()

    def take(self) -> None:
        """Make torch stand as was noted."""
        self.settings.apply()
        torch.set_rng_state(self._drawn)
        if self._gpu:
            torch.cuda.set_stream(self._stream)
            self._default().graphsafe_set_state(self._generator)

    def part(self, stream: torch.cuda.Stream | None) -> None:
        """On a GPU, have a generator of one's own from here on, and ``stream`` where one is given.

        Never copied after that: a recorded step reads and moves on, on the device, the state that was torch's
        when it was recorded. Two recordings that run side by side must not share one.
        """
        if self._gpu:
            self._generator = self._default().clone_state()
            self._stream = stream or self._stream

    def _default(self) -> torch.Generator:
        assert self._gpu is not None
        return torch.cuda.default_generators[self._gpu.index or 0]


class Stances:
    """Those of a process. It changes from one to another when it must: a trial alone never leaves its own."""

    def __init__(self, device: str, *, beside: bool = False) -> None:
        """Nothing is asked of torch yet.

        beside   several trials are to take turns: on a GPU, each has a stream of its own
        """
        self._device, self.beside = device, beside
        self._streams: list[torch.cuda.Stream] = []
        """Free ones: with each, libraries keep memory of their own."""
        self._own: Stance | None = None
        """The process's own, where it is in another."""
        self._present: Stance | None = None

    def steps(self, recipe: Recipe, turns: Turns[T]) -> Turns[T]:
        """``turns``, each in a stance that begins as the process stands, with the settings of ``recipe``."""
        self._change(None)
        stance = Stance(self._device)
        stance.settings = Settings.of(recipe, self._device)
        stream = self._stream()
        stance.part(stream)
        try:
            while True:
                self._change(stance)
                try:
                    next(turns)
                except StopIteration as end:
                    found: T = end.value
                    return found
                yield
        finally:
            turns.close()
            self._change(None)
            self._streams += [stream] if stream else []

    def _stream(self) -> torch.cuda.Stream | None:
        """One to queue kernels on beside others; None: the process's."""
        if not self.beside or torch.device(self._device).type != "cuda":
            return None
        return self._streams.pop() if self._streams else torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def _change(self, stance: Stance | None) -> None:
        """Go over to ``stance``; None: the process's own."""
        if stance is self._present:
            return
        if self._present is None:
            self._own = Stance(self._device)
        else:
            self._present.keep()
        follows = stance or self._own
        assert follows is not None
        follows.take()
        self._present = stance
