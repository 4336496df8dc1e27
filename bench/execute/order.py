"""Which waiting job an idle worker takes: the next one, or of equals one whose model it has at hand."""

from __future__ import annotations

from bench.execute.jobs import Job


def next_for(last: Job | None, waiting: list[Job]) -> Job:
    """Take a job out of ``waiting``, which is in the order of the study and not empty.

    Only within the replicate at its front, so that an early stop leaves pairs.

    last   what the worker did before
    """
    best = 0
    if last is not None:
        front = waiting[0].run.trial.replicate
        group = [i for i, job in enumerate(waiting) if job.run.trial.replicate == front]
        best = max(group, key=lambda i: (_shared(last, waiting[i]), -i))
    return waiting.pop(best)


def _shared(one: Job, other: Job) -> int:
    """How much of what a worker keeps serves both: images count most, they take longest to read."""
    a, b = one.run.trial, other.run.trial
    return 2 * (a.data_fingerprint == b.data_fingerprint) + (a.recipe.model == b.recipe.model)
