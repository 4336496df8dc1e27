"""Study → arms → trials, with ids. Pure: no torch, no pandas, no reading of images.

What needs the disk (where a source is and what its content hashes to) comes in as a ``Locator``.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, ValidationError

from bench.errors import UserError
from bench.files import content_of
from bench.identity import identity
from bench.recipe import COPIED_BY, Choice, Data, Frozen, Hidden, Recipe
from bench.registry import Component, augmentations, losses, models, optimizers, schedules, sources
from bench.streams import derive
from bench.study.code import Code
from bench.study.command import named
from bench.study.file import AGAIN_SEEDS, TUNING_SEEDS
from bench.study.patch import look_up
from bench.study.read import LOCAL_SET, Arm, Study
from bench.study.resolve import with_parts
from bench.study.told import Told, tell

ID_LENGTH = 20
"""Hex digits of a trial id: 80 bits, so that millions of trials meet no collision."""
ROOMS = {"data": 1, "train": 1, "evaluate": 1}
"""Versions of what every trial passes through; raised by hand when behaviour changes."""
TEST = LOCAL_SET
"""Name of the local test set among a trial's scored sets."""
SHARED = " at the baseline's values"
"""What the name of an arm has behind it in runs with the baseline's tuned values."""
WHOLE = "duplicates and groups stay whole, every class is on every side"
NOTICED = 0.01
"""Distance of a side's share from what it was asked to be that is worth a word."""
AGAIN = " again (A/A)"
"""The same of runs that repeat the baseline."""
VAL_SHIFT = "val_shift"
"""Name of the corrupted validation images among a candidate's scored sets."""


class Seen(Frozen):
    """What a look at a source's files tells before any image is decoded."""

    images: dict[str, int]
    """Class → images that are read."""
    skipped: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Class → kind of file → how many of them are not read; class "": beside the class folders."""
    transparent: int = 0
    """Images with pixels that are not opaque: they are laid on white."""
    deep: int = 0
    """Images of more than 8 bits a channel."""
    cropped: float = 0.0
    """Mean share of an image that the central square leaves out, 0 to 1; 0 where ``fit`` is another."""
    oblong: int = 0
    """Images that lose more than a tenth to the crop."""


class Account(Frozen):
    """What became of the images behind a set, and of the files that should be some."""

    set: str
    """``local``, or the name of an external hidden set."""
    images: dict[str, int]
    """Class of the study → images that are left."""
    dropped: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Why → class → images that are not used."""
    named: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Class of the study → foreign classes that count as it under another name → images."""
    seen: Seen | None = None


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


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(payload: Any) -> str:
    """SHA-256 hex of ``payload`` as canonical JSON: independent of key order, the same on every machine."""
    return hashlib.sha256(_CANONICAL.encode(payload).encode()).hexdigest()


class PlannedTrial(Frozen):
    """Where one replicate of an arm is found among the records."""

    id: str
    seed: int
    fold: int | None = None
    sets: dict[str, str]
    """Name of each scored set (``test``, then the hidden ones in the study's order) → key of its scores."""


class PlannedArm(Frozen):
    """An arm and its trials, one per replicate, in the study's order of seeds."""

    label: str
    trials: tuple[PlannedTrial, ...]


class Candidate(Frozen):
    """One point of an arm's search and the trials that tell how good it is."""

    number: Annotated[int, Field(ge=0)]
    values: dict[str, Any]
    """Dotted key of the recipe → what this candidate sets it to."""
    trials: tuple[PlannedTrial, ...]
    """One per tuning seed."""


class PlannedSearch(Frozen):
    """The tuning of one arm: what was tried, and what came of it."""

    arm: str
    candidates: tuple[Candidate, ...]
    """In the order in which they were told, whatever order they ended in."""
    chosen: int | None = None
    """Number of the winner; None while the search goes on, and when no candidate finished."""
    ended: bool = False
    """Every candidate of the budget has been judged."""
    pruned: tuple[int, ...] = ()
    """Numbers of the candidates that were cut short."""
    finalists: tuple[Candidate, ...] = ()
    """The best candidates, best first, each with its trials of fresh seeds, which alone chose.

    Empty: the candidates chose, as in every search from before there were finalists.
    """

    @property
    def tried(self) -> tuple[Candidate, ...]:
        """Candidates, and then finalists: everything that was trained to choose."""
        return (*self.candidates, *self.finalists)

    @property
    def values(self) -> dict[str, Any]:
        """What the arm's replicates are trained with; empty: its recipe's own values."""
        return {} if self.chosen is None else self.candidates[self.chosen].values


class Shares(Frozen):
    """How the images of the baseline's first replicate were split."""

    images: int
    """All but those that count as outliers."""
    sides: dict[str, int]
    """``train``, ``val`` and ``test`` → images."""
    groups: dict[str, int] = Field(default_factory=dict)
    """The same → groups (patients); empty where groups are not known."""
    asked: dict[str, float] = Field(default_factory=dict)
    """``val`` and ``test`` → the share of all images they were to have; empty for a source's own split.

    Without ``val`` where it was to be filled up: of that side ``filled`` says how many were asked for.
    """
    filled: int | None = None
    """``val_images``, where a limit left images to fill validation with; None: it was not asked for."""

    @property
    def missed(self) -> tuple[str, ...]:
        """Sides that are more than a point from the share they were asked to be, in words.

        Validation is seen within training and validation, which a limit makes smaller.
        """
        within, left = self.sides["train"] + self.sides["val"], 1 - self.asked.get("test", 0.0)
        got = {"test": self.sides["test"] / self.images, "val": left * self.sides["val"] / within}
        found = [
            f"{side} has {100 * got[side]:.1f} % of the images where {100 * share:g} % was asked for: {WHOLE}"
            for side, share in self.asked.items()
            if abs(share - got[side]) > NOTICED
        ]
        if self.filled is not None and self.filled - self.sides["val"] > NOTICED * self.filled:
            found.append(
                f"val has {self.sides['val']} images where val_images asked for {self.filled}: "
                f"the limit left no more that could be added; {WHOLE}"
            )
        return tuple(found)


class Night(Frozen):
    """A run that ``--hours`` ended before its last trial; a report was made of what there was."""

    hours: float
    seeds: tuple[int, int]
    """Seeds that had ended of the arm with the fewest, and of the one with the most; folds likewise."""


class PlanFile(Frozen):
    """``plan.json``: which records a study's report is made of, and what its names meant."""

    schema_version: Literal[1] = 1
    study: str
    baseline: str
    data_fingerprint: str
    file: str = ""
    """Where the study was read from, relative to the results folder."""
    smoke: bool = False
    arms: tuple[PlannedArm, ...]
    """While an arm is being tuned, it has no trials yet."""
    searches: tuple[PlannedSearch, ...] = ()
    """With ``[tune]``: one per arm."""
    shared: tuple[PlannedArm, ...] = ()
    """With ``tune.shared``: every arm but the baseline, with the baseline's tuned values."""
    looks: tuple[int, ...] = ()
    """Declared by ``--until decided``: numbers of seeds at which the comparisons are judged."""
    again: PlannedArm | None = None
    """With ``aa``: the baseline on the same splits, with other initialisation and order."""
    shares: Shares | None = None
    """How images were split, where that takes reading them to know."""
    components: tuple[Told, ...] = ()
    """From outside: what a report must know of them, to be made without their code."""
    accounts: tuple[Account, ...] = ()
    """Of the local images, as the baseline uses them, and of each external hidden set."""
    nights: tuple[Night, ...] = ()
    """Runs of the same data that ``--hours`` ended, the first one first."""

    @property
    def ids(self) -> set[str]:
        """Every trial that the study's report may look at, candidates included."""
        arms = [*self.arms, *self.shared, *([self.again] if self.again else [])]
        candidates = (candidate for search in self.searches for candidate in search.tried)
        return {t.id for arm in arms for t in arm.trials} | {t.id for c in candidates for t in c.trials}


def look_seeds(study: Study, looks: Sequence[int], declared: PlanFile | None = None) -> tuple[int, ...]:
    """The seeds that looks may come to, up from the first one.

    declared   the plan with which the looks were declared: it says which seed is the first
    """
    planned = [trial.seed for arm in declared.arms for trial in arm.trials] if declared else []
    first = min(planned, default=study.seeds[0])
    return tuple(range(first, first + looks[-1]))


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


def read_plan_file(path: Path) -> PlanFile:
    """``plan.json``. Raises UserError when it is damaged."""
    try:
        return _plan_file(content_of(path))
    except (ValidationError, OSError) as error:
        problem = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({problem}); delete it, bench run writes it again") from None


@functools.lru_cache(maxsize=1)
def _plan_file(content: bytes) -> PlanFile:
    """One is asked for half a dozen times, and may hold 30,000 trials."""
    return PlanFile.model_validate_json(content)


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
        origins |= {f"file:{name}": f"sha256:{content}" for name, content in files.items()}
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
    params = arm.recipe.model.params | {"weights": f"sha256:{content}"}
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
