"""What a report says, before it is spelled. Scores, effects and shares are fractions; text is unescaped."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.judge.basis import Provenance, Rules, Size
    from bench.judge.gates import GateRow
    from bench.judge.outcomes import Outcome
    from bench.judge.robustness import CorruptedSet
    from bench.judge.searched import Tuning
    from bench.judge.settings import Change
    from bench.judge.tables.asked import Asked
    from bench.judge.tables.ensembles import EnsembleRow
    from bench.judge.tables.factors import FactorEffect, Ingredient, Rung
    from bench.judge.tables.hidden import Looked
    from bench.judge.tables.noise import Noise
    from bench.judge.tables.ordered import Trend
    from bench.judge.tables.slices import SliceRow
    from bench.judge.tables.trials import TrialNote
    from bench.stats import Interval
    from bench.store import Record

LOCAL = "local"
"""What a report calls the local test set."""
OPEN = (-math.inf, math.inf)
"""The scale of what has no bounds, or none that are known."""
LONGEST_NAME = 60
"""Characters of an arm's name in tables and figures."""


@dataclass(frozen=True)
class Effect:
    """A difference (or one arm's mean or gap) with its pointwise 95 % interval."""

    mean: float
    low: float
    high: float
    unit: str = "points"
    """``ratio``: of a cost, mean and ends are ratios already; else that of a metric which is no share."""
    few: bool = False
    """The arms disagree on too few items for an interval: the ends are the mean, and are not told."""
    one_sided: bool = False
    """Too few items were ever wrong for an interval: the lower end is a one-sided bound, the upper one 1."""
    dagger: bool = False
    """Of what was not declared: the interval excludes 0, corrected over the arms of its set it would not."""
    scale: tuple[float, float] = OPEN
    """What no value can leave, though the interval's ends, which are as far on both sides, may."""

    @property
    def ends(self) -> tuple[float, float] | None:
        """The part of the interval that is on the scale, where an end has left it."""
        least, most = self.scale
        inside = max(self.low, least), min(self.high, most)
        return None if inside == (self.low, self.high) else inside

    @classmethod
    def of(cls, interval: Interval | None, unit: str = "points", *, few: bool = False) -> Effect | None:
        """Mean and ends of an interval."""
        if interval is None:
            return None
        low, high = (interval.mean, interval.mean) if few else (interval.low, interval.high)
        return cls(interval.mean, low, high, unit, few)


@dataclass(frozen=True)
class Mean:
    """A mean over those of an arm's seeds that finished and have the value."""

    mean: float
    sd: float | None
    """Over seeds; None with one."""
    seeds: int
    planned: int
    """Seeds of the arm: a mean over fewer is marked wherever it stands."""
    interval: Effect | None = None
    """Over new seeds and images; None where it was not asked for, or fewer than two seeds finished."""

    @classmethod
    def over(
        cls,
        values: Iterable[float | None],
        interval: Interval | None = None,
        at_least: float | None = None,
        scale: tuple[float, float] = OPEN,
    ) -> Mean | None:
        """Of the seeds that have a value; None where no seed has.

        values    one for each of the arm's planned trials
        at_least  one-sided bound that stands instead of the interval
        scale     that no value can leave
        """
        every = list(values)
        known = [value for value in every if value is not None]
        if not known:
            return None
        sd = _sd(known) if len(known) > 1 else None
        told = Effect.of(interval)
        if told is not None:
            told = replace(told, scale=scale)
        if interval is not None and at_least is not None:
            told = Effect(interval.mean, at_least, 1.0, one_sided=True)
        return cls(statistics.fmean(known), sd, len(known), len(every), told)


def _sd(values: Sequence[float]) -> float:
    """Standard deviation of two values or more, 0 where all are equal.

    A tenth of the time of ``statistics.stdev``, which is exact: a report of 30,000 trials has 4,000 of these.
    """
    apart = [value - values[0] for value in values]
    mean = math.fsum(apart) / len(apart)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in apart) / (len(apart) - 1))


@dataclass(frozen=True)
class Unseen:
    """A difference on the families of a corrupted set that neither of two arms trains with."""

    effect: Effect | None
    families: int
    of: int
    """Families of the set."""


@dataclass(frozen=True)
class NewRuns:
    """What one new run of an arm and one of its reference, trained independently, would differ by."""

    effect: Effect | None = None
    """Mean difference and 95 % prediction interval."""
    better: float | None = None
    """Probability that the arm's run is the better one."""
    reason: str = ""
    """Why nothing is predicted."""


@dataclass(frozen=True)
class Rests:
    """What the verdict on a comparison rests on, beside the difference itself."""

    own: float
    """Sd over seeds of the difference (of a cost, of its logarithm), as its own seeds show it."""
    deciding: float
    """The one that decides; larger where others of the study say so."""
    freedom: float
    """Its degrees of freedom, with those that others lend."""
    p: float
    """Two-sided, of "no difference", before Holm's correction."""
    correlation: float | None = None
    """Of the two arms' values over common seeds; None where one never varies, or seeds are no plain pairs."""


@dataclass(frozen=True)
class Seeds:
    """How an arm's planned trials ended."""

    planned: int
    done: int
    diverged: int = 0
    little_learned: int = 0
    """Of the done ones."""
    failed: tuple[tuple[str, int], ...] = ()
    """(cause, number), by cause."""
    stale: int = 0
    damaged: int = 0
    not_run: int = 0

    def __str__(self) -> str:
        """``5/5``, ``4/5, 1 diverged``, ``2/5, 1 failed (oom), 2 not run``."""
        counted = [(self.little_learned, "little learned"), (self.diverged, "diverged")]
        counted += [(n, f"failed ({cause})") for cause, n in self.failed]
        counted += [(self.stale, "stale"), (self.damaged, "damaged"), (self.not_run, "not run")]
        return ", ".join([f"{self.done}/{self.planned}", *(f"{n} {word}" for n, word in counted if n)])


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
    new_runs: NewRuns = NewRuns()
    shrunk: Effect | None = None
    """The effect drawn towards none, where it was decided before the last look; its ends are itself."""
    bolder: bool = False
    """The verdict is told by shared variance, and its interval reaches over the cut."""
    rests: Rests | None = None
    """None where nothing was tested, or spreads over seeds were."""
    arms: int = 2
    """It is told from; more than two: an effect that is averaged over arms."""


def mean_of(trials: Iterable[Outcome], value: Callable[[Outcome], float | None]) -> Mean | None:
    """The mean of a value over an arm's finished trials; None where none has it."""
    return Mean.over(value(o) if o.state == "done" and o.record else None for o in trials)


@dataclass(frozen=True)
class ArmRow:
    """What was measured of one arm."""

    label: str
    is_baseline: bool
    trials: tuple[Outcome, ...]
    seeds: Seeds
    scores: Mapping[str, Mapping[str, Mean | None]]
    """Set (local, then each hidden one) → score; accuracy has its interval. None: not scored, undefined."""
    effects: Mapping[str, Effect | None]
    """Set → accuracy minus the baseline's; pointwise, no verdict. Of the baseline None."""
    recalls: Mapping[str, Mean]
    """Class → share recognised, on Document.where."""
    class_sizes: Mapping[str, Size]
    """Class → images it has there, and groups that these are of."""
    finding: Finding | None
    """Against the baseline on the primary metric; None for the baseline."""
    primary: Mean | None
    """The deciding score, where it is another one than accuracy."""
    gap: Mean | None
    """Local − hidden accuracy."""
    flops: int | None
    """Operations of one image's way through the network."""
    seconds: Mean | None
    """Training."""
    slowdown: float | None
    """Training time over the baseline's; None for the baseline."""
    epochs: Mean | None
    """Trained."""
    images_per_s: Mean | None
    """Trained with."""

    @property
    def records(self) -> list[Record]:
        """Of the finished trials."""
        return [o.record for o in self.trials if o.state == "done" and o.record]

    @property
    def accuracies(self) -> tuple[Mean | None, ...]:
        """Local, then on each hidden set."""
        return tuple(scores.get("accuracy") for scores in self.scores.values())

    def recall(self, name: str) -> float | None:
        """Share recognised of a class."""
        return self.recalls[name].mean if name in self.recalls else None

    def class_count(self, name: str) -> int | None:
        """Images of a class there."""
        return self.class_sizes[name].images if name in self.class_sizes else None

    def gain(self, name: str, base: ArmRow) -> float | None:
        """How much more is recognised of a class than by another arm."""
        now, was = self.recall(name), base.recall(name)
        return None if now is None or was is None else now - was

    @property
    def worst(self) -> tuple[str, Mean] | None:
        """The class recognised worst, of those with more than one image."""
        told = ((name, mean) for name, mean in self.recalls.items() if self.class_count(name) != 1)
        return min(told, key=lambda item: (item[1].mean, item[0]), default=None)


@dataclass(frozen=True)
class Called:
    """An arm as tables call it."""

    label: str
    name: str
    """The label, cut in its middle where it is too long."""
    is_baseline: bool = False

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class ClaimRow:
    """A claim of the study, judged."""

    says: str
    expect: str
    metric: str
    outcome: str
    """``supported``, ``supported, and more: harmful``, ``refuted``, ``inconclusive``, ``not judged``, or
    ``declared after scores``."""
    pairs: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def costs(self) -> bool:
        """About a time, which may differ between two equal results."""
        return self.metric == "cost.seconds"


@dataclass(frozen=True)
class Promise:
    """What was declared before the first score, and whether the study says so still."""

    known: bool
    """There is a ``declared.json``."""
    at: str = ""
    """When it was written, UTC."""
    later: bool = False
    """After the results: what the study said when it was last run."""
    scored: tuple[str, ...] = ()
    """Comparisons that other studies of the results folder had scored by then."""
    changes: tuple[str, ...] = ()
    """What the study says otherwise now, a line each."""
    removed: tuple[Finding, ...] = ()
    """Comparisons that were declared and are no longer asked for: members of the family still."""
    claims: tuple[ClaimRow, ...] = ()
    """Claims that were declared and are no longer made."""


@dataclass(frozen=True)
class Screen:
    """What a screen compares: levels of factors, each over all arms."""

    findings: tuple[Finding, ...]
    """Every factor's, largest effect first."""
    factors: int
    arms: int
    seeds: int
    clear: bool
    """Main effects are aliased with no interaction of two."""
    separate: bool
    """Neither are such interactions with one another."""
    partial: bool
    """Aliased only in part, as in a Plackett–Burman design."""

    @property
    def trials(self) -> int:
        """Planned."""
        return self.arms * self.seeds

    @property
    def one_at_a_time(self) -> tuple[int, int]:
        """Seeds and trials by which the baseline and one arm per factor would tell each effect as surely.

        Of seeds' variance σ² a contrast of A arms has 4σ²/(A·S), a pair with S′ seeds 2σ²/S′.
        """
        seeds = self.arms * self.seeds // 2
        return seeds, (self.factors + 1) * seeds


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
    where: str
    """The set that recalls, calibration and costs are told on: the primary metric's, else the local one."""
    sizes: Mapping[str, Size]
    """Set → how large it is; those that no finished trial was scored on are missing."""
    gap_set: str | None
    """Hidden set that the gap is taken to."""
    metrics: tuple[str, ...]
    units: Mapping[str, str]
    """Metric → unit, of those that are no share, and so not told in per cent."""
    arms: tuple[ArmRow, ...]
    claims: tuple[ClaimRow, ...]
    promise: Promise
    corrupted: tuple[CorruptedSet, ...]
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
    screen: Screen | None = None
    """Of a screen: what its effects are, and are not."""
    ladder: tuple[Rung, ...] = ()
    """Of a ladder: its steps, in the order written."""
    ensembles: tuple[EnsembleRow, ...] = ()
    noise: tuple[Noise, ...] = ()
    looked: tuple[Looked, ...] = ()
    asked: tuple[Asked, ...] = ()
    slices: tuple[SliceRow, ...] = ()
    gates: tuple[GateRow, ...] = ()
    methods: tuple[str, ...] = ()
    """Sentences for the methods of a paper."""
    docs: str = "../../docs"
    """Where the pages about bench lie, from the folder of the report."""
    trends: tuple[Trend, ...] = ()
    """Of levels that have an order."""
    elsewhere: bool = False
    """Nothing was trained here: predictions were handed in, and nothing else is known."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """On the primary metric: every arm's, best effect first; of a screen every factor's.

        Of a ladder each step, in its order, then the last rung against the baseline.
        """
        if self.screen:
            return self.screen.findings
        whole = tuple(arm.finding for arm in self.arms if arm.finding)
        steps = tuple(rung.step for rung in self.ladder if rung.step)
        return (*steps, *whole[-1:]) if len(steps) > 1 else whole

    @property
    def comparisons(self) -> tuple[Finding, ...]:
        """Every declared one, each once: on the primary metric, then of the claims, then of gates."""
        whole = (arm.finding for arm in self.arms if arm.finding)
        every = [*self.findings, *whole, *(pair for claim in self.claims for pair in claim.pairs)]
        every += [gate.finding for gate in self.gates]
        found: dict[tuple[str, str, str], Finding] = {}
        for one in every:
            found.setdefault((one.arm, one.reference, one.metric), one)
        return tuple(found.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that recalls are known of, in the order of the labels."""
        return tuple(dict.fromkeys(name for arm in self.arms for name in arm.recalls))

    def class_size(self, name: str) -> Size | None:
        """Images that the recall of a class is over; None where no predictions tell."""
        return next((arm.class_sizes[name] for arm in self.arms if name in arm.class_sizes), None)

    def counted(self, name: str) -> str:
        """``(n = 1,707)`` behind a set's name; nothing where no trial was scored on it."""
        return f"({self.sizes[name]})" if name in self.sizes else ""

    @property
    def items(self) -> str:
        """What intervals are over beside seeds: ``images``, unless groups of one kind count in every set."""
        words = {word for _, word in self.provenance.grouped}
        every = {name for name, _ in self.provenance.grouped} == set(self.sets)
        return words.pop() if every and len(words) == 1 else "images"

    @property
    def tuned_apart(self) -> bool:
        """Whether arms that are compared had their settings chosen each by a search of its own."""
        return self.tuning is not None and sum(bool(arm.chosen) for arm in self.tuning.arms) > 1

    @property
    def unit(self) -> str:
        """What differences on the primary metric are told in."""
        return self.units.get(self.rules.primary.partition(".")[2], "points")

    @property
    def over(self) -> str:
        """What means are over: ``seeds`` or ``folds``."""
        return "folds" if self.rules.folds else "seeds"

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """Label of each arm → how tables and figures call it."""
        return short_names([arm.label for arm in self.arms])

    def called(self, label: str) -> Called:
        """An arm as a cell of a table."""
        return Called(label, self.names.get(label, label), label == self.baseline)


def short_names(labels: Iterable[str]) -> dict[str, str]:
    """Each label, cut in its middle where it is too long for a table, still unlike every other."""
    names: dict[str, str] = {}
    for label in labels:
        name = label
        if len(label) > LONGEST_NAME:
            name = f"{label[: LONGEST_NAME - 20]}…{label[-19:]}"
        again = sum(taken == name or taken.startswith(f"{name} (") for taken in names.values())
        names[label] = f"{name} ({again + 1})" if again else name
    return names
