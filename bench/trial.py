"""One trial: a pure function of its recipe, data and seed. Read it from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench import metrics, models, provenance
from bench.data import provide
from bench.data.content import is_same
from bench.data.images import COPIED_BYTES, Development, Samples
from bench.data.resident import statistics
from bench.data.streamed import placed
from bench.evaluate import PORTION, predict
from bench.models.cost import flops_of
from bench.models.frozen import Evaluated, frozen
from bench.models.network import Network
from bench.models.stored import stored_network
from bench.plan import VAL_SHIFT, ScoredSet, Trial
from bench.recipe import Corrupted
from bench.store import VALIDATION, Predictions
from bench.streams import derive
from bench.train import command
from bench.train.checkpoint import Checkpoint
from bench.train.device import computing, memory_mb, reset_peak_memory, room_for_features
from bench.train.learned import little_learned
from bench.train.loop import Diverged, Fit, Hooks, Progress, training
from bench.train.stances import Stances
from bench.train.turns import Clock, Turns, finish

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scores = dict[str, dict[str, float]]
"""Key of a scored set → name → value."""


class FileChangedError(Exception):
    """A file that a trial is made of is another by now: what it would tell is not of that trial."""


@dataclass(frozen=True)
class Surroundings:
    """Where a trial runs. Nothing in it changes a score on one machine."""

    device: str
    """``cpu`` or a CUDA device, never ``auto``."""
    cache: Path
    on_progress: Callable[[Progress], None] | None = None
    on_note: Callable[[str], None] | None = None
    checkpoint: Path | None = None
    """Where an interrupted run left off and this one leaves what a later one needs; None: nowhere."""
    stop: Callable[[], bool] | None = None
    """Asked after each evaluation whether to write the checkpoint and raise Interrupted."""
    floors: tuple[float, ...] = ()
    """Validation accuracy that a candidate must have reached by each evaluation, or it is cut short."""
    resident_bytes: int = 0
    """Images that the device may keep, a split beyond that is streamed; 0: as much as suits it."""
    stances: Stances | None = None
    """Those of the trials that take turns in this process; None: this trial has it for itself."""


@dataclass(frozen=True)
class Scored:
    """What a network says about the held-out sets, by the set's key."""

    scores: Scores = field(default_factory=dict)
    """Metric → value; undefined ones are left out."""
    recalls: Scores = field(default_factory=dict)
    """Class → share of its images recognised; classes without images are left out."""
    predictions: dict[str, Predictions] = field(default_factory=dict)
    conditions: dict[str, Scores] = field(default_factory=dict)
    """Condition of a corrupted set → metric → value."""


@dataclass(frozen=True)
class Result:
    """What became of a trial that ran to its end."""

    status: Literal["done", "diverged", "pruned"]
    classes: tuple[str, ...]
    cause: str = ""
    """Diverged: ``not finite``; pruned: ``behind``."""
    message: str = ""
    little_learned: str = ""
    """Done, but little was learned: how little, and what may help."""
    scores: Scores = field(default_factory=dict)
    recalls: Scores = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    conditions: dict[str, Scores] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    """Metric → value on the validation images, of the weights that were kept."""
    history: tuple[dict[str, Any], ...] = ()
    training: tuple[dict[str, Any], ...] = ()
    """One table per stage that trained."""
    parameters: int | None = 0
    trainable_parameters: int | None = 0
    """Most that any stage trained."""
    flops: int | None = 0
    """Floating-point operations of one image's way through the network."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds of data, build, train and evaluate; ``images_per_s`` in training."""
    memory: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None
    """The network's state, normalisation included, on the CPU; None when diverged."""


def run_trial(trial: Trial, scored: Sequence[ScoredSet], where: Surroundings) -> Result:
    """One trial from start to end, with the process for itself: see ``trial_turns``."""
    return finish(trial_turns(trial, scored, where))


def trial_turns(trial: Trial, scored: Sequence[ScoredSet], where: Surroundings) -> Turns[Result]:
    """Train one trial and score it: on validation, then once on each of ``scored``.

    A candidate of a search reaches no held-out image: ``scored`` may only shift its validation images.
    While it trains, others get their turn after each block of steps.

    Divergence is a result; anything else that goes wrong is raised, FileChangedError among it.
    """
    stances = where.stances or Stances(where.device)
    return (yield from stances.steps(trial.recipe, _turns(trial, scored, where)))


def _turns(trial: Trial, scored: Sequence[ScoredSet], where: Surroundings) -> Turns[Result]:
    clock = _Phases()
    reset_peak_memory(where.device)
    with clock("data"):
        most = min(COPIED_BYTES, where.resident_bytes or COPIED_BYTES)
        development = provide.development(trial, where.cache, most=most)
    _refuse_changed(trial, where)
    if trial.recipe.command:
        return (yield from _commanded(trial, development, scored, where, clock))
    with clock("build"):
        network = build_network(trial, development)
        _refuse_changed(trial, where)
        parameters = sum(p.numel() for p in network.parameters())
        classes = len(development.classes)
        flops = flops_of(network, trial.recipe.model, classes, trial.data.size_px)
    result = Result("done", development.classes, parameters=parameters, flops=flops)
    try:
        with clock("train"):
            seed = trial.replicate.stream_seed
            checkpoint = _checkpoint(trial, where, clock.clock)
            room = where.resident_bytes
            hooks = Hooks(where.on_progress, checkpoint, where.floors, where.on_note, room, clock.clock)
            done = yield from training(network, development, trial.recipe, seed, where.device, hooks)
    except Diverged as diverged:
        result = replace(result, status=diverged.status, cause=diverged.cause, message=str(diverged))
        return _with_course(result, diverged.fit, clock, where)
    with clock("evaluate"):
        validation = _probabilities(network, development.val, trial, where)
        scores = metrics.score_all(validation, development.val.labels)
        little = little_learned(validation, development.val.labels, done.history)
        if trial.role == "tune":
            seen = _score_shifted(network, development, trial, scored, where)
        else:
            # Held-out images are opened here for the first time, when nothing is left to choose.
            seen = _score(network, development.classes, trial, scored, where)
        predictions = {VALIDATION: _said(development.val, validation)} | seen.predictions
    found = vars(seen) | {"predictions": predictions, "little_learned": little}
    result = replace(result, validation=scores, **found, weights=_on_host(network))
    return _with_course(result, done, clock, where)


def _commanded(
    trial: Trial, development: Development, scored: Sequence[ScoredSet], where: Surroundings, clock: _Phases
) -> Turns[Result]:
    """The same by a program of the study's own. It is handed held-out images without their classes."""
    with clock("data"):
        if trial.role == "tune":
            shift = (one for one in scored if isinstance(one.hidden, Corrupted))
            sets = {one.name: provide.val_shift(one.hidden, development, where.cache) for one in shift}  # type: ignore[arg-type]
        else:
            sets = {_called(one): provide.held_out(trial, one, where.cache) for one in scored}
    folder = (where.checkpoint.parent if where.checkpoint else where.cache / trial.id) / "command"
    with clock("train"):
        handed = command.Handed(trial, development, sets, folder, where.device)
        said = yield from handed.train(where.stop or (lambda: False))
        _refuse_changed(trial, where)
    result = Result("done", development.classes, parameters=None, trainable_parameters=None, flops=None)
    timings = dict(clock.seconds)
    if any(np.isnan(one).any() for one in said.values()):
        text = "some of its predictions are no numbers"
        return replace(result, status="diverged", cause="not finite", message=text, timings=timings)
    stored = {name: np.clip(one, 0, 1).astype(np.float16) for name, one in said.items()}
    predictions = {VALIDATION: _said(development.val, stored[command.VAL])}
    scores: Scores = {}
    recalls: Scores = {}
    conditions: dict[str, Scores] = {}
    for one in (one for one in scored if _called(one) in sets):
        answers = _said(sets[_called(one)], stored[_called(one)])
        predictions[one.key] = replace(answers, per_item=metrics.kept_per_item(answers))
        scores[one.key], recalls[one.key], known = metrics.told(answers, development.classes)
        if answers.conditions is not None:
            conditions[one.key] = known
    return replace(
        result,
        scores=scores,
        recalls=recalls,
        conditions=conditions,
        predictions=predictions,
        validation=metrics.score_all(stored[command.VAL], development.val.labels),
        timings=timings,
    )


def _refuse_changed(trial: Trial, where: Surroundings) -> None:
    """Raise FileChangedError where a file that the trial's id speaks of is another by now."""
    for file, content in trial.files.items():
        if not is_same(file, content, where.cache):
            raise FileChangedError(f"{file} changed since this run began")


def _called(one: ScoredSet) -> str:
    """What a set is called outside of plans."""
    return "local" if one.hidden is None else one.name


def score_from_weights(
    trial: Trial, scored: Sequence[ScoredSet], weights: Path, where: Surroundings
) -> Scored:
    """Score sets that were added after the trial was trained.

    weights   the trial's own ``weights.safetensors``, normalisation included
    """
    classes = provide.development(trial, where.cache).classes
    with computing(trial.recipe, where.device):
        return _score(_stored(trial, weights, where), classes, trial, scored, where)


def said_from_weights(
    trial: Trial, scored: Sequence[ScoredSet], weights: Path, where: Surroundings
) -> dict[str, Predictions]:
    """What a trial said of validation, then of these sets, by key: as it was stored when it ended.

    weights   as in ``score_from_weights``
    """
    most = min(COPIED_BYTES, where.resident_bytes or COPIED_BYTES)
    development = provide.development(trial, where.cache, most=most)
    with computing(trial.recipe, where.device):
        network = _stored(trial, weights, where)
        validation = _said(development.val, _probabilities(network, development.val, trial, where))
        seen = _score(network, development.classes, trial, scored, where)
    return {VALIDATION: validation} | seen.predictions


def _stored(trial: Trial, weights: Path, where: Surroundings) -> Network:
    network = stored_network(trial.recipe.model, trial.data.size_px, weights, trial.id)
    network.to(device=where.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.requires_grad_(False)
    return network


def build_network(trial: Trial, development: Development) -> Network:
    """The network before its first step, on the CPU: the same on every device.

    random   initial weights from stream (init); torch's own generator is put back afterwards
    """
    mean, std = (tuple(values.tolist()) for values in statistics(development.train.images))
    _, size_px, _, channels = development.train.images.shape
    task = models.Task(len(development.classes), channels, size_px, mean, std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(trial.replicate.stream_seed, "init"))
        return models.build(trial.recipe.model, task, trial.weights)


def _checkpoint(trial: Trial, where: Surroundings, clock: Clock) -> Checkpoint | None:
    """The trial's checkpoint, which continues only what would end bit for bit the same on a CPU."""
    if where.checkpoint is None:
        return None
    identity = {
        "trial": trial.id,
        "versions": dict(trial.versions),
        "libraries": provenance.libraries(),
        "device": torch.device(where.device).type,
    }
    note, stop = where.on_note or (lambda text: None), where.stop or (lambda: False)
    return Checkpoint(where.checkpoint, identity, note, stop, clock.now)


class _Phases:
    """Seconds per phase, without those of others that took their turn meanwhile."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        begun = self.clock.now()
        try:
            yield
        finally:
            self.seconds[phase] = self.clock.now() - begun


def _with_course(result: Result, done: Fit, clock: _Phases, where: Surroundings) -> Result:
    """``result`` with the course of training and what it cost."""
    speeds = [entry["images_per_s"] for entry in done.history]
    # the median: the first evaluations hold the warm-up
    timings = clock.seconds | ({"images_per_s": float(np.median(speeds))} if speeds else {})
    timings["train"] += done.earlier_s + done.owed_s
    return replace(
        result,
        history=tuple(done.history),
        training=tuple(done.stages),
        trainable_parameters=max((stage["trainable_parameters"] for stage in done.stages), default=0),
        timings=timings,
        memory=memory_mb(where.device) | _away_and_kept(done),
    )


def _away_and_kept(done: Fit) -> dict[str, float]:
    """``streamed_mb``, of training or validation images that were not kept on the device; ``features_mb``, of
    what a frozen trunk said of training images, where heads were trained on that."""
    away = done.placing.streamed_bytes if done.placing else 0
    found = {"streamed_mb": away / 1e6, "features_mb": done.features_bytes / 1e6}
    return {name: size for name, size in found.items() if size}


def _score(
    network: Network,
    classes: tuple[str, ...],
    trial: Trial,
    scored: Sequence[ScoredSet],
    where: Surroundings,
) -> Scored:
    """Scores come from the stored probabilities, so that a report that reads those finds the same numbers."""
    seen = Scored()
    for one in scored:
        samples = provide.held_out(trial, one, where.cache)
        probabilities = _probabilities(network, samples, trial, where)
        said = _said(samples, probabilities)
        seen.predictions[one.key] = replace(said, per_item=metrics.kept_per_item(said))
        seen.scores[one.key], seen.recalls[one.key], conditions = metrics.told(said, classes)
        if samples.conditions is not None:
            seen.conditions[one.key] = conditions
    return seen


def _score_shifted(
    network: Network,
    development: Development,
    trial: Trial,
    scored: Sequence[ScoredSet],
    where: Surroundings,
) -> Scored:
    """What tuning by ``val_shift`` may see: the validation images, corrupted."""
    seen = Scored()
    for one in scored:
        if one.name != VAL_SHIFT or not isinstance(one.hidden, Corrupted):
            raise ValueError(f"a candidate is never scored on {one.name}")
        samples = provide.val_shift(one.hidden, development, where.cache)
        probabilities = _probabilities(network, samples, trial, where)
        seen.predictions[one.key] = _said(samples, probabilities)
        seen.scores[one.key] = metrics.score_all(probabilities, samples.labels)
    return seen


def _said(samples: Samples, probabilities: NDArray[np.float16]) -> Predictions:
    """Probabilities (N, K) of ``samples``, as they are kept."""
    return Predictions(
        probabilities,
        samples.labels,
        samples.ids,
        samples.conditions,
        samples.condition_names,
        groups=samples.groups,
    )


def _probabilities(
    network: Network, samples: Samples, trial: Trial, where: Surroundings
) -> NDArray[np.float16]:
    """Class probabilities (N, K), as they are stored."""
    recipe, device, given = trial.recipe, where.device, where.resident_bytes
    split = placed(samples, device, min(PORTION, given or PORTION))
    trunk = None
    if {stage.train for stage in recipe.stages} <= {"none", "head"} and recipe.tta == "none":
        # other trials have the same trunk, and look at the same images
        trunk = frozen(network, recipe.model, recipe.precision, room_for_features(device, given))
    forward, seen = (network.head, Evaluated(trunk, split)) if trunk else (network, split)
    return predict(forward, seen, device, tta=recipe.tta, precision=recipe.precision).astype(np.float16)


def _on_host(network: Network) -> dict[str, Tensor]:
    """A copy of the network's state on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
