"""What only images and built models can tell, told before the first trial: all problems together."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import metrics
from bench.errors import UserError, is_stop, line_of
from bench.machine import Machine
from bench.plan import VAL_SHIFT, Run, ScoredSet, Trial
from bench.progress.terminal import Terminal
from bench.recipe import Corrupted
from bench.run import foresight
from bench.study.command import HOLE, words
from bench.study.read import Study

if TYPE_CHECKING:
    from bench.data.images import Labels


@dataclass(frozen=True)
class _Training:
    """What a trial has to train on."""

    classes: int
    """K."""
    channels: int
    labels: Labels
    """(N,) int64, of the training split."""


class _Networks:
    """What was said of each network, built once: most arms of a study train the same one."""

    def __init__(self) -> None:
        self._said: dict[tuple[object, ...], list[str]] = {}

    def said(
        self, trial: Trial, training: _Training, *more: object, build: Callable[[], list[str]]
    ) -> list[str]:
        """The problems that ``build`` finds: looked for once for a model, its stages, its task, ``more``."""
        recipe = trial.recipe
        of = recipe.model.model_dump_json(), tuple(stage.train for stage in recipe.stages), trial.weights
        key = (*of, training.classes, training.channels, trial.data.size_px, *more)
        if key not in self._said:
            self._said[key] = build()
        return self._said[key]


def check(study: Study, runs: Sequence[Run], machine: Machine, terminal: Terminal) -> None:
    """Open the images of a study's ``runs`` and build every arm's model without memory.

    Raises one UserError that lists every problem.
    """
    problems: dict[str, None] = {}
    seen: dict[tuple[str, str, int | None], _Training | None] = {}
    checked: set[tuple[str, str, str]] = set()
    networks = _Networks()
    for run in runs:
        trial = run.trial
        data = trial.data_fingerprint
        # Folds differ in who is left to train, candidates in what they are scored on; seeds draw alike.
        split = data, trial.role, trial.replicate.fold
        if split not in seen:
            sets = () if any(split[:2] == known[:2] for known in seen) else run.sets
            try:
                seen[split] = _check_images(trial, sets, machine, terminal)
                problems |= dict.fromkeys(_undefined(study, trial, sets, machine))
            except UserError as error:
                problems[str(error)] = None
                seen[split] = None
        training = seen[split]
        built = trial.recipe.model_dump_json(exclude={"optimizer", "schedule", "loss"})
        if training is not None and (run.arm, data, built) not in checked:
            checked.add((run.arm, data, built))
            problems |= dict.fromkeys(metrics.problems(training.classes))
            found = _check_arm(trial, training, networks)
            problems |= {f"arm {run.arm}: {problem}": None for problem in found}
    foresight.refuse(study.name, problems)


def _check_arm(trial: Trial, training: _Training, networks: _Networks) -> list[str]:
    """What is wrong with what an arm is built of; what code from outside raises is that too."""
    if trial.recipe.command:
        return list(_check_program(trial))
    try:
        found = _check_model(trial, training, networks)
        found += foresight.batch_problems(trial, training.labels, training.classes)
        return found or _check_training(trial, training, networks)
    except UserError:
        raise
    except BaseException as error:
        if is_stop(error) or not trial.code:
            raise
        return [line_of(error)]


def _check_program(trial: Trial) -> Iterator[str]:
    """That there is the program that a command names."""
    program = words(trial.recipe.command)[0]
    assert trial.folder is not None, "a command has one"
    if (
        not HOLE.search(program)
        and not shutil.which(program, path=None)
        and not (trial.folder / program).is_file()
    ):
        yield f'command = "{program} …": there is no such program, neither installed nor in {trial.folder}'


def _check_images(trial: Trial, sets: Sequence[ScoredSet], machine: Machine, terminal: Terminal) -> _Training:
    """Read, decode and split the images of one arm, and open the sets it will be scored on."""
    from bench.data import provide

    data = trial.data
    with terminal.counting(f"reading {data.source} at {data.size_px} px", "images") as count:
        development = provide.development(trial, machine.cache, count)
    for scored in sets:
        with terminal.counting(f"opening {scored.name} at {data.size_px} px", "images") as count:
            if isinstance(scored.hidden, Corrupted) and scored.name == VAL_SHIFT:
                provide.val_shift(scored.hidden, development, machine.cache, count)
            else:
                provide.held_out(trial, scored, machine.cache, count)
    if len(development.classes) < 2:
        raise foresight.alone(data.source, development.classes)
    train = development.train
    return _Training(len(development.classes), train.images.shape[-1], train.labels)


def _undefined(study: Study, trial: Trial, sets: Sequence[ScoredSet], machine: Machine) -> Iterator[str]:
    """Scores that are to decide something on a set and are undefined on its labels."""
    from bench.data import provide

    asked = foresight.decisive(study)
    for scored in sets:
        if scored.name != VAL_SHIFT:
            labels = provide.held_out(trial, scored, machine.cache).labels
            classes = provide.development(trial, machine.cache).classes
            yield from foresight.undefined(asked, scored.name, labels, classes)


def _check_training(trial: Trial, training: _Training, networks: _Networks) -> list[str]:
    """Show each stage's network, in training mode and without memory, the smallest batch that it will see."""
    from bench.augment import pipeline

    recipe, size_px, channels = trial.recipe, trial.data.size_px, training.channels
    rest = foresight.epoch(trial, training.labels, training.classes) % recipe.batch_size
    smallest = rest if rest > 1 else recipe.batch_size  # a last batch of one image is left out
    views = pipeline.build(recipe.augment, size_px=size_px, channels=channels, device="cpu").views
    reason = networks.said(
        trial, training, smallest, views, build=lambda: _untrainable(trial, training, views * smallest)
    )
    return [
        f"batch_size = {recipe.batch_size}: {recipe.model.name} cannot train on a batch of {smallest} "
        f"({why}); give a larger batch_size, batch norm needs several values"
        for why in reason
    ]


def _untrainable(trial: Trial, training: _Training, images: int) -> list[str]:
    """Why a batch of so many images cannot be trained on, or nothing."""
    import torch

    from bench.models.architecture import FOREIGN, Task, architecture_of
    from bench.train.stages import freeze, set_modes

    recipe, size_px = trial.recipe, trial.data.size_px
    with torch.device("meta"):
        task = Task(training.classes, training.channels, size_px)
        network = architecture_of(recipe.model).bare().build(recipe.model.name, task, None)
        for train in dict.fromkeys(stage.train for stage in recipe.stages if stage.train != "none"):
            freeze(network, train)
            set_modes(network)
            try:
                network(torch.zeros(images, task.channels, size_px, size_px))
            except FOREIGN as error:
                return [str(error).partition("\n")[0]]
    return []


def _check_model(trial: Trial, training: _Training, networks: _Networks) -> list[str]:
    """What is wrong with building and augmenting for one arm."""
    from bench import models
    from bench.augment import pipeline

    size_px, channels = trial.data.size_px, training.channels

    def build() -> list[str]:
        try:
            models.check(trial.recipe, training.classes, channels, size_px, trial.weights)
        except UserError as error:
            return _each(error)
        return []

    problems = list(networks.said(trial, training, build=build))
    try:
        pipeline.build(trial.recipe.augment, size_px=size_px, channels=channels, device="cpu")
    except UserError as error:
        problems += _each(error)
    return problems


def _each(error: UserError) -> list[str]:
    """The problems an error names: one a line; an indented line goes on with the one before it."""
    return re.split(r"\n(?! )", str(error))
