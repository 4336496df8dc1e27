"""What a worker does with one job: run it, record it, whatever happens. Imports torch."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from bench import metrics
from bench.errors import UserError
from bench.execute.jobs import Event, Job, Listener, Place
from bench.execute.records import cause_of, ended, write_failure, write_result
from bench.registry import use
from bench.store import Store
from bench.study.code import components
from bench.train.checkpoint import Interrupted
from bench.train.device import peak_memory_mb, prepare_cublas
from bench.train.graph import CANNOT_RECORD
from bench.train.loop import Progress
from bench.trial import Surroundings, run_trial, score_from_weights

Stop = Callable[[], bool]
NOWHERE: Mapping[str, float] = {}


def work(job: Job, place: Place, listen: Listener, stop: Stop = lambda: False) -> Event:
    """Run ``job`` to a record and return its last event. Only KeyboardInterrupt comes out of it.

    stop   asked after each evaluation whether to write a checkpoint and end there, as ``interrupted``
    """
    trial, replicate = job.run.trial, job.run.trial.replicate
    listen(
        Event(
            "started", trial.id, job.run.arm, replicate.seed, fold=replicate.fold, candidate=job.run.candidate
        )
    )
    started = time.perf_counter()
    try:
        if place.device != "cpu":
            prepare_cublas()
        use(components(trial.code))
        event = _score(job, place) if job.missing else _train(job, place, listen, stop)
    except Exception as error:
        event = _failed(job, place, error)
    return Event(**(vars(event) | {"seconds": time.perf_counter() - started}))


def _train(job: Job, place: Place, listen: Listener, stop: Stop) -> Event:
    trial, replicate = job.run.trial, job.run.trial.replicate

    def on_progress(news: Progress) -> None:
        text = f"stage {news.stage}/{news.stages}  epoch {news.epoch}/{news.epochs}  loss {news.loss:.3f}  "
        text += f"val {100 * news.val_accuracy:.1f}  {news.images_per_s:.0f} img/s"
        at = vars(news) | ({} if place.device == "cpu" else {"memory_mb": peak_memory_mb(place.device)})
        tell("epoch", text, at)

    def tell(kind: Literal["epoch", "note"], text: str, at: Mapping[str, float] = NOWHERE) -> None:
        number, fold = job.run.candidate, replicate.fold
        listen(Event(kind, trial.id, job.run.arm, replicate.seed, text, fold=fold, at=at, candidate=number))

    checkpoint = Store(place.results).trial_dir(trial.id) / "checkpoint.pt"
    broken: list[str] = []

    def note(text: str) -> None:
        if text.startswith(CANNOT_RECORD):
            broken.append(text)
        tell("note", text)

    where = Surroundings(
        place.device, place.cache, on_progress, note, checkpoint, stop, job.run.floors, place.resident_bytes
    )
    result = run_trial(trial, job.run.sets, where)
    record = write_result(job, place, result)
    if record.status == "diverged":
        return replace(ended(job, "diverged", record.message), spent=bool(broken))
    if record.status == "pruned":
        return replace(ended(job, "done", f"cut short: {record.message}"), spent=bool(broken))
    # a candidate sees no held-out set
    validation = f"val {100 * record.validation['accuracy']:.1f}"
    text = validation if trial.role == "tune" else _scores(job, record.scores)
    return replace(ended(job, "done", text, little=bool(record.little_learned)), spent=bool(broken))


def _score(job: Job, place: Place) -> Event:
    """Score sets added to the study after this trial was trained, from its kept weights."""
    store, trial = Store(place.results), job.run.trial
    where = Surroundings(place.device, place.cache, resident_bytes=place.resident_bytes)
    scored = score_from_weights(trial, job.missing, store.weights_path(trial.id), where)
    sizes = {key: len(prediction.labels) for key, prediction in scored.predictions.items()}
    store.add_scores(
        trial.id,
        scored.predictions,
        metrics.versions(),
        scores=scored.scores,
        recalls=scored.recalls,
        sizes=sizes,
        conditions=scored.conditions,
    )
    return ended(job, "done", _scores(job, scored.scores))


def _scores(job: Job, scores: dict[str, dict[str, float]]) -> str:
    names = {scored.key: scored.name for scored in job.run.sets}
    shown = [(names[key], value["accuracy"]) for key, value in scores.items() if key in names]
    return "  ".join(f"{'local' if name == 'test' else name} {100 * value:.1f}" for name, value in shown)


def _failed(job: Job, place: Place, error: Exception) -> Event:
    message = str(error) or type(error).__name__
    if isinstance(error, Interrupted):
        # Stopping a study often must not use up the attempts that a trial has.
        uncounted = replace(job, attempt=max(1, job.attempt - 1))
        return write_failure(uncounted, place, "interrupted", message)
    if not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    if job.missing:  # the trial itself is done and stays so
        return ended(job, "failed", f"not scored: {message}".partition("\n")[0])
    return write_failure(job, place, cause_of(error), message, traceback.format_exc())
