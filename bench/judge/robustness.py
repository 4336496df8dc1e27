"""Corrupted sets taken apart: by family, by severity, and by what an arm has seen in training."""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.corruptions.families import families_of, kinds_of, seen, severities_of
from bench.judge.evidence import Evidence
from bench.judge.findings import Effect, Mean, Unseen, mean_of
from bench.judge.measure import Measure
from bench.judge.outcomes import Outcome, Outcomes
from bench.judge.rows import Doubles
from bench.recipe import Corrupted, Recipe
from bench.registry import augmentations
from bench.study.read import Study
from bench.study.resolve import with_parts

if TYPE_CHECKING:
    from bench.judge.beside import Beside

SMALLEST_LOSS = 0.01
"""Balanced error that a family must add to the baseline's clean one: a ratio to less is a ratio to noise."""

Conditions = Mapping[str, Mapping[str, float]]
"""``family/severity`` → score → value."""


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
    unknown: tuple[str, ...] = ()
    """Its augmentations of which nobody knows what they do: other families may be seen too."""
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
    families: Mapping[str, Mean | None] = field(default_factory=dict)
    """Over severities."""
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


def corrupted_sets(
    study: Study, evidence: Evidence, beside: Beside, order: Sequence[str]
) -> tuple[CorruptedSet, ...]:
    """Every corrupted hidden set of a study, arms in ``order``."""
    found = []
    for name, hidden in study.hidden.items():
        if isinstance(hidden, Corrupted):
            by_kind = kinds_of(_families(hidden, name, evidence.outcomes))
            kinds = tuple((kind, family) for kind, members in by_kind.items() for family in members)
            one = _Set(study, evidence, beside, name, kinds, severities_of(hidden))
            found.append(one.mixed(order) if _mixes(hidden) else one.by_family(order))
    return tuple(found)


def unseen(
    beside: Beside, study: Study, evidence: Evidence, pair: tuple[str, str], name: str
) -> Unseen | None:
    """Arm minus reference on the families that no arm of them trains with; None where no family has scores.

    pair   arm and reference, or the two sides of an effect averaged over arms

    Finished replicates. An item is a base image: its copies of those families are averaged.
    """
    hidden = study.hidden.get(name)
    if not isinstance(hidden, Corrupted) or _mixes(hidden):
        return None
    families = _families(hidden, name, evidence.outcomes)
    common = unseen_by_all(study, evidence, beside.weights(*pair), name)
    effect = beside.effect(*pair, Measure("score", name, families=common)) if common else None
    return Unseen(effect, len(common), len(families))


def unseen_by_all(study: Study, evidence: Evidence, labels: Iterable[str], name: str) -> tuple[str, ...]:
    """The families of a corrupted set that none of these arms trains with."""
    hidden = study.hidden[name]
    assert isinstance(hidden, Corrupted)
    known = frozenset().union(*(seen(study.arm(label).recipe) for label in labels))
    return tuple(f for f in _families(hidden, name, evidence.outcomes) if f not in known)


def unknown(recipe: Recipe) -> tuple[str, ...]:
    """Augmentations of which nobody here knows what they do; until then they make nothing seen."""
    if recipe.command:
        return ("its command",)
    parts = [part for part in with_parts(recipe.augment) if part.params.get("p") != 0]
    names = (part.name for part in parts if augmentations[part.name].traits.get("does", ()) is None)
    return tuple(dict.fromkeys(names))


def mean_ratio(errors: Doubles, reference: Doubles, smallest: float = sys.float_info.min) -> float | None:
    """Mean over families of error / reference.

    errors, reference  (F,) mean over severities; errors, or what they add to the clean error
    smallest           families whose reference is smaller are left out; above 0
    returns            None where no family is left

    Source: Hendrycks & Dietterich 2019 (mCE); with balanced errors Di Salvo et al. 2024 (BE, relative BE).
    """
    usable = reference >= smallest
    if not usable.any():
        return None
    return float((errors[usable] / reference[usable]).mean())


def _mixes(hidden: Corrupted) -> bool:
    """Whether each copy has several corruptions, so that no family has scores of its own."""
    return hidden.profile != "micro-c"


def _families(hidden: Corrupted, name: str, outcomes: Outcomes) -> tuple[str, ...]:
    """Families of a set: those that were scored (gray images leave some out), else those it asks for."""
    asked = families_of(hidden)
    for outcome in itertools.chain(*outcomes.values()):
        if there := {condition.partition("/")[0] for condition in _conditions(outcome, name) or ()}:
            return tuple(family for family in asked if family in there)
    return asked


def _conditions(outcome: Outcome, name: str) -> Conditions | None:
    """A finished trial's scores on a set, condition by condition."""
    if outcome.state != "done" or outcome.record is None:
        return None
    return outcome.record.conditions.get(outcome.planned.sets.get(name, ""))


@dataclass(frozen=True)
class _Errors:
    """Balanced errors of one arm, mean over its finished seeds."""

    corrupted: Doubles
    """(F,) mean over severities."""
    added: Doubles | None
    """(F,) the same minus the clean error; None where the clean images' answers are not known."""


@dataclass(frozen=True)
class _Set:
    """A corrupted set of a study, and what is known of it."""

    study: Study
    evidence: Evidence
    beside: Beside
    name: str
    kinds: tuple[tuple[str, str], ...]
    """(kind, family), by kind."""
    severities: tuple[int, ...]

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(family for _, family in self.kinds)

    def mixed(self, order: Sequence[str]) -> CorruptedSet:
        """Several corruptions on each copy: only who has seen what."""
        arms = tuple(CorruptedArm(label, self.seen_by(label), self.unknown_of(label)) for label in order)
        return CorruptedSet(self.name, False, self.kinds, self.severities, arms)

    def by_family(self, order: Sequence[str]) -> CorruptedSet:
        """One corruption on each copy: scores of each family."""
        errors = {label: self._errors(label) for label in order}
        base = errors[self.study.baseline]
        arms = tuple(self._arm(label, errors[label], base) for label in order)
        costly = base is not None and base.added is not None and (base.added >= SMALLEST_LOSS).sum()
        return CorruptedSet(self.name, True, self.kinds, self.severities, arms, int(costly))

    def seen_by(self, label: str) -> tuple[str, ...]:
        """Families of the set that an arm also trains with."""
        known = seen(self.study.arm(label).recipe)
        return tuple(family for family in self.families if family in known)

    def unknown_of(self, label: str) -> tuple[str, ...]:
        """Augmentations of an arm that may make further families seen."""
        return unknown(self.study.arm(label).recipe)

    def _arm(self, label: str, errors: _Errors | None, base: _Errors | None) -> CorruptedArm:
        known, baseline = self.seen_by(label), self.study.baseline
        own = [family for family in self.families if family not in known]
        trials = self.evidence.outcomes[label]
        effect, new = None, None
        if label != baseline:
            effect = self.beside.effect(label, baseline, Measure("score", self.name))
            new = unseen(self.beside, self.study, self.evidence, (label, baseline), self.name)
        return CorruptedArm(
            label=label,
            seen=known,
            unknown=self.unknown_of(label),
            clean=mean_of(trials, self._clean),
            total=self._mean(trials, self.families),
            effect=effect,
            unseen_mean=self._mean(trials, own),
            unseen=new,
            families={family: self._mean(trials, [family]) for family in self.families},
            conditions=tuple(self._by_condition(trials)),
            error=mean_ratio(errors.corrupted, base.corrupted) if errors and base else None,
            relative_error=_relative(errors, base) if errors and base else None,
        )

    def _clean(self, outcome: Outcome) -> float | None:
        found = self.evidence.rows.clean(outcome, self.name)
        return found[0] if found else None

    def _mean(self, trials: Sequence[Outcome], families: Sequence[str]) -> Mean | None:
        return mean_of(trials, lambda o: self._over(o, families, "accuracy"))

    def _over(self, outcome: Outcome, families: Sequence[str], score: str) -> float | None:
        """A trial's mean score over families and severities; None where one is missing."""
        found = _conditions(outcome, self.name)
        wanted = [f"{family}/{severity}" for family in families for severity in self.severities]
        if not wanted or not found or any(score not in found.get(key, {}) for key in wanted):
            return None
        return statistics.fmean(found[key][score] for key in wanted)

    def _by_condition(self, trials: Sequence[Outcome]) -> Iterator[ConditionScore]:
        found = [_conditions(o, self.name) or {} for o in trials]
        for family, severity in itertools.product(self.families, self.severities):
            of = [conditions.get(f"{family}/{severity}", {}) for conditions in found]
            accuracy, balanced = (
                Mean.over(one.get(score) for one in of) for score in ("accuracy", "balanced_accuracy")
            )
            yield ConditionScore(family, severity, accuracy, balanced)

    def _errors(self, label: str) -> _Errors | None:
        corrupted, added = [], []
        for outcome in self.evidence.outcomes[label]:
            scores = [self._over(outcome, [family], "balanced_accuracy") for family in self.families]
            known = [score for score in scores if score is not None]
            if len(known) < len(scores):
                continue
            error = 1 - np.array(known)
            corrupted.append(error)
            if clean := self.evidence.rows.clean(outcome, self.name):
                added.append(error - (1 - clean[1]))
        if not corrupted:
            return None
        return _Errors(np.mean(corrupted, axis=0), np.mean(added, axis=0) if added else None)


def _relative(errors: _Errors, base: _Errors) -> float | None:
    if errors.added is None or base.added is None:
        return None
    return mean_ratio(errors.added, base.added, SMALLEST_LOSS)
