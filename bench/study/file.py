"""The tables of a study file as they are written, before arms are built."""

from __future__ import annotations

import fnmatch
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bench.errors import shorten
from bench.recipe import Choice, Corrupted, Data, Frozen, Hidden, as_tuple, complete, repeated
from bench.registry import pruners, samplers

DesignName = Literal["grid", "one-at-a-time", "leave-one-out", "add-and-remove", "screen", "ladder"]
REPLICATE_SEEDS = 10_000
"""Seeds 0–9999 are replicates, 10000+ A/A runs, 20000+ tuning, 1020000+ finalists."""
AGAIN_SEEDS = 10_000
TUNING_SEEDS = 20_000
SEEDS_EACH = 100
"""Tuning seeds set aside for one ``tune.seed``."""
FINAL_SEEDS = TUNING_SEEDS + REPLICATE_SEEDS * SEEDS_EACH
"""From here on finalists: beyond the tuning seeds of every ``tune.seed``, 0 to 9999."""
FEWEST_PAIRS = 4
"""Seeds by which a signed-rank test can be significant at one-sided p = 0.1: ½⁴ = 0.06."""
OF_SINGLE_ARMS = ("seed_sd", "converged")
"""Metrics that no mean over arms has."""
MOST_TUNED = 10
"""Settings tuned at once; a few candidates say nothing about more."""


class Folds(Frozen):
    """Cross-validation instead of seeds."""

    kind: Literal["folds"]
    k: Annotated[int, Field(ge=2, le=20)] = 5


class Delta(Frozen):
    """Differences that matter, in percentage points."""

    local: Annotated[float, Field(gt=0)] = 0.5
    hidden: Annotated[float, Field(gt=0)] = 1.0


class Criterion(Frozen):
    """What a training that converges reaches at one of its evaluations: one of these."""

    train_loss: Annotated[float, Field(gt=0)] | None = None
    train_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """0 to 1, on the images as they are trained on: augmented, with dropout."""
    val_loss: Annotated[float, Field(gt=0)] | None = None
    val_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Criterion:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def of(self) -> str:
        """What is looked at: a key of ``history.jsonl``."""
        return next(iter(self.model_dump(exclude_none=True)))

    def met(self, value: float) -> bool:
        """Whether an evaluation with this value is as far as that."""
        wanted = float(getattr(self, self.of))
        return value <= wanted if self.of.endswith("loss") else value >= wanted

    def __str__(self) -> str:
        return f"{self.of} {getattr(self, self.of):g}"


TRENDS = ("rises", "falls", "flat")
"""What may be expected of levels in an order."""
Expectation = Literal["better", "no gain", "no difference", "does not converge", "rises", "falls", "flat"]


class ClaimTable(Frozen):
    """One ``[[claims]]`` as written: ``better`` and ``than`` are an arm, a list of arms or globs."""

    says: str
    better: str | list[str] | None = None
    than: str | list[str] | None = None
    effect: str | Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """Instead of arms: a factor, or two of which the interaction is meant."""
    over: str | list[str] | None = None
    """Instead of arms: what has an order, as an entry of ``ordered``."""
    metric: str | None = None
    expect: Expectation = "better"
    margin: Annotated[float, Field(ge=0)] = 0.0
    criterion: Criterion | None = None
    """Of "does not converge"; without one only a loss that is not finite counts."""
    slice: Annotated[dict[str, str], Field(min_length=1, max_length=1)] | None = None
    """A column of ``[slices]`` and the value that the claim is about: ``{ scanner = "B" }``."""

    @model_validator(mode="after")
    def _fits(self) -> ClaimTable:
        trends = ", ".join(f'"{trend}"' for trend in TRENDS)
        if self.over is None and self.expect in TRENDS:
            raise ValueError(
                f'expect = "{self.expect}" needs `over`: what has an order, a factor or arms in it, which '
                "`ordered` names"
            )
        if self.over is not None and self.expect not in TRENDS:
            raise ValueError(
                f'over = {shorten(self.over)} needs expect = {trends}, not "{self.expect}"; give one, or '
                "arms as `better` and `than` instead of `over`"
            )
        if self.effect is not None or self.over is not None:
            self._of_factors()
        elif self.better is None:
            raise ValueError("needs `better`, an arm, and `than`; or `effect`, a factor")
        elif self.expect != "does not converge" and self.than is None:
            raise ValueError(f"needs `than`: the arm that {shorten(self.better)} is compared with")
        if self.expect == "does not converge" and self.than is not None:
            raise ValueError(
                f'"does not converge" is about one arm: takes no `than`, here {shorten(self.than)}'
            )
        if self.margin and self.expect not in ("better", "rises", "falls"):
            raise ValueError(f'margin = {self.margin:g} goes with expect = "better", not "{self.expect}"')
        if self.criterion and self.expect != "does not converge":
            raise ValueError(
                f'criterion = {self.criterion} goes with expect = "does not converge", not "{self.expect}"'
            )
        return self

    def _of_factors(self) -> None:
        arms = self.better if self.better is not None else self.than
        if arms is not None:
            raise ValueError(f"compares levels, so it takes no arms, here {shorten(arms)}")
        if self.effect is not None and self.over is not None:
            raise ValueError(f"takes `effect` or `over`, not both, here {shorten(self.over)}")
        if self.expect == "does not converge" or self.metric in OF_SINGLE_ARMS:
            what, key = self.metric or self.expect, "over" if self.effect is None else "effect"
            found = shorten(self.over if self.effect is None else self.effect)
            raise ValueError(f'"{what}" is about single arms: takes no `{key}`, here {found}')


class Ensemble(Frozen):
    """Average of an arm's stored probabilities over its seeds."""

    arm: str


class Range(Frozen):
    """What a tuned setting may be: ``{ low, high }``, ``{ around = "recipe", times }``, ``{ choices }``."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    around: Literal["recipe"] | None = None
    times: Annotated[float, Field(gt=1)] | None = None
    """With around: the range reaches from value/√times to value·√times."""
    choices: Annotated[tuple[Any, ...], Field(min_length=2)] | None = None

    _choices = field_validator("choices", mode="before")(as_tuple)

    @model_validator(mode="after")
    def _one_form(self) -> Range:
        forms = [
            self.low is not None and self.high is not None,
            self.around is not None and self.times is not None,
            self.choices is not None,
        ]
        given = [self.low, self.high, self.around, self.times, self.choices]
        wanted = 1 if self.choices is not None else 2
        if forms.count(True) != 1 or sum(value is not None for value in given) != wanted:
            keys = ", ".join(key for key in type(self).model_fields if key in self.model_fields_set)
            kinds = '{ low, high }, { around = "recipe", times } or { choices }'
            raise ValueError(f"give {kinds}, one of them; these are {keys or 'none'}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, these are {self.low:g} and {self.high:g}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, not {self.low:g}")
        if double := repeated(self.choices or ()):
            raise ValueError(f"names the choice {double} twice")
        return self

    def extremes(self, value: float) -> tuple[Any, ...]:
        """What a recipe's ``value`` may become: every choice, or the ends of the range."""
        if self.choices is not None:
            return self.choices
        if self.times is not None:
            return value / math.sqrt(self.times), value * math.sqrt(self.times)
        return self.low, self.high


class Tune(Frozen):
    """Nuisance settings, re-tuned per arm with the same budget."""

    space: Annotated[dict[str, Range], Field(min_length=1)]
    candidates: Annotated[int, Field(ge=1, le=1000)] = 12
    sampler: Choice = Choice(name="sobol")
    pruner: Choice = Choice(name="none")
    metric: str = "val.accuracy"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Training runs per candidate."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Longest stage of a candidate in epochs; default: the recipe's own length."""
    seed: Annotated[int, Field(ge=0, le=9999)] = 0
    """Another one draws other candidates and other training seeds."""
    generation: Annotated[int, Field(ge=1)] = 4
    """Candidates that are asked for together where earlier ones matter: a sampler that learns, a pruner,
    ``minutes``."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Device minutes per arm: when they are spent, no further generation begins."""
    finalists: Annotated[int, Field(ge=0, le=100)] = 3
    """An arm's best candidates that are trained again; only these runs choose. 0: the candidates choose."""
    final_seeds: Annotated[int, Field(ge=1, le=100)] = 4
    """Fresh seeds, each with a split of its own, that every finalist is trained with."""
    val_images: Annotated[int, Field(ge=1)] | None = None
    """Images that the validation of candidates and finalists is filled up to, with what ``[data] limit`` left
    over. None: as ``[data]`` says."""
    shared: bool = False
    """Also train every arm with the baseline's tuned values."""
    arms: dict[str, dict[str, Range]] = Field(default_factory=dict)
    """Arm label or glob → its own ranges, for settings whose scale differs (Lion's learning rate)."""

    @field_validator("sampler", "pruner")
    @classmethod
    def _known(cls, value: Choice, about: ValidationInfo) -> Choice:
        return complete(samplers if about.field_name == "sampler" else pruners, value)

    @model_validator(mode="after")
    def _few(self) -> Tune:
        tuned = {*self.space, *(key for own in self.arms.values() for key in own)}
        if len(tuned) > MOST_TUNED:
            raise ValueError(f"tunes {len(tuned)} settings, at most {MOST_TUNED} at once; fix some of them")
        pruner = f'pruner = "{self.pruner.name}"'
        by = pruners[self.pruner.name].traits["by"]
        if by == "evaluations" and self.metric != "val.accuracy":
            raise ValueError(f'{pruner} goes by val.accuracy of each epoch, not by metric = "{self.metric}"')
        if by == "seeds" and self.seeds <= FEWEST_PAIRS:
            least = f"give seeds = {FEWEST_PAIRS + 1} or more"
            raise ValueError(f"{pruner} cuts nobody by {self.seeds} seeds: {least}")
        if self.finalists == 1:
            raise ValueError("finalists = 1 leaves nothing to choose: give 2 or more, or 0 for none")
        lengths = sorted(key for key in tuned if re.fullmatch(r"stages\.\d+\.epochs", key))
        if self.epochs is not None and lengths:
            raise ValueError(f"epochs shortens every candidate, so {lengths[0]} cannot be tuned; drop one")
        return self


def tuned_keys(tune: Tune) -> list[str]:
    """Every tuned key, in the study's order."""
    return list(dict.fromkeys([*tune.space, *(key for own in tune.arms.values() for key in own)]))


def ranges_of(tune: Tune, label: str) -> dict[str, Range]:
    """What is tuned in the arm ``label``; a later table of ``[tune.arms]`` wins over an earlier one."""
    merged = dict(tune.space)
    for pattern, space in tune.arms.items():
        if pattern == label or fnmatch.fnmatchcase(label, pattern):
            merged |= space
    return {key: merged[key] for key in tuned_keys(tune) if key in merged}


class StudyFile(Frozen):
    """The whole file. ``recipe``, ``arms`` and ``factors`` stay trees here; ``arms`` builds from them."""

    BESIDE: ClassVar = ("datasets",)
    """Keys of a file that no study has: each data set's study is read without."""

    question: Annotated[str, Field(min_length=1)]
    uses: list[str] = Field(default_factory=list)
    """Python files beside the study, whose components it may name."""
    baseline: str | dict[str, str] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | list[int] | None = None
    baseline_seeds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Seeds of the baseline, more than the other arms'; its further ones have no pair."""
    replicates: Folds | None = None
    primary: str | None = None
    scores: list[str] = Field(default_factory=list)
    """Further scores to tell of every arm and set; one that needs a class and names none: of every class."""
    delta: Delta = Delta()
    looks: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (5, 8, 12)
    design: DesignName | None = None
    resolution: Literal[3, 4] | None = None
    """Of a screen; 4: main effects are clear of interactions of two."""
    exclude: list[dict[str, str]] = Field(default_factory=list)
    ordered: list[str | list[str]] = Field(default_factory=list)
    """Factors, or lists of arms, whose levels have an order."""
    aa: bool = False
    keep_weights: bool = True
    data: Data
    hidden: dict[str, Hidden] = Field(default_factory=dict)
    slices: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """``local`` or an external hidden set → columns of its source by which its images are told apart."""
    val_shift: Corrupted | None = None
    recipe: dict[str, Any]
    arms: dict[str, dict[str, Any]] | None = None
    factors: dict[str, Any] | None = None
    tune: Tune | None = None
    claims: list[ClaimTable] = Field(default_factory=list)
    gates: list[str] = Field(default_factory=list)
    """What a run must find so that it ends well: ``ARM: not harmful on METRIC``."""
    ensembles: dict[str, Ensemble] = Field(default_factory=dict)

    _looks = field_validator("looks", mode="before")(as_tuple)

    @field_validator("slices", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return {name: as_tuple(of) for name, of in value.items()} if isinstance(value, dict) else value

    @field_validator("seeds")
    @classmethod
    def _replicate_seeds(cls, value: int | list[int] | None) -> int | list[int] | None:
        if isinstance(value, list):
            if not value:
                raise ValueError(f"seeds = {value} names none: nothing would be trained")
            if double := repeated(value):
                raise ValueError(f"names the seed {double} twice")
            if not all(0 <= seed < REPLICATE_SEEDS for seed in value):
                raise ValueError(f"seeds of replicates are 0 to {REPLICATE_SEEDS - 1}")
        return value

    @field_validator("looks")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for before, after in itertools.pairwise(value):
            if before >= after:
                raise ValueError(f"must rise, {before} is followed by {after}: each look has more seeds")
        return value


def contradictions(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rules between keys of a study file, whatever stands under them: (key, problem)."""
    if "seeds" in table and "replicates" in table:
        yield "replicates", "give seeds or replicates, never both"
    if "baseline_seeds" in table and "replicates" in table:
        yield "baseline_seeds", "goes with seeds; folds are the same of every arm"
    if "tune" in table and "replicates" in table:
        problem = "goes with seeds: in cross-validation every image is a test image of some fold"
        yield "[tune]", problem + ", and tuning must not see those"
    if "arms" in table and "factors" in table:
        yield "[factors]", "give either [arms] or [factors], not both"
    if "arms" not in table and "factors" not in table:
        yield "[arms]", "is missing: give [arms] or [factors], what is compared"
    for key in ("design", "exclude"):
        alone = "arms" in table and "factors" not in table
        if key in table and alone and (key, table[key]) != ("design", "ladder"):
            yield key, "goes with [factors]; explicit [arms] are all trained (but for a ladder of them)"
    if "resolution" in table and table.get("design") != "screen":
        yield "resolution", 'goes with design = "screen"'
    if "exclude" in table and table.get("design", "grid") != "grid":
        yield "exclude", 'goes with design = "grid"'
