"""An executor for tests of who runs what, and how its batches are spelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bench.execute import Event, Job, Listener
from bench.execute.records import ended

Script = Callable[[Job], str]
"""How a job ends: ``done``, or the cause of its failure."""


class Scripted:
    """An executor that trains nothing: jobs end as a script says, in the order given."""

    def __init__(self, script: Script) -> None:
        self.script, self.stopping, self.workers = script, False, 2
        self.batches: list[list[Job]] = []

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        self.batches.append(list(jobs))
        for job in jobs:
            if self.stopping:
                return
            listen(replace(ended(job, "done", ""), kind="started"))
            how = self.script(job)
            failed = replace(ended(job, "failed", f"{how}: so it goes"), cause=how.removeprefix("apart "))
            failed = replace(failed, apart=how.startswith("apart "))
            yield ended(job, "done", "") if how == "done" else failed

    def stop(self) -> None:
        self.stopping = True

    def close(self) -> None:
        pass


def labels(jobs: Sequence[Job]) -> list[str]:
    return [f"{job.run.arm} {job.run.trial.replicate.seed} #{job.attempt}" for job in jobs]
