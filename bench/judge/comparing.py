"""Two studies side by side: arms scored on the same images, their differences, what else differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL, Effect, Mean
from bench.judge.measure import Measure
from bench.judge.outcomes import Outcome, device, read_outcomes
from bench.judge.settings import flat
from bench.plan import TEST
from bench.planned import PlanFile
from bench.registry import metrics
from bench.store import Store
from bench.study.read import Study
from bench.tune.space import tuned_study

ALWAYS = "accuracy"


@dataclass(frozen=True)
class Side:
    """One of two studies."""

    study: Study
    plan: PlanFile
    arm: str = ""
    """The one arm to compare; empty: all."""

    @property
    def tuned(self) -> Study:
        """With what its searches chose."""
        return tuned_study(self.study, {search.arm: search.values for search in self.plan.searches})

    @property
    def labels(self) -> list[str]:
        """Its arms, or the one that is meant."""
        return [self.arm] if self.arm else [arm.label for arm in self.study.arms]


@dataclass(frozen=True)
class Pair:
    """An arm of the first study and one of the second, on a score and a set that both have."""

    arms: tuple[str, str]
    sets: tuple[str, str]
    """What each study calls the set."""
    score: str
    values: tuple[Mean | None, Mean | None]
    effect: Effect | None
    """Second − first."""
    seeds: int
    same: bool
    """They are the same trials."""


@dataclass(frozen=True)
class Comparison:
    """Two studies side by side."""

    pairs: tuple[Pair, ...]
    everywhere: tuple[tuple[str, str, str], ...]
    """(setting, first, second) that differ in the same way in every pair of arms."""
    further: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]
    """Arms → settings that differ beside those."""
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    """Arms that have no counterpart, of each study."""
    apart: tuple[tuple[str, ...], tuple[str, ...]]
    """Sets of each study that the other has not, with the same images."""
    devices: tuple[str, ...]
    """Kinds of device that trained what is compared."""
    drawn_alike: bool
    """The same seed drew the same split of the same images in both."""


def compare(first: Side, second: Side, store: Store) -> Comparison:
    """Arms of the same name, or the two that were named, on every set that both scored."""
    sides = first, second
    outcomes = [read_outcomes(side.tuned, side.plan, store) for side in sides]
    keys = [_sets(found) for found in outcomes]
    shared = [(a, b) for a, key in keys[0].items() for b, other in keys[1].items() if key == other]
    arms = _arms(first, second)
    both = {
        **{f"0/{label}": trials for label, trials in outcomes[0].items()},
        **{f"1/{label}": _renamed(trials, shared) for label, trials in outcomes[1].items()},
    }
    scores = list(dict.fromkeys([ALWAYS, *filter(None, map(_score, sides))]))
    evidence = Evidence(first.study, both, store, {name: scores for name, _ in shared})
    pairs = [_pair(pair, sets, score, evidence, both) for pair in arms for sets in shared for score in scores]
    found = {pair: tuple(_settings(first.tuned, second.tuned, pair)) for pair in arms}
    common = set.intersection(*map(set, found.values())) if found else set()
    meant = [o for pair in arms for n in (0, 1) for o in both[f"{n}/{pair[n]}"] if o.state == "done"]
    return Comparison(
        pairs=tuple(pairs),
        everywhere=tuple(each for each in next(iter(found.values()), ()) if each in common),
        further={pair: tuple(each for each in of if each not in common) for pair, of in found.items()},
        alone=(_left(first, arms, 0), _left(second, arms, 1)),
        apart=(_apart(keys[0], shared, 0), _apart(keys[1], shared, 1)),
        devices=tuple(sorted({device(o) for o in meant})),
        drawn_alike=first.plan.data_fingerprint == second.plan.data_fingerprint,
    )


def _arms(first: Side, second: Side) -> list[tuple[str, str]]:
    if first.arm or second.arm:
        one, other = first.arm or first.study.baseline, second.arm or second.study.baseline
        return [(one, other)]
    same = [(label, label) for label in first.labels if label in second.labels]
    return same or [(first.study.baseline, second.study.baseline)]


def _left(side: Side, arms: Sequence[tuple[str, str]], place: int) -> tuple[str, ...]:
    return () if side.arm else tuple(label for label in side.labels if label not in {a[place] for a in arms})


def _score(side: Side) -> str:
    """What decides a study, where it is a score with an interval."""
    of, _, score = side.study.primary.partition(".")
    named = of in (LOCAL, *side.study.hidden) and score in metrics
    return score if named and metrics[score].traits.get("interval") != "none" else ""


def _sets(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, frozenset[str]]:
    """Name of a set in a study → its keys, of each fold."""
    found: dict[str, set[str]] = {}
    for trials in outcomes.values():
        for outcome in trials:
            for name, key in outcome.planned.sets.items():
                found.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def _apart(sets: Mapping[str, object], shared: Sequence[tuple[str, str]], place: int) -> tuple[str, ...]:
    known = {pair[place] for pair in shared}
    return tuple(_called(name) for name in sets if name not in known)


def _called(name: str) -> str:
    return LOCAL if name == TEST else name


def _renamed(trials: Sequence[Outcome], shared: Sequence[tuple[str, str]]) -> tuple[Outcome, ...]:
    """Trials of the second study, with the first one's names for the sets that both have."""

    def renamed(o: Outcome) -> Outcome:
        sets = {ours: o.planned.sets[theirs] for ours, theirs in shared if theirs in o.planned.sets}
        return replace(o, planned=o.planned.model_copy(update={"sets": sets}))

    return tuple(map(renamed, trials))


def _pair(
    arms: tuple[str, str],
    sets: tuple[str, str],
    score: str,
    evidence: Evidence,
    both: Mapping[str, Sequence[Outcome]],
) -> Pair:
    measure, labels = Measure("score", sets[0], score), (f"0/{arms[0]}", f"1/{arms[1]}")
    contrast = evidence.contrast(labels[1], labels[0], measure)
    values = [Mean.over(evidence.value(o, measure) for o in both[label]) for label in labels]
    ids = [{o.planned.id for o in both[label]} for label in labels]
    effect = Effect.of(contrast.of_finished, measure.unit, few=contrast.few)
    called = _called(sets[0]), _called(sets[1])
    return Pair(arms, called, score, (values[0], values[1]), effect, contrast.seeds, ids[0] == ids[1])


def _settings(first: Study, second: Study, arms: tuple[str, str]) -> Iterator[tuple[str, str, str]]:
    one, other = flat(first.arm(arms[0])), flat(second.arm(arms[1]))
    for key in dict.fromkeys([*one, *other]):
        before, after = one.get(key, "–"), other.get(key, "–")
        if before != after:
            yield key, before, after
