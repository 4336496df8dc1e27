"""The tables of a study file as they are written, before arms are built."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.recipe import Corrupted, Data, Frozen, Hidden

DesignName = Literal["grid", "one-at-a-time", "leave-one-out", "add-and-remove"]
REPLICATE_SEEDS = 10_000
"""Seeds 0–9999 are replicates, 10000+ A/A runs, 20000+ tuning."""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Folds(Frozen):
    """Cross-validation instead of seeds."""

    kind: Literal["folds"]
    k: Annotated[int, Field(ge=2, le=20)] = 5


class Delta(Frozen):
    """Differences that matter, in percentage points."""

    local: Annotated[float, Field(gt=0)] = 0.5
    hidden: Annotated[float, Field(gt=0)] = 1.0


class ClaimTable(Frozen):
    """One ``[[claims]]`` as written: ``better`` and ``than`` are an arm, a list of arms or globs."""

    says: str
    better: str | list[str]
    than: str | list[str] | None = None
    metric: str | None = None
    expect: Literal["better", "no gain", "does not converge"] = "better"
    margin: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _fits(self) -> ClaimTable:
        if self.expect != "does not converge" and self.than is None:
            raise ValueError("needs `than`: the arm it is compared with")
        if self.margin and self.expect != "better":
            raise ValueError('margin goes with expect = "better"')
        return self


class Ensemble(Frozen):
    """Average of an arm's stored probabilities over its seeds."""

    arm: str


class Range(Frozen):
    """What a tuned setting may be: ``{ low, high, log }``, ``{ around = "recipe", times }`` or ``{ choices }``."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    around: Literal["recipe"] | None = None
    times: Annotated[float, Field(gt=1)] | None = None
    """With around: the range reaches from value/√times to value·√times."""
    choices: Annotated[tuple[Any, ...], Field(min_length=2)] | None = None

    _choices = field_validator("choices", mode="before")(_tuple)

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
            raise ValueError('give { low, high }, { around = "recipe", times } or { choices }, one of them')
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, these are {self.low:g} and {self.high:g}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError("a log range needs low > 0")
        return self


class Tune(Frozen):
    """Nuisance settings, re-tuned per arm with the same budget."""

    space: Annotated[dict[str, Range], Field(min_length=1)]
    candidates: Annotated[int, Field(ge=1, le=1000)] = 12
    sampler: Literal["sobol", "tpe"] = "sobol"
    pruner: Literal["none", "median", "wilcoxon"] = "none"
    metric: str = "val.accuracy"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Training runs per candidate."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Longest stage of a candidate in epochs; default: the recipe's own length."""
    seed: Annotated[int, Field(ge=0)] = 0
    generation: Annotated[int, Field(ge=1)] = 4
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Device minutes per arm, instead of all candidates."""
    shared: bool = False
    arms: dict[str, dict[str, Range]] = Field(default_factory=dict)
    """Arm label or glob → its own ranges, for settings whose scale differs (Lion's learning rate)."""


class StudyFile(Frozen):
    """The whole file. ``recipe``, ``arms`` and ``factors`` stay trees here; ``study`` builds the arms from them."""

    question: Annotated[str, Field(min_length=1)]
    baseline: str | dict[str, str] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | list[int] | None = None
    replicates: Folds | None = None
    primary: str | None = None
    delta: Delta = Delta()
    looks: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (5, 8, 12)
    design: DesignName | None = None
    exclude: list[dict[str, str]] = Field(default_factory=list)
    aa: bool = False
    keep_weights: bool = True
    data: Data
    hidden: dict[str, Hidden] = Field(default_factory=dict)
    val_shift: Corrupted | None = None
    recipe: dict[str, Any]
    arms: dict[str, dict[str, Any]] | None = None
    factors: dict[str, Any] | None = None
    tune: Tune | None = None
    claims: list[ClaimTable] = Field(default_factory=list)
    ensembles: dict[str, Ensemble] = Field(default_factory=dict)

    _looks = field_validator("looks", mode="before")(_tuple)

    @field_validator("seeds")
    @classmethod
    def _replicate_seeds(cls, value: int | list[int] | None) -> int | list[int] | None:
        if isinstance(value, list):
            if not value:
                raise ValueError("names no seed: nothing would be trained")
            if len(set(value)) < len(value):
                raise ValueError("names a seed twice")
            if not all(0 <= seed < REPLICATE_SEEDS for seed in value):
                raise ValueError(f"seeds of replicates are 0 to {REPLICATE_SEEDS - 1}")
        return value

    @model_validator(mode="after")
    def _rules(self) -> StudyFile:
        if self.seeds is not None and self.replicates is not None:
            raise ValueError("give seeds or replicates, never both")
        if (self.arms is None) == (self.factors is None):
            raise ValueError("give either [arms] or [factors]: what is compared")
        if self.arms is not None and (self.design or self.exclude):
            raise ValueError("design and exclude go with [factors]")
        if self.exclude and self.design not in (None, "grid"):
            raise ValueError('exclude goes with design = "grid"')
        return self
