"""What a report says, before it is spelled. Scores, effects and shares are fractions; text is unescaped."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.stats import Interval

LOCAL = "local"
"""What a report calls the local test set."""


@dataclass(frozen=True)
class Mean:
    """A mean over finished seeds."""

    mean: float
    sd: float | None
    """Over seeds; None with one."""
    seeds: int

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Mean | None:
        """Of the seeds that have a value; None where no seed has."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


@dataclass(frozen=True)
class Effect:
    """A difference (or one arm's mean or gap) with its pointwise 95 % interval."""

    mean: float
    low: float
    high: float
    unit: str = "points"
    """``ratio``: of a cost, mean and ends are ratios already; else that of a metric which is no share."""

    @classmethod
    def of(cls, interval: Interval | None, unit: str = "points") -> Effect | None:
        """Mean and ends of an interval."""
        return cls(interval.mean, interval.low, interval.high, unit) if interval else None


@dataclass(frozen=True)
class Unseen:
    """A difference on the families of a corrupted set that neither of two arms trains with."""

    effect: Effect | None
    families: int
    of: int
    """Families of the set."""


@dataclass(frozen=True)
class Seeds:
    """How an arm's planned trials ended."""

    planned: int
    done: int
    diverged: int = 0
    failed: tuple[tuple[str, int], ...] = ()
    """(cause, number), by cause."""
    stale: int = 0
    damaged: int = 0
    not_run: int = 0


@dataclass(frozen=True)
class Finding:
    """What was found of one arm against another on one metric."""

    arm: str
    reference: str
    metric: str
    """``local.accuracy``, ``<hidden>.accuracy``, ``gap.<hidden>``, ``cost.seconds``, ``seed_sd``, …"""
    verdict: str
    detail: str
    """Why it is inconclusive, what would settle it; may be empty. Holds no name."""
    effect: Effect | None
    if_converges: bool
    """The effect is that of the finished pairs, since some seed diverged."""
    dagger: bool
    seeds: int
    """Common seeds the effect rests on."""
    local: Effect | None = None
    """The same pair's effect on local accuracy, when ``metric`` is about another set."""
    unseen: Unseen | None = None
    """The same pair's effect on unseen families, when ``metric`` is the accuracy under known corruptions."""

    @property
    def costs(self) -> bool:
        """About a time, which may differ between two equal results."""
        return self.metric == "cost.seconds"


@dataclass(frozen=True)
class ArmRow:
    """One arm in the first table."""

    label: str
    is_baseline: bool
    accuracies: tuple[Mean | None, ...]
    """Local, then each hidden set; None: not scored."""
    intervals: tuple[Effect | None, ...]
    """Of the same, over new seeds and images; None where fewer than two seeds finished."""
    ece: Mean | None
    """Calibration error on the primary metric's set."""
    finding: Finding | None
    """Against the baseline on the primary metric; None for the baseline."""
    gap: Effect | None
    """Local − hidden accuracy."""
    worst: tuple[str, float] | None
    """Class recognised worst on the primary metric's set, mean recall over seeds."""
    seeds: Seeds
    parameters: int | None
    epochs: float | None
    seconds: float | None
    """Training, mean over seeds."""
    memory_mb: float | None
    """Peak, largest over seeds."""
    trained_parameters: int | None = None
    """Most that any stage trained."""
    flops: int | None = None
    """Operations of one image's way through the network."""
    images_per_s: float | None = None
    """In training, mean over seeds."""


@dataclass(frozen=True)
class ClaimRow:
    """A claim of the study, judged."""

    says: str
    expect: str
    metric: str
    outcome: Literal["supported", "refuted", "inconclusive", "not judged"]
    pairs: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def costs(self) -> bool:
        """About a time, which may differ between two equal results."""
        return self.metric == "cost.seconds"


@dataclass(frozen=True)
class ScoreRow:
    """All scores of one arm on one set."""

    arm: str
    set: str
    scores: tuple[Mean | None, ...]
    """In the order of Document.metrics."""
    interval: Effect | None
    """Of the mean accuracy, over seeds and images."""
    effect: Effect | None
    """Accuracy minus the baseline's; pointwise, no verdict."""


@dataclass(frozen=True)
class ClassRow:
    """Recall of one class, arm by arm."""

    name: str
    recalls: tuple[float | None, ...]
    """In the order of Document.arms."""


@dataclass(frozen=True)
class ConditionScore:
    """One arm on one corruption at one severity."""

    family: str
    severity: int
    accuracy: Mean | None
    balanced_accuracy: Mean | None


@dataclass(frozen=True)
class CorruptedArm:
    """One arm on a corrupted set. Means are of accuracy; where copies are mixed only ``seen`` is known."""

    label: str
    seen: tuple[str, ...]
    """Families of the set that it also trains with."""
    clean: Mean | None = None
    """On the set's base images, undamaged."""
    total: Mean | None = None
    """Over all families."""
    effect: Effect | None = None
    """``total`` minus the baseline's, finished pairs."""
    unseen_mean: Mean | None = None
    """Over the families that this arm does not train with."""
    unseen: Unseen | None = None
    """Against the baseline; None for the baseline."""
    families: tuple[Mean | None, ...] = ()
    """Over severities, in the order of CorruptedSet.families."""
    conditions: tuple[ConditionScore, ...] = ()
    error: float | None = None
    """Balanced error over the baseline's, mean over families."""
    relative_error: float | None = None
    """The same of what corruption adds to the clean error."""


@dataclass(frozen=True)
class CorruptedSet:
    """What was done to the images of a hidden set, and which arm knows it from training."""

    name: str
    by_family: bool
    """One family at a time, so that each has scores; otherwise they are mixed."""
    families: tuple[tuple[str, str], ...]
    """(kind, family), by kind."""
    severities: tuple[int, ...]
    arms: tuple[CorruptedArm, ...]
    costly: int = 0
    """Families that ``relative_error`` is over: those that cost the baseline something."""


@dataclass(frozen=True)
class TrialNote:
    """A planned trial without a usable result, or whose result is a failure."""

    arm: str
    seed: int
    fold: int | None
    state: str
    text: str
    id: str


@dataclass(frozen=True)
class Change:
    """One setting in which an arm differs from the baseline."""

    arm: str
    setting: str
    baseline: str
    value: str


@dataclass(frozen=True)
class Tuned:
    """One setting that a search chose."""

    setting: str
    value: str
    range: str
    edge: Literal["low", "high"] | None
    """The value lies in that outer tenth of its range."""


@dataclass(frozen=True)
class CandidateRow:
    """One candidate of one arm's search."""

    arm: str
    number: int
    state: str
    value: float | None
    """The tuning metric, mean over tuning seeds."""
    settings: tuple[tuple[str, str], ...]
    why: str
    id: str
    """Of the trial that says why."""
    seconds: float


@dataclass(frozen=True)
class TunedArm:
    """How one arm was tuned."""

    label: str
    ended: bool
    """Its whole budget was used; otherwise the search goes on."""
    tried: int
    done: int
    diverged: int
    failed: int
    pruned: int
    chosen: tuple[Tuned, ...]
    """Empty where no candidate finished: the recipe's own values stand."""
    best: float | None
    """The winner's metric: of one lucky draw among many, so a little too good."""
    curve: tuple[tuple[int, float], ...]
    """(k, expected best of k candidates)."""
    at_half: float | None
    """Best of the first half of the candidates, where another one wins there."""
    half_settles: bool
    """The winner is among the first half."""
    correlations: tuple[tuple[str, float], ...]
    """Setting → its rank correlation with the metric; empty where too few candidates finished."""
    minutes: float
    """Device time of all candidates."""
    own: Effect | None
    """Against the baseline on the primary metric, each arm with its own tuned values."""
    shared: Effect | None
    """The same with the baseline's tuned values in both."""
    shared_diverged: tuple[int, int]
    """Of the shared runs: how many diverged, and of how many."""


@dataclass(frozen=True)
class Tuning:
    """The fair-tuning ledger."""

    metric: str
    unit: str
    lower_is_better: bool
    sampler: str
    pruner: str
    candidates: int
    seeds: int
    epochs: int | None
    minutes: float | None
    shared: bool
    settings: tuple[str, ...]
    arms: tuple[TunedArm, ...]
    rows: tuple[CandidateRow, ...]
    order: tuple[str, ...] | None
    """The arms, best first, as half the candidates would order them by the metric; None: as all do."""
    settled: bool
    """Half the candidates order the arms as all do."""
    enough_to_rank: int
    """Finished candidates below which ``correlations`` stay empty."""


@dataclass(frozen=True)
class FactorEffect:
    """A main effect (one level) or a two-way interaction (two) of a grid, on the primary metric."""

    levels: tuple[tuple[str, str, str], ...]
    """(factor, level, the baseline's level)."""
    effect: Effect | None
    """Pointwise, no verdict."""
    seeds: int
    """Finished in all cells."""
    cells: int
    blocks: int
    """Settings of the other factors that it is averaged over."""


@dataclass(frozen=True)
class Ingredient:
    """One level of an add-and-remove study: added to the baseline, and removed from the full recipe."""

    factor: str
    level: str
    added: Finding | None
    removed: Finding | None
    """The arm without it against the full recipe; None for levels that the full recipe has not."""


@dataclass(frozen=True)
class EnsembleRow:
    """Probabilities of one arm's finished seeds, averaged."""

    name: str
    arm: str
    seeds: int
    scores: tuple[float | None, ...]
    """Accuracy on local, then each hidden set."""
    members: tuple[float | None, ...]
    """Mean accuracy of the same seeds alone."""


@dataclass(frozen=True)
class Noise:
    """How much comparisons with the baseline vary on one set: what planning another study takes."""

    set: str
    key: str
    metric: str
    sigma: float
    """Sd over seeds of a difference of means, as a fraction; root mean square over the arms."""
    f: float
    """N·max(0, V_item − V_int), mean over the arms."""
    seeds: int
    """Fewest paired seeds of these comparisons."""
    images: int


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from."""

    source: str
    synthetic: bool
    data_fingerprint: str
    sets: tuple[tuple[str, str, int | None], ...]
    """(name, key, images) of every scored set; with folds the first fold's."""
    classes: tuple[str, ...]
    libraries: tuple[tuple[str, str], ...]
    """Several versions of one library stand together."""
    commits: tuple[str, ...]
    machines: tuple[str, ...]
    attempts: int
    """Trials that needed more than one."""
    images: tuple[str, ...] = ()
    """What became of the images, line by line."""


@dataclass(frozen=True)
class Rules:
    """By which rules the verdicts were made."""

    primary: str
    family: int
    delta_local: float
    """Points."""
    delta_hidden: float
    seeds: tuple[int, ...]
    folds: int | None
    replicates: int
    """Trials per arm."""
    divergence_bound: float
    """Share of seeds that may diverge although none of the replicates did."""
    looks: tuple[tuple[int, float], ...] = ()
    """(seeds, level) of each look that was declared."""


@dataclass(frozen=True)
class Document:
    """A whole report."""

    study: str
    question: str
    baseline: str
    smoke: bool
    rules: Rules
    sets: tuple[str, ...]
    """Local, then the hidden sets, as the report calls them."""
    gap_set: str | None
    """Hidden set that the gap is taken to."""
    metrics: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    """(metric, unit) of those that are no share, and so not told in per cent."""
    arms: tuple[ArmRow, ...]
    findings: tuple[Finding, ...]
    claims: tuple[ClaimRow, ...]
    scores: tuple[ScoreRow, ...]
    corrupted: tuple[CorruptedSet, ...]
    classes: tuple[ClassRow, ...]
    notes: tuple[TrialNote, ...]
    fixed: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]
    confounds: tuple[tuple[str, str], ...]
    """(arm, what else differs from the baseline)."""
    cost_confounds: tuple[str, ...]
    not_judged: tuple[str, ...]
    provenance: Provenance
    tuning: Tuning | None = None
    again: ArmRow | None = None
    """The baseline trained again (A/A); its finding is the noise floor, outside the family."""
    factor_effects: tuple[FactorEffect, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    ensembles: tuple[EnsembleRow, ...] = ()
    noise: tuple[Noise, ...] = ()
