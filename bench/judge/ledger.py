"""The fair-tuning ledger: what each arm's search tried, what it chose, and whether the choice was free."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.judge.evidence import Evidence
from bench.judge.findings import Effect
from bench.judge.lead import Lead, lead
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import read_outcomes
from bench.judge.searched import Tuned, TunedArm, Tuning
from bench.judge.settings import spell
from bench.planned import PlanFile, PlannedSearch
from bench.registry import metrics
from bench.store import Store
from bench.study.file import Range, Tune, ranges_of, tuned_keys
from bench.study.patch import look_up
from bench.study.read import Arm, Study
from bench.tune import space
from bench.tune.candidates import Standing, distinct, expected_best, finals, goodness, standings, winner
from bench.tune.space import tuned_study

ENOUGH_TO_RANK = 40
"""Finished candidates below which a measure of a setting's importance misleads."""


def ledger(study: Study, plan: PlanFile, store: Store, evidence: Evidence) -> Tuning | None:
    """The ledger of a study that tunes.

    study      as its file says: ranges may be centred on an arm's own, untuned values
    evidence   of the replicates with each arm's own tuned values
    """
    tune = study.tune
    if tune is None or not plan.searches:
        return None
    read = functools.partial(store.sound, whole=True)
    found = {search.arm: standings(search, read, tune.metric) for search in plan.searches}
    own, shared = _effects(study, plan, store, evidence) if tune.shared else ({}, {})
    ended = {
        arm.label: [record.status for trial in arm.trials if (record := store.brief(trial.id))]
        for arm in plan.shared
    }
    arms, traits = [], metrics[tune.metric.partition(".")[2]].traits
    for search in plan.searches:
        again = finals(search, read, tune.metric)
        looked = _Looked(tune, study.arm(search.arm), search, found[search.arm], again)
        ahead = lead(again or found[search.arm], tune.metric, store) if looked.ended else None
        states = ended.get(search.arm, [])
        diverged = states.count("diverged"), len(states)
        arms.append(looked.row(ahead, own.get(search.arm), shared.get(search.arm), diverged))
    return Tuning(
        metric=tune.metric,
        unit=traits["unit"],
        lower_is_better=traits["lower_is_better"],
        sampler=spell(tune.sampler.model_dump()),
        pruner=spell(tune.pruner.model_dump()),
        candidates=tune.candidates,
        seeds=tune.seeds,
        epochs=tune.epochs,
        minutes=tune.minutes,
        finalists=max((len(search.finalists) for search in plan.searches), default=0),
        final_seeds=max((len(one.trials) for s in plan.searches for one in s.finalists), default=0),
        shared=tune.shared,
        settings=tuple(tuned_keys(tune)),
        arms=tuple(arms),
        rows=tuple((search.arm, each) for search in plan.searches for each in found[search.arm]),
        order=_order(found, tune.metric),
        settled=_settled(found, tune.metric),
        enough_to_rank=ENOUGH_TO_RANK,
    )


@dataclass(frozen=True)
class _Looked:
    """One arm's search, looked at."""

    tune: Tune
    arm: Arm
    search: PlannedSearch
    found: Sequence[Standing]
    finals: Sequence[Standing]

    @property
    def lost(self) -> int:
        """Candidates and finalists of a search that had ended, whose record or files are gone since."""
        missing = [each for each in (*self.found, *self.finals) if each.state == "missing"]
        return len(missing) if self.search.ended else 0

    @property
    def ended(self) -> bool:
        """Everything that it chose from is there."""
        return self.search.ended and not self.lost

    def row(
        self, lead: Lead | None, own: Effect | None, shared: Effect | None, diverged: tuple[int, int]
    ) -> TunedArm:
        """The arm's line in the ledger."""
        states = Counter(each.state for each in self.found)
        done = [each for each in distinct(self.found) if each.state == "done"]
        half = winner(self.found[: len(self.found) // 2], self.tune.metric)
        top = winner(self.found, self.tune.metric) if self.ended else None
        return TunedArm(
            label=self.arm.label,
            ended=self.ended,
            lost=self.lost,
            tried=len(self.found) - states["missing"],
            done=states["done"],
            repeats=len(self.found) - len(distinct(self.found)),
            diverged=states["diverged"],
            failed=states["failed"],
            pruned=states["pruned"],
            chosen=self._chosen(),
            best=self._best(),
            lead=lead,
            curve=tuple(self._curve(done)),
            at_half=self.found[half].value if half is not None and half != top else None,
            half_settles=half is not None and half == top,
            correlations=tuple(self._correlations(done)),
            minutes=sum(each.seconds for each in (*self.found, *self.finals)) / 60,
            own=own,
            shared=shared,
            shared_diverged=diverged,
        )

    def _best(self) -> float | None:
        chosen = self.search.chosen
        again = [
            each.value for each in self.finals if each.candidate.number == chosen and each.state == "done"
        ]
        return None if chosen is None else again[0] if again else self.found[chosen].value

    def _chosen(self) -> tuple[Tuned, ...]:
        tree = self.arm.recipe.model_dump(mode="json")
        ranges = ranges_of(self.tune, self.arm.label)
        return tuple(
            Tuned(
                key,
                spell(value),
                _spelled(ranges[key], look_up(tree, key)),
                space.at_edge(ranges[key], look_up(tree, key), value),
            )
            for key, value in self.search.values.items()
        )

    def _curve(self, done: Sequence[Standing]) -> list[tuple[int, float]]:
        """Expected best of k candidates at k = 1, 2, 4, … and all."""
        values = [goodness(each.value, self.tune.metric) for each in done]
        sizes = sorted({*(2**i for i in range(len(values).bit_length()) if 2**i <= len(values)), len(values)})
        turned = [(k, expected_best(values, k)) for k in sizes if k]
        return [(k, goodness(best, self.tune.metric)) for k, best in turned]  # turned back

    def _correlations(self, done: Sequence[Standing]) -> list[tuple[str, float]]:
        """Rank correlation of each ordered setting with the metric, more being better."""
        if len(done) < ENOUGH_TO_RANK:
            return []
        tree = self.arm.recipe.model_dump(mode="json")
        found = []
        for key, scale in ranges_of(self.tune, self.arm.label).items():
            base = look_up(tree, key)
            where = [space.position(scale, base, each.candidate.values[key]) for each in done]
            known = [place for place in where if place is not None]
            if len(known) == len(done):
                found.append(
                    (key, _rank_correlation(known, [goodness(e.value, self.tune.metric) for e in done]))
                )
        return found


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's; 0 where one of the two does not vary."""
    from scipy.stats import spearmanr

    if min(a) == max(a) or min(b) == max(b):
        return 0.0
    return float(spearmanr(a, b).statistic)


def _spelled(scale: Range, base: object) -> str:
    if scale.choices is not None:
        return " | ".join(spell(choice) for choice in scale.choices)
    assert isinstance(base, int | float)
    low, high = scale.extremes(base)
    return f"{low:.3g} to {high:.3g}" + (", log" if scale.log else "")


def _ranking(found: Mapping[str, Sequence[Standing]], metric: str, share: float) -> tuple[str, ...]:
    """The arms by the best of the first of their candidates, best first; empty where it cannot be told.

    Only of candidates that could change it: finished ones, and none that repeats another's settings. An arm
    without a second such candidate leaves nothing to compare.
    """
    could = {arm: [e for e in distinct(all_of) if e.state == "done"] for arm, all_of in found.items()}
    if min(map(len, could.values()), default=0) < 2:
        return ()
    tops = {
        arm: max(goodness(each.value, metric) for each in some[: max(1, int(len(some) * share))])
        for arm, some in could.items()
    }
    return tuple(sorted(tops, key=lambda arm: -tops[arm]))


def _order(found: Mapping[str, Sequence[Standing]], metric: str) -> tuple[str, ...] | None:
    """The arms by their best candidate, if the first half of the candidates would order them otherwise."""
    half = _ranking(found, metric, 0.5)
    return half if half and half != _ranking(found, metric, 1.0) else None


def _settled(found: Mapping[str, Sequence[Standing]], metric: str) -> bool:
    """Whether half the candidates order two or more arms as all of them do."""
    half = _ranking(found, metric, 0.5)
    return len(half) > 1 and half == _ranking(found, metric, 1.0)


def _effects(
    study: Study, plan: PlanFile, store: Store, evidence: Evidence
) -> tuple[dict[str, Effect | None], dict[str, Effect | None]]:
    """Each arm against the baseline on the primary metric: tuned itself, and with the baseline's values."""
    values = {search.arm: search.values for search in plan.searches}
    metric = parse(study.primary, study.sets)
    labels = [arm.label for arm in plan.shared]
    tuned = {label: _effect(evidence, label, study.baseline, metric) for label in labels}
    if not labels or study.tune is None:
        return tuned, {}
    base = values[study.baseline]
    common = {label: space.shared_values(study.tune, base, label) for label in [study.baseline, *labels]}
    arms = tuple(arm for arm in plan.arms if arm.label == study.baseline) + plan.shared
    alike = plan.model_copy(update={"arms": arms})
    same = tuned_study(study, common)
    outcomes = read_outcomes(same, alike, store)
    both = Evidence(same, outcomes, store, {metric.set: (metric.score,)})
    return tuned, {label: _effect(both, label, study.baseline, metric) for label in labels}


def _effect(evidence: Evidence, arm: str, reference: str, metric: Measure) -> Effect | None:
    contrast = evidence.contrast(arm, reference, metric)
    return Effect.of(contrast.of_finished, metric.unit, few=contrast.few)
