"""Study → arms → trials, with ids. Pure: no torch, no pandas, no reading of images.

What needs the disk (where a source is and what its content hashes to) comes in as a ``Locator``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.identity import identity
from bench.planned import Account, Night, PlanFile, PlannedArm, PlannedSearch, PlannedTrial, Seen, Shares
from bench.recipe import COPIED_BY, Choice, Data, Hidden, Recipe
from bench.registry import Component, augmentations, losses, models, optimizers, schedules, sources
from bench.streams import derive
from bench.study.code import Code
from bench.study.command import named
from bench.study.file import AGAIN_SEEDS, TUNING_SEEDS
from bench.study.patch import look_up
from bench.study.read import LOCAL_SET, Arm, Study
from bench.study.resolve import with_parts
from bench.study.told import tell

ID_LENGTH = 20
"""Hex digits of a trial id: 80 bits, so that millions of trials meet no collision."""
ROOMS = {"data": 1, "train": 1, "evaluate": 1}
"""Versions of what every trial passes through; raised by hand when behaviour changes."""
TEST = LOCAL_SET
"""Name of the local test set among a trial's scored sets."""
SHARED = " at the baseline's values"
"""What the name of an arm has behind it in runs with the baseline's tuned values."""
AGAIN = " again (A/A)"
"""The same of runs that repeat the baseline."""
FILE, HASH = "file", "sha256:"
"""Before the name of a command's file among a trial's origins, and before what it hashes to."""
VAL_SHIFT = "val_shift"
"""Name of the corrupted validation images among a candidate's scored sets."""


@dataclass(frozen=True)
class Source:
    """Where a source's images are on this machine, and what they are everywhere."""

    kind: str
    """Name among the registered sources."""
    path: Path | None
    """Absolute; None where there is nothing to point at."""
    fingerprint: str
    """Hash of the content, a pinned checksum, or hash of the version of what makes the images."""
    official: bool = False
    """It says which of its images are for training, validation and test."""
    images: int = 0
    """How many there are, as far as that is known without opening it; 0: unknown."""
    classes: int = 0
    """Likewise."""
    seen: Seen | None = field(default=None, compare=False)
    """What a look at its files told."""


@dataclass(frozen=True)
class ScoredSet:
    """A set that is scored after training: the local test set or a hidden one."""

    name: str
    """The study's name for it: ``test``, or the key of ``[hidden.…]``."""
    key: str
    """Fingerprint of its content; scores are stored under it."""
    hidden: Hidden | None = None
    """None: the local test set."""
    source: Source | None = None
    """For an external set: where it is."""


@dataclass(frozen=True)
class Replicate:
    """What makes one repetition of an arm: a seed, and with cross-validation a fold of k."""

    seed: int
    fold: int | None = None
    folds: int | None = None

    @property
    def stream_seed(self) -> int:
        """The number that starts every random stream; each fold has its own.

        Otherwise the luck of one initialisation would be in all folds alike, and in no interval.
        """
        return self.seed if self.fold is None else derive(self.seed, "fold", self.fold)

    @property
    def split_seed(self) -> int:
        """The number that draws train and validation: of an A/A run that of the replicate it repeats."""
        return replace(self, seed=self.repeats).stream_seed

    @property
    def repeats(self) -> int:
        """The seed of the replicate that an A/A run repeats; of any other its own."""
        return self.seed - AGAIN_SEEDS if AGAIN_SEEDS <= self.seed < TUNING_SEEDS else self.seed


@dataclass(frozen=True)
class Trial:
    """Arm × replicate: one training run, the unit of work. No arm name: other studies may hold it."""

    id: str
    key: str
    """The id without component versions: the same key with another id is a stale record."""
    recipe: Recipe
    data: Data
    data_fingerprint: str
    source: Source
    replicate: Replicate
    versions: Mapping[str, int | str]
    """``kind:name`` → version, of every component the recipe uses."""
    role: Literal["final", "tune"] = "final"
    weights: Path | None = field(default=None, compare=False)
    """File behind ``model.weights``; the recipe itself holds its SHA-256."""
    folder: Path | None = field(default=None, compare=False)
    """That of the study's file, where a command runs; None without one."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """``kind:name`` → where it is from, of every component from outside that the recipe uses."""
    code: tuple[Code, ...] = field(default=(), compare=False, repr=False)
    """From outside: whoever trains or scores this trial runs it first."""

    @property
    def files(self) -> dict[Path, str]:
        """What training reads from the disk, beside images → SHA-256 hex that its id speaks of."""
        found = {}
        if self.weights:
            found[self.weights] = str(self.recipe.model.params["weights"])
        if self.folder:
            named = (name for name in self.origins if name.startswith(f"{FILE}:"))
            found |= {self.folder / name.removeprefix(f"{FILE}:"): self.origins[name] for name in named}
        return {file: content.removeprefix(HASH) for file, content in found.items()}


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(payload: Any) -> str:
    """SHA-256 hex of ``payload`` as canonical JSON: independent of key order, the same on every machine."""
    return hashlib.sha256(_CANONICAL.encode(payload).encode()).hexdigest()


class Locator(Protocol):
    """What a plan must ask the machine."""

    def source(self, written: str, data: Data) -> Source:
        """Where the images of ``written`` (``folder:PATH``, …) are and what they hash to."""

    def data_fingerprint(self, source: Source, data: Data, *, folds: bool = False) -> str:
        """Hash of everything about the images that can change a score, with folds or without."""

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """Key of the local test set."""

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """Key of a hidden set; one made of test images depends on the test set."""

    def weights(self, written: str) -> tuple[Path, str]:
        """A weight file and its SHA-256 hex."""

    def program(self, command: str) -> tuple[Path, dict[str, str]]:
        """The folder that a command runs in, and the SHA-256 hex of each file there that it names."""


@dataclass(frozen=True)
class Run:
    """A trial and what is scored after it; what an executor is given."""

    arm: str
    trial: Trial
    sets: tuple[ScoredSet, ...]
    candidate: int | None = None
    """Number of the tuning candidate; None for a replicate."""
    floors: tuple[float, ...] = ()
    """Validation accuracy that a candidate must have reached by each evaluation, or it is cut short."""


@dataclass(frozen=True)
class Plan:
    """Every trial of a study, arm by arm, in the order of the study's seeds."""

    study: Study
    """With the tuned values frozen into its arms, as far as they are known."""
    runs: tuple[Run, ...]
    """The replicates; of an arm whose tuning goes on there are none yet."""
    data_fingerprint: str
    """Of the baseline's images."""
    sets: tuple[ScoredSet, ...] = ()
    """What the baseline's first replicate is scored on, tuned or not."""
    searches: tuple[PlannedSearch, ...] = ()
    pending: tuple[Run, ...] = ()
    """Candidates that tuning waits for; each may stand for several arms."""
    shared: tuple[Run, ...] = ()
    """Replicates of the other arms with the baseline's tuned values."""
    looks: tuple[int, ...] = ()
    """Declared by ``--until decided``: ``runs`` are what the looks so far ask for."""
    again: tuple[Run, ...] = ()
    """With ``aa``: the baseline's replicates trained once more, with other initialisation and order."""
    shares: Shares | None = None
    """How the baseline's images are split, where that takes reading them to know."""
    accounts: tuple[Account, ...] = ()
    """What became of the images, when a run last looked."""
    nights: tuple[Night, ...] = ()
    """Runs that ``--hours`` ended."""

    @property
    def everything(self) -> tuple[Run, ...]:
        """All replicates: the arms', the shared ones, the A/A runs."""
        return (*self.runs, *self.shared, *self.again)

    @cached_property
    def file(self) -> PlanFile:
        """What ``plan.json`` holds."""
        labels = [arm.label for arm in self.study.arms]
        trials: dict[str, list[PlannedTrial]] = {}
        for run in self.everything:
            trials.setdefault(run.arm, []).append(planned_trial(run))

        def arm(label: str, suffix: str = "") -> PlannedArm:
            return PlannedArm(label=label, trials=tuple(trials.get(label + suffix, ())))

        return PlanFile(
            study=self.study.name,
            baseline=self.study.baseline,
            data_fingerprint=self.data_fingerprint,
            arms=tuple(map(arm, labels)),
            searches=self.searches,
            shared=tuple(arm(label, SHARED) for label in labels if label + SHARED in trials),
            again=arm(self.study.baseline, AGAIN) if self.again else None,
            looks=self.looks,
            shares=self.shares,
            components=tell(choice for arm in self.study.arms for choice in arm.recipe.augment),
            accounts=self.accounts,
            nights=self.nights,
        )


def planned_trial(run: Run) -> PlannedTrial:
    """Where a run's record is found."""
    replicate = run.trial.replicate
    sets = {scored.name: scored.key for scored in run.sets}
    return PlannedTrial(id=run.trial.id, seed=replicate.seed, fold=replicate.fold, sets=sets)


def make_plan(study: Study, locator: Locator) -> Plan:
    """Arms × replicates as trials with ids. Raises UserError when a source or weight file is missing.

    Knows nothing of tuning: every arm is trained as its recipe stands (``tune.search.plan`` tunes first).
    """
    planner = Planner(study, locator)
    runs = [run for arm in study.arms for run in planner.finals(arm)]
    return Plan(study, tuple(runs), planner.data_fingerprint(), planner.sets(), again=planner.again())


class Planner:
    """Makes trials of arms, asking the machine once for what several trials share."""

    def __init__(self, study: Study, locator: Locator) -> None:
        self.study, self.locator = study, locator
        self.replicates = replicates_of(study)
        foreign = study.data.model_copy(update={"drop_classes": ()})
        self._foreign = {
            name: locator.source(hidden.source, foreign.model_copy(update={"groups": hidden.groups}))
            for name, hidden in study.hidden.items()
            if hidden.kind == "external"
        }
        self._known_sets: dict[tuple[str, Replicate], tuple[ScoredSet, ...]] = {}
        """Images as the study has them, and replicate → what is scored after it: the same in most arms."""

    def sets(self) -> tuple[ScoredSet, ...]:
        """What the baseline's first replicate is scored on."""
        arm = self.study.arm(self.study.baseline)
        return self._sets(arm, self.replicates[0], arm.data.model_dump_json())

    def data_fingerprint(self) -> str:
        """Hash of everything about the baseline's images that can change a score."""
        arm = self.study.arm(self.study.baseline)
        source = self.locator.source(arm.data.source, arm.data)
        return self.locator.data_fingerprint(source, arm.data, folds=self.study.folds is not None)

    def finals(self, arm: Arm, replicates: Sequence[Replicate] | None = None) -> list[Run]:
        """The arm's replicates (or others), scored on the local test set and on every hidden set."""
        make, images = self._maker(arm), arm.data.model_dump_json()
        return [
            Run(arm.label, make(replicate, "final"), self._sets(arm, replicate, images))
            for replicate in replicates or replicates_of(self.study, arm.label)
        ]

    def again(self) -> tuple[Run, ...]:
        """The baseline's A/A runs, where the study wants them."""
        if not self.study.aa:
            return ()
        repeats = [replace(replicate, seed=replicate.seed + AGAIN_SEEDS) for replicate in self.replicates]
        return tuple(
            replace(run, arm=run.arm + AGAIN)
            for run in self.finals(self.study.arm(self.study.baseline), repeats)
        )

    def candidates(self, arm: Arm, seeds: Sequence[int], number: int) -> list[Run]:
        """One trial per tuning seed: scored on validation, and where the study has one on ``val_shift``."""
        make = self._maker(arm)
        trials = [make(Replicate(seed), "tune") for seed in seeds]
        return [Run(arm.label, trial, self._val_shift(trial), number) for trial in trials]

    def _maker(self, arm: Arm) -> Callable[[Replicate, Literal["final", "tune"]], Trial]:
        source = self.locator.source(arm.data.source, arm.data)
        data_hash = self.locator.data_fingerprint(source, arm.data, folds=self.study.folds is not None)
        recipe, weights = _with_weights(arm, self.locator)
        content = fingerprint(_trained(recipe))  # once per arm, not per trial
        folder, files = self.locator.program(recipe.command) if recipe.command else (None, {})
        used = components_of(recipe)
        if sources[source.kind].origin:  # bench's own is known by the data's fingerprint
            used.append(sources[source.kind])
        versions = ROOMS | {component.id: component.version for component in used}
        origins = {component.id: component.origin for component in used if component.origin}
        origins |= {f"{FILE}:{name}": f"{HASH}{content}" for name, content in files.items()}
        behaviour = {"versions": versions} | ({"origins": origins} if origins else {})

        def make(replicate: Replicate, role: Literal["final", "tune"]) -> Trial:
            key = _hash({"recipe": content, "data": data_hash, "replicate": vars(replicate)})
            return Trial(
                _hash({"key": key, **behaviour}), key, recipe, arm.data, data_hash, source, replicate,
                versions, role, weights, folder, origins, self.study.code,
            )  # fmt: skip

        return make

    def _sets(self, arm: Arm, replicate: Replicate, images: str) -> tuple[ScoredSet, ...]:
        """What is scored after a replicate of an arm. images: its ``data`` as text"""
        if (known := self._known_sets.get((images, replicate))) is not None:
            return known
        source = self.locator.source(arm.data.source, arm.data)
        test_key = self.locator.test_key(source, arm.data, replicate)
        sets = [ScoredSet(TEST, test_key)] if TEST in self.study.sets else []
        for name, hidden in self.study.hidden.items():
            foreign = self._foreign.get(name)
            sets.append(ScoredSet(name, self.locator.hidden_key(hidden, foreign, test_key), hidden, foreign))
        return self._known_sets.setdefault((images, replicate), tuple(sets))

    def _val_shift(self, trial: Trial) -> tuple[ScoredSet, ...]:
        hidden = self.study.val_shift
        if (
            hidden is None
            or self.study.tune is None
            or not self.study.tune.metric.startswith(f"{VAL_SHIFT}.")
        ):
            return ()
        drawn = fingerprint(["validation", trial.data_fingerprint, vars(trial.replicate)])
        return (ScoredSet(VAL_SHIFT, self.locator.hidden_key(hidden, None, drawn), hidden),)


def _hash(payload: Any) -> str:
    return fingerprint(payload)[:ID_LENGTH]


def replicates_of(study: Study, arm: str = "") -> tuple[Replicate, ...]:
    """One per seed, or one per fold. arm: its own; the baseline may have more than the others."""
    if study.folds is None:
        further = study.further_seeds if arm == study.baseline else ()
        return tuple(Replicate(seed) for seed in (*study.seeds, *further))
    return tuple(
        Replicate(seed, fold, study.folds.k) for seed in study.seeds for fold in range(study.folds.k)
    )


def _with_weights(arm: Arm, locator: Locator) -> tuple[Recipe, Path | None]:
    """The recipe with the hash of its weight file in place of its name, which says nothing elsewhere."""
    written = arm.recipe.model.params.get("weights")
    if not written:
        return arm.recipe, None
    path, content = locator.weights(written)
    params = arm.recipe.model.params | {"weights": f"{HASH}{content}"}
    return arm.recipe.model_copy(update={"model": Choice(name=arm.recipe.model.name, params=params)}), path


def _trained(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe makes a trial what it is: of a command itself, and what is filled in."""
    if not recipe.command:
        return identity(recipe)
    tree = recipe.model_dump(mode="json")
    filled = {key: look_up(tree, key) for key in named(recipe.command)}
    return {"command": recipe.command, "filled": filled, "cpu_threads": recipe.cpu_threads}


def components_of(recipe: Recipe) -> list[Component]:
    """Every component that a recipe uses, those inside others included; of a command none."""
    if recipe.command:
        return []
    chosen = [
        (models, recipe.model),
        (optimizers, recipe.optimizer),
        (schedules, recipe.schedule),
        (losses, recipe.loss),
        *((augmentations, choice) for choice in with_parts(recipe.augment)),
        *((augmentations, choice) for choice in (COPIED_BY if recipe.balance == "upsample-static" else ())),
    ]
    return [registry[choice.name] for registry, choice in chosen]
