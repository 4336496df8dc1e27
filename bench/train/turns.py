"""Work that others may take turns with: a generator that yields whenever it can wait, and a clock for it."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TypeVar

T = TypeVar("T")
Turns = Generator[None, None, T]
"""Yields nothing, now and then; returns what came of it."""


def finish(turns: Turns[T]) -> T:
    """Take all turns, one after the other; what came of them."""
    return together([turns])[0]


def together(members: Sequence[Turns[T]]) -> list[T]:
    """Take a turn of each, round and round; what came of each."""
    found: dict[int, T] = {}
    while len(found) < len(members):
        for number, turns in enumerate(members):
            try:
                if number not in found:
                    next(turns)
            except StopIteration as end:
                found[number] = end.value
    return [found[number] for number in range(len(members))]


class Clock:
    """Seconds of one's own turns: those of trials that take turns add up to what passed for all of them."""

    def __init__(self) -> None:
        self._away = 0.0

    def now(self) -> float:
        """Seconds since some moment, without those of others."""
        return time.perf_counter() - self._away

    def pause(self) -> Turns[None]:
        """Let the others have theirs."""
        left = time.perf_counter()
        yield
        self._away += time.perf_counter() - left
