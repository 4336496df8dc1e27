"""A trial's outcome → its record. Torch-free, so that the conductor can bury a dead worker's trial."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from bench import metrics, provenance
from bench.claims import ClaimLostError, Claims
from bench.errors import MOST_LINE, told_by, words_of
from bench.execute.jobs import Event, Job, Place
from bench.folders import shuts_out
from bench.plan import Trial
from bench.record import GANG
from bench.registry import foreign
from bench.store import CONTINUED, MOST_ATTEMPTS, UNREADABLE, Brief, Predictions, Record, Store

if TYPE_CHECKING:
    from bench.trial import Result, Scores

MACHINE_CAUSES = ("killed", "timeout", "interrupted")
"""Failures that say nothing about the arm: run again by the next run."""
SHUT = "shut"
"""Cause of an event without a record: its trial's folder takes none."""
MOST_MESSAGE, MOST_TRACEBACK = 4000, 40_000
"""Characters of an error that are kept: someone's code may raise any text."""
Cause = Literal["oom", "killed", "timeout", "error", "interrupted"]


def claim(job: Job, place: Place) -> Job | None:
    """A job, now that its trial is its conductor's; None where another run has it, or was faster.

    Raises OSError where the disk takes no claim.
    """
    if not place.owner:
        return job
    claims, store, id = Claims(place.results, place.owner), Store(place.results), job.run.trial.id
    if not claims.take(id):
        return None
    brief = store.brief(id)  # it may have ended since it was planned
    if superseded(job, brief):
        drop_checkpoint(id, store)
        claims.release(id)
        return None
    left = tuple(scored for scored in job.missing if brief is None or scored.key not in brief.scores)
    return replace(job, missing=left)


def superseded(job: Job, brief: Brief | None) -> bool:
    """Whether a record tells of what a job was to do, or of more."""
    if brief is None:
        return False
    if job.missing:
        return all(scored.key in brief.scores for scored in job.missing)
    return brief.attempts >= job.attempt


def by_machine(record: Brief) -> bool:
    """Whether a failure says nothing about the arm, and is tried again."""
    tries = record.cause == "interrupted" or record.attempts < MOST_ATTEMPTS  # a person may stop it often
    return record.cause in MACHINE_CAUSES and tries


def holds(job: Job, place: Place) -> bool:
    """Whether its trial is still its conductor's, as far as is known here."""
    return not place.owner or Claims(place.results, place.owner).holds(job.run.trial.id)


def seal(job: Job, place: Place) -> None:
    """Be the one who writes of a trial. Raises ClaimLostError where that is another run by now."""
    if place.owner and not Claims(place.results, place.owner).seal(job.run.trial.id):
        raise ClaimLostError(f"trial {job.run.trial.id} was taken over by another run")


def lost(job: Job, place: Place) -> Event:
    """The last event of a job whose claim was lost, and with it the say over its record and checkpoint."""
    drop_checkpoint(job.run.trial.id, Store(place.results))  # it may have come after the record
    return elsewhere(job)


def drop_checkpoint(id: str, store: Store) -> None:
    """Remove the checkpoint beside a record that needs none: its writer may have died before that."""
    brief = store.brief(id)
    if brief is not None and brief.cause not in CONTINUED:
        with contextlib.suppress(OSError):
            (store.trial_dir(id) / "checkpoint.pt").unlink()


def base(job: Job, place: Place) -> dict[str, Any]:
    """What every record of this job holds, however it ends."""
    trial = job.run.trial
    return {
        "id": trial.id,
        "key": trial.key,
        "role": trial.role,
        "recipe": trial.recipe.model_dump(mode="json"),
        "data": trial.data.model_dump(mode="json"),
        "data_fingerprint": trial.data_fingerprint,
        "source": trial.data.source,
        "seed": trial.replicate.seed,
        "fold": trial.replicate.fold,
        "versions": dict(trial.versions),
        "origins": dict(trial.origins),
        "machine": provenance.machine(place.device),
        "libraries": provenance.libraries() | provenance.packages(trial.origins.values()),
        "commit": provenance.commit(),
        "attempts": job.attempt,
    }


def write_result(job: Job, place: Place, result: Result, *, beside: int = 1) -> Record:
    """Record of a trial that ran to its end, done or diverged; weights are kept when the study keeps them.

    beside   trials that took turns in its process, itself included: its seconds are a share of theirs

    Raises ClaimLostError where another run has taken the trial over: nothing is written.
    """
    seal(job, place)
    trial = job.run.trial
    store, fields = Store(place.results), base(job, place)
    if beside > 1:
        fields["machine"] |= {GANG: beside}
    scores, predictions, versions = _with_earlier(trial, result, store)
    record = Record(
        **fields,
        status=result.status,
        cause=result.cause,
        message=result.message,
        little_learned=result.little_learned,
        classes=list(result.classes),
        scores=scores,
        recalls=result.recalls,
        sizes={key: len(prediction.labels) for key, prediction in result.predictions.items()},
        conditions=result.conditions,
        validation=result.validation,
        metrics=versions,
        training=list(result.training),
        parameters=result.parameters,
        trainable_parameters=result.trainable_parameters,
        flops=result.flops,
        timings=result.timings,
        memory=result.memory,
    )
    weights = None
    keep = place.keep_weights and trial.role == "final" and result.status == "done"
    if keep and result.weights is not None:
        from bench.models.weights import save

        weights = store.trial_dir(trial.id) / "weights.partial"
        weights.parent.mkdir(parents=True, exist_ok=True)
        save(result.weights, weights)
    store.write(record, history=list(result.history), predictions=predictions, weights_file=weights)
    return record


def _with_earlier(
    trial: Trial, result: Result, store: Store
) -> tuple[Scores, dict[str, Predictions], dict[str, int | str]]:
    """Scores, predictions and metrics; a candidate keeps what it said of another study's ``val_shift``."""
    now = metrics.versions()
    before = store.read(trial.id) if trial.role == "tune" else None
    if before is None or before.status != "done" or before.scores.keys() <= result.scores.keys():
        return result.scores, result.predictions, now
    try:
        kept = store.predictions(trial.id)
    except UNREADABLE:
        kept = {}
    earlier = {key: kept[key] for key in before.scores if key in kept}
    return before.scores | result.scores, earlier | result.predictions, before.common_metrics(now)


def cause_of(error: BaseException) -> Cause:
    """``oom``, ``interrupted`` where the system fails, else ``error``: a bug or a bad setting.

    Whatever the system says of a file, it is the machine's fault, but where a component's own code asked it.
    """
    from bench.train.device import is_out_of_memory

    if is_out_of_memory(error):
        return "oom"
    wrapped = "No space left on device" in words_of(error)  # of a library that wraps the system's error
    return "interrupted" if (wrapped or isinstance(error, OSError)) and not _outside(error) else "error"


def _outside(error: BaseException) -> bool:
    """Whether code of a component from outside was at work when it was raised."""
    theirs = {one.factory.__module__.partition(".")[0] for one in foreign()}
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in theirs for frame in frames)


def write_failure(job: Job, place: Place, cause: Cause, message: str, traceback: str = "") -> Event:
    """Record of a trial that broke; none where another run has taken it over, or its folder takes none."""
    try:
        seal(job, place)
    except ClaimLostError:
        return lost(job, place)
    store = Store(place.results)
    message, traceback = told_by(message, MOST_MESSAGE), told_by(traceback, MOST_TRACEBACK)
    before = store.read(job.run.trial.id)
    # A finished trial stays finished: what broke was scoring an added set, or training it once more.
    if before is None or before.status in ("failed", "pruned"):
        fields = base(job, place)
        record = Record(**fields, status="failed", cause=cause, message=message, traceback=traceback)
        try:
            store.write(record, history=[], predictions={})
        except OSError as error:
            if not shuts_out(store.trial_dir(job.run.trial.id), error):
                raise
            text = f"{error.filename} cannot be written: {error.strerror}; the trial is left as it is"
            return replace(ended(job, "failed", text), cause=SHUT)
    return replace(ended(job, "failed", f"{cause}: {message}"), cause=cause)


def write_killed(job: Job, place: Place, message: str) -> Event:
    """Record of a trial whose worker died under it."""
    return write_failure(job, place, "killed", message)


def elsewhere(job: Job) -> Event:
    """The last event of a job that is another run's."""
    return replace(ended(job, "done", "claimed by another run"), kind="elsewhere")


def told_by_others(job: Job, brief: Brief) -> Event:
    """The last event of a job, from the record that another run left of it."""
    kinds: dict[str, Literal["diverged", "failed"]] = {"diverged": "diverged", "failed": "failed"}
    why = f"{brief.cause}: {brief.message}, " if brief.status in kinds else ""
    event = ended(
        job, kinds.get(brief.status, "done"), f"{why}by another run", little=bool(brief.little_learned)
    )
    return replace(event, cause=brief.cause, seconds=sum(brief.seconds.values()))


def ended(job: Job, kind: Literal["done", "diverged", "failed"], text: str, *, little: bool = False) -> Event:
    """The last event of a job.

    text     of which the first line is told, for it may be an error's of somebody else's code
    little   done, but little was learned
    """
    text = told_by(text.partition("\n")[0], MOST_LINE).replace("\n", " ")
    trial, replicate = job.run.trial, job.run.trial.replicate
    return Event(
        kind,
        trial.id,
        job.run.arm,
        replicate.seed,
        text,
        fold=replicate.fold,
        candidate=job.run.candidate,
        little_learned=little,
    )
