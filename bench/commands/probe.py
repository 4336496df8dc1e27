"""``bench plan --probe``: train a few steps of every arm; what will the study take? Imports torch late."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.commands import allocating
from bench.commands.probed import LEGS, STEPS, ArmCost, StageCost, as_data, as_text
from bench.execute import look, slots
from bench.machine import Machine
from bench.plan import Run, Trial
from bench.progress.terminal import Terminal
from bench.recipe import Choice, Recipe, Stage
from bench.run.crew import device_of
from bench.run.planning import Planning, states
from bench.run.preflight import check
from bench.tune import search

if TYPE_CHECKING:
    from bench.data.images import Development
    from bench.models.network import Network
    from bench.train.loop import Fit
    from bench.train.outcome import Placing

VALIDATED = 256
"""Most validation images that the probe looks at."""


def added(
    plan: str, path: Path, machine: Machine, *, smoked: bool, as_json: bool, hours: float | None = None
) -> str:
    """``plan``, as ``bench plan`` prints it, with what a probe of the study adds; ways to spend ``hours``."""
    device = device_of(machine)
    gpus = look.gpus() if device != "cpu" else []  # as they are before the probe opens one itself
    costs = probe(path, machine, smoked, Terminal())
    if not costs and not as_json:
        return f"{plan}\n\nnothing to probe: every arm is trained by a command"
    workers = 1 if machine.executor == "inline" else workers_for(costs, machine, gpus)
    text = f"{plan}\n\n{as_text(costs, device, workers)}"
    if as_json:
        text = json.dumps(json.loads(plan) | {"probe": as_data(costs)}, indent=1, ensure_ascii=False)
    if hours is None:
        return text
    return allocating.added(text, path, machine, hours, allocating.Probed(costs, workers), smoked=smoked)


def workers_for(costs: Sequence[ArmCost], machine: Machine, gpus: Sequence[look.Gpu]) -> int:
    """Worker processes that a run would begin with; what trials in turns gain, only the run finds out.

    gpus   of the machine; none: trials run on the CPU
    """
    if machine.workers:
        return machine.workers
    if not gpus:
        return len(slots.of_cpu(machine, max(cost.cpu_threads for cost in costs)))
    turns = machine.gang != 1 and all(cost.graph for cost in costs)
    return len(slots.share_out(gpus, None if turns else max(cost.reserved_mb for cost in costs)))


def probe(path: Path, machine: Machine, smoked: bool, terminal: Terminal) -> list[ArmCost]:
    """Measure every distinct arm of a study. Records and downloads nothing.

    Raises UserError for what `bench run` would refuse, but for weights that only a hub has.
    """
    planning = Planning(path, machine, smoked=smoked)
    plan = planning.plan()
    standing = states(plan, planning.store)
    tuned = {run.arm for run in plan.runs}
    waiting = [run for run in planning.untuned() if run.arm not in tuned]  # an arm that is tuned first
    missing = {run.trial.id for run, state, _ in standing if state == "missing"}
    missing |= {run.trial.id for run in waiting}
    arms: dict[tuple[str, str], list[Run]] = {}
    for run in (one for one in (*plan.runs, *waiting) if not one.trial.recipe.command):
        arms.setdefault((run.trial.recipe.model_dump_json(), run.trial.data_fingerprint), []).append(run)
    if theirs := [arm.label for arm in planning.study.arms if arm.recipe.command]:
        terminal.note(f"not probed, for a command trains it: {', '.join(theirs)}")
    device = device_of(machine)
    first = [dataclasses.replace(of[0], trial=_without_hub(of[0].trial), sets=()) for of in arms.values()]
    search.check(planning.study)
    check(plan.study, first, machine, terminal)
    costs = []
    with terminal.counting(f"probing on {device}", "arms") as count:
        for done, (run, of) in enumerate(zip(first, arms.values(), strict=True), 1):
            labels = tuple(dict.fromkeys(run.arm for run in of))
            to_run = len({run.trial.id for run in of} & missing)
            costs.append(_probe_arm(run.trial, labels, to_run, machine, device))
            count(done, len(first))
    if device != "cpu":  # from which a run tells how many trials a GPU has room for
        measured = zip(arms.values(), costs, strict=True)
        peaks = {slots.about(of[0].trial): cost.reserved_mb for of, cost in measured}
        slots.remember_peaks(machine.cache, peaks)
    return costs


def _without_hub(trial: Trial) -> Trial:
    """The trial with fresh weights instead of the hub's: as fast, and nothing to download."""
    params = trial.recipe.model.params
    if not params.get("pretrained"):
        return trial
    model = Choice(name=trial.recipe.model.name, params=params | {"pretrained": False})
    return dataclasses.replace(trial, recipe=trial.recipe.model_copy(update={"model": model}))


def _probe_arm(trial: Trial, labels: tuple[str, ...], to_run: int, machine: Machine, device: str) -> ArmCost:
    from bench.data import provide
    from bench.models import cost
    from bench.train.device import computing, memory_mb, reset_peak_memory
    from bench.trial import build_network

    reset_peak_memory(device)
    with computing(trial.recipe, device):
        development = provide.development(trial, machine.cache)
        begun = time.perf_counter()
        network = build_network(trial, development)
        built = time.perf_counter() - begun
        flops, blocks = cost.forward_flops(network, trial.data.size_px), tuple(cost.blocks(network))
        stages, seconds, problem, placing = _try(network, development, trial, device, machine)
        memory = memory_mb(device)
    return ArmCost(
        labels,
        to_run,
        trial.recipe.model.name,
        trial.data.size_px,
        trial.recipe.batch_size,
        flops,
        blocks,
        stages,
        built + seconds,
        memory["peak_mb"],
        problem,
        trial.recipe.cpu_threads,
        memory.get("reserved_mb", 0.0),
        trial.recipe.graph,
        *((placing.train / 1e6, placing.val / 1e6, placing.streamed) if placing else ()),
    )


def _try(
    network: Network, development: Development, trial: Trial, device: str, machine: Machine
) -> tuple[tuple[StageCost, ...], float, str, Placing | None]:
    """Train a few steps: what each stage takes, seconds of all in full, what went wrong, where images are."""
    from bench.data.images import Development
    from bench.train.device import is_out_of_memory
    from bench.train.loop import Diverged, Hooks, fit

    val = development.val
    few = Development(
        development.train, val.take(np.arange(min(VALIDATED, len(val.labels)))), development.classes
    )
    begun = time.perf_counter()
    try:
        hooks = Hooks(resident_bytes=machine.resident_bytes)
        done = fit(network, few, _short(trial.recipe, device), trial.replicate.stream_seed, device, hooks)
    except Diverged as diverged:
        return (), math.nan, diverged.reason, diverged.fit.placing
    except Exception as error:  # the forms of too little memory have no class in common
        if not is_out_of_memory(error):
            raise
        return (), math.nan, f"out of memory with batch_size = {trial.recipe.batch_size}", None
    prepared = time.perf_counter() - begun - done.history[-1]["seconds"]
    evaluation = _evaluation(network, few, trial.recipe, device) * len(val.labels)
    stages = _stages(done, trial, development)
    return (
        stages,
        prepared + sum(_in_full(stage, trial.recipe, len(development.train), evaluation) for stage in stages),
        "",
        done.placing and dataclasses.replace(done.placing, val=val.images.nbytes),
    )


def _in_full(stage: StageCost, recipe: Recipe, images: int, evaluation: float) -> float:
    """Seconds of a stage and its evaluations, but for what a head takes on kept features, which is little.

    images       of the training split
    evaluation   seconds of one
    """
    from bench.train.heads import LOOKS

    steps, evaluations = stage.steps, stage.evaluations
    if stage.kept:
        steps, evaluations = LOOKS * math.ceil(images / recipe.batch_size), 1
    return steps * stage.seconds_per_step + evaluations * evaluation


def _short(recipe: Recipe, device: str) -> Recipe:
    """The recipe with stages of a few steps."""
    each = STEPS[device]
    stages = tuple(
        stage
        if stage.train == "none"
        else stage.model_copy(
            update={"epochs": None, "steps": LEGS * each, "eval_every": each, "patience": None}
        )
        for stage in recipe.stages
    )
    return recipe.model_copy(update={"stages": stages})


def _evaluation(network: Network, few: Development, recipe: Recipe, device: str) -> float:
    """Seconds in which one validation image is evaluated, after a first look that is not timed."""
    from bench.evaluate import predict

    predict(network, few.val, device, precision=recipe.precision)
    begun = time.perf_counter()
    predict(network, few.val, device, precision=recipe.precision)
    return (time.perf_counter() - begun) / len(few.val.labels)


def _stages(done: Fit, trial: Trial, development: Development) -> tuple[StageCost, ...]:
    """What each trained stage would take in full, from what its timed steps took."""
    from bench.data import balance
    from bench.train.heads import PASSES, may_keep

    recipe, train = trial.recipe, development.train
    deck = balance.deal(recipe.balance, train.labels, len(development.classes), trial.replicate.stream_seed)
    per_epoch = math.ceil(len(deck) / recipe.batch_size)
    costs = []
    for trained in done.stages:
        stage = recipe.stages[trained["stage"] - 1]
        legs = [entry for entry in done.history if entry["stage"] == trained["stage"]][1:]
        # the harmonic mean: every stretch has as many images
        images_per_s = len(legs) / sum(1 / leg["images_per_s"] for leg in legs)
        steps, evaluations = _length(stage, per_epoch)
        # not where the steps that were timed were on kept features already
        often = steps * recipe.batch_size >= PASSES * len(train) and not done.features_bytes
        costs.append(
            StageCost(
                stage.train,
                trained["trainable_parameters"],
                steps,
                evaluations,
                recipe.batch_size / images_per_s,
                images_per_s,
                stage.train == "head" and often and may_keep(recipe),
            )
        )
    return tuple(costs)


def _length(stage: Stage, per_epoch: int) -> tuple[int, int]:
    """Steps and evaluations of a stage that does not stop early."""
    if stage.epochs is not None:
        return stage.epochs * per_epoch, stage.epochs
    steps = stage.steps or 0
    return steps, math.ceil(steps / (stage.eval_every or max(1, steps // 10)))
