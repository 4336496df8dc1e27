"""Which waiting job a worker takes: the next one, or of equals one whose model it has at hand; and who may
take turns with whom in it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.execute.jobs import Job


def may_join(job: Job, others: Sequence[Job], most: int, device: str) -> bool:
    """Whether ``job`` may begin in a process in which ``others`` are at work.

    most   that may take turns there
    """
    if not others:
        return True
    same_code = all(other.run.trial.code == job.run.trial.code for other in others)
    return len(others) < most and same_code and not any(lonely(each, device) for each in (job, *others))


def lonely(job: Job, device: str) -> str:
    """Why ``job`` takes turns with no other on ``device``; empty where it may.

    On a GPU steps that are not recorded wait for their host to launch them, which one process does for all.
    """
    if device != "cpu" and not job.run.trial.recipe.graph:
        return "without graph = true trials of one process wait for each other's launches"
    if job.missing:
        return "sets are scored one after the other"
    return "one that broke, or took turns with one that did, runs by itself" if job.apart or job.alone else ""


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
