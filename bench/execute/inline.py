"""Trials one after the other in this process: the simplest executor, and the one to debug with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.execute import Event, Job, Listener, Setting


class Inline:
    """An executor that holds nothing."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order given."""
        from bench.execute.work import work  # imports torch

        for job in jobs:
            yield work(job, self.setting, listen)

    def close(self) -> None:
        """Nothing to give back."""
