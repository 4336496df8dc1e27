"""Study + plan + records → Document."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench import stats
from bench.judge import claims, gates, ledger, methods, origins, promise, robustness, settings
from bench.judge.basis import Rules, Size
from bench.judge.beside import Beside
from bench.judge.declared import read_declared
from bench.judge.evidence import Evidence
from bench.judge.family import references, wanted_scores
from bench.judge.findings import LOCAL, ArmRow, Document, Effect, Finding, Mean, mean_of
from bench.judge.folder import looked
from bench.judge.looks import SequentialRulings
from bench.judge.measure import Measure, parse
from bench.judge.origins import called_groups
from bench.judge.outcomes import Outcome, Outcomes, cost, count, read_outcomes, trained
from bench.judge.rulings import Rulings
from bench.judge.tables import asked, ensembles, factors, noise, ordered, slices, trials
from bench.plan import AGAIN, TEST
from bench.planned import PlanFile, look_seeds
from bench.registry import metrics
from bench.store import Record, Store
from bench.study.file import AGAIN_SEEDS
from bench.study.read import Study
from bench.tune.space import tuned_study

REFERENCE = "reference"
"""A results folder of this name lies in another one, and so one folder deeper."""
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "worst_recall", "ece")
"""Scores in every table, in this order; others a record holds follow by name."""


def judged(written: Study, plan: PlanFile, store: Store) -> Rulings:
    """A study's comparisons, judged. As its file says; what tuning chose stands in the plan."""
    study = tuned_study(written, {search.arm: search.values for search in plan.searches})
    if plan.looks:
        seeds = look_seeds(study, plan.looks, plan)
        study = study.model_copy(update={"seeds": seeds, "further_seeds": ()})
    outcomes = read_outcomes(study, plan, store)
    declared = None if plan.smoke else read_declared(store.study_dir(study.name))
    further = [metric for _, _, metric in declared.comparisons] if declared else ()
    promised = study.further_seeds if declared is None else declared.further_seeds
    as_declared = study.model_copy(update={"further_seeds": promised})
    evidence = Evidence(as_declared, outcomes, store, wanted_scores(study, further))
    if plan.looks:
        return SequentialRulings(study, evidence, plan.looks, declared)
    return Rulings(study, evidence, declared)


def build(written: Study, plan: PlanFile, store: Store) -> Document:
    """Everything the report says. ``written`` is as in ``judged``."""
    rulings = judged(written, plan, store)
    study, evidence, outcomes = rulings.study, rulings.evidence, rulings.evidence.outcomes
    primary = parse(study.primary, study.sets)
    gap_set = primary.set if primary.set in study.hidden else next(iter(study.hidden), None)
    gap_set = gap_set if TEST in study.sets else None
    findings: dict[str, Finding] = {}
    for label, reference in references(study) if study.design != "screen" else ():
        findings.setdefault(label, rulings.finding((label, reference, study.primary)))
    order = _order(study, evidence, findings)
    names = _metrics(outcomes)
    measured = _Measured(study, evidence, rulings.beside, names, gap_set)
    document = Document(
        study=study.name,
        question=study.question,
        baseline=study.baseline,
        smoke=plan.smoke,
        rules=_rules(study, plan, rulings, evidence),
        sets=tuple(LOCAL if name == TEST else name for name in study.sets),
        where=measured.where,
        sizes=dict(_sizes(study, evidence)),
        gap_set=gap_set,
        metrics=names,
        units={name: unit for name in names if (unit := metrics[name].traits["unit"]) != "share"},
        arms=tuple(measured.row(label, findings.get(label)) for label in order),
        claims=tuple(claims.judge(rulings, claim) for claim in study.claims),
        promise=promise.kept(rulings),
        corrupted=robustness.corrupted_sets(study, evidence, rulings.beside, order),
        notes=trials.notes({label: outcomes[label] for label in order}, evidence.rows.unreadable),
        fixed=settings.shared(study),
        changes=settings.changes(study, order),
        confounds=settings.confounds(study, outcomes, order) + _untuned(plan),
        cost_confounds=settings.cost_confounds(outcomes),
        not_judged=tuple(_not_judged(study)),
        provenance=origins.of_results(study, plan, outcomes, evidence),
        tuning=ledger.ledger(written, plan, store, evidence),
        again=_again(measured, plan, store),
        factor_effects=factors.find_effects(study, evidence, rulings),
        trends=ordered.find_trends(study, evidence),
        screen=factors.find_screen(study, rulings),
        ladder=factors.find_rungs(study, rulings, settings.rungs(study)),
        ingredients=factors.find_ingredients(study, rulings),
        ensembles=ensembles.rows(study, outcomes, store),
        noise=tuple(noise.measure_noise(study, plan, evidence)),
        looked=looked(plan, store),
        gates=tuple(gates.judged(gate, rulings.finding(gate.key)) for gate in study.gates),
        elsewhere=study.elsewhere,
        asked=asked.rows(study, evidence, order, _classes(outcomes)),
        slices=slices.rows(study, evidence, order),
    )
    if store.root.name == REFERENCE:  # it lies in another results folder
        document = replace(document, docs=f"../{document.docs}")
    return document if plan.smoke else replace(document, methods=methods.sentences(study, plan, document))


def _sizes(study: Study, evidence: Evidence) -> Iterable[tuple[str, Size]]:
    """What a set is called, and how large it is, of every set that a trial was scored on."""
    every = [o for trials in evidence.outcomes.values() for o in trials]
    for name in study.sets:
        images, groups = evidence.rows.size(every, name)
        if images:
            yield LOCAL if name == TEST else name, Size(images, groups, called_groups(study, name))


def _classes(outcomes: Outcomes) -> list[str]:
    """Names of the classes, in the order of the labels; none before a trial has finished."""
    return next((record.classes for record in _done(outcomes) if record.classes), [])


def _order(study: Study, evidence: Evidence, findings: Mapping[str, Finding]) -> list[str]:
    """The baseline, then the arms by their effect, best first, those without one last, ties by name.

    A ladder's rungs stay in their order; a screen's arms, of which none is judged, go by what was seen.
    """
    metric, others = parse(study.primary, study.sets), [arm.label for arm in study.arms]
    others.remove(study.baseline)
    if study.design == "ladder":
        return [study.baseline, *others]
    seen = {label: finding.effect for label, finding in findings.items()}
    if not seen:
        contrasts = ((label, evidence.contrast(label, study.baseline, metric)) for label in others)
        seen = {label: Effect.of(contrast.of_finished) for label, contrast in contrasts}
    sign = 1 if metric.lower_is_better else -1

    def rank(label: str) -> tuple[bool, float, str]:
        effect = seen[label]
        return effect is None, sign * effect.mean if effect else 0.0, label

    return [study.baseline, *sorted(others, key=rank)]


def _rules(study: Study, plan: PlanFile, rulings: Rulings, evidence: Evidence) -> Rules:
    replicates = max(len(arm.trials) for arm in plan.arms)
    return Rules(
        primary=study.primary,
        family=rulings.family,
        delta_local=rulings.delta.local,
        delta_hidden=rulings.delta.hidden,
        seeds=study.seeds,
        further_seeds=study.further_seeds,
        folds=study.folds.k if study.folds else None,
        replicates=replicates,
        divergence_bound=stats.diverged_share(0, max(1, replicates)).high,
        coarse=tuple(_coarse(study, rulings, evidence)),
        nights=plan.nights,
        reported=_reported(study, plan, evidence),
        looks=tuple(zip(plan.looks, stats.levels(len(plan.looks)), strict=True)) if plan.looks else (),
    )


def _reported(study: Study, plan: PlanFile, evidence: Evidence) -> tuple[int, ...]:
    """Seeds of reports that ``--hours`` left, but for the one that is made now."""
    arms = [evidence.outcomes[arm.label] for arm in study.arms if arm.label != study.baseline]
    now = max((sum(o.state in ("done", "diverged") for o in of_arm) for of_arm in arms), default=0)
    before = {night.seeds[1] for night in plan.nights} if not plan.looks else set()
    return tuple(sorted(n for n in before if stats.FEWEST_SEEDS <= n < now))


def _coarse(study: Study, rulings: Rulings, evidence: Evidence) -> Iterable[tuple[str, int]]:
    """Sets that decide something by a δ that is finer than one of their items."""
    every = [o for trials in evidence.outcomes.values() for o in trials]
    declared = (parse(metric, rulings.sets) for _, _, metric in rulings.keys)
    whole = (one for one in declared if one.kind == "score" and one.slice is None)
    for name in dict.fromkeys(one.set for one in whole if one.unit == "points"):
        delta = study.delta.local if name == TEST else study.delta.hidden
        items = evidence.rows.items(every, name)
        if items and items * delta < 100:
            yield LOCAL if name == TEST else name, items


def _metrics(outcomes: Outcomes) -> tuple[str, ...]:
    every = {name for record in _done(outcomes) for scores in record.scores.values() for name in scores}
    stored = {name for name in every if name in metrics}  # others are another study's own
    return (*(name for name in METRICS if name in stored), *sorted(stored - set(METRICS)))


def _done(outcomes: Outcomes) -> list[Record]:
    return [o.record for trials in outcomes.values() for o in trials if o.state == "done" and o.record]


@dataclass(frozen=True)
class _Measured:
    """What the trials of a study measured."""

    study: Study
    evidence: Evidence
    beside: Beside | None
    """None: differences are told as they are, of the baseline trained again."""
    metrics: tuple[str, ...]
    gap_set: str | None

    @property
    def where(self) -> str:
        """The set of the primary metric, as the report calls it."""
        name = parse(self.study.primary, self.study.sets).set or TEST
        return LOCAL if name == TEST else name

    def row(self, label: str, finding: Finding | None) -> ArmRow:
        """One arm's."""
        trials, baseline = self.evidence.outcomes[label], self.study.baseline
        seconds, base = self._seconds(label), self._baseline_seconds
        where = TEST if self.where == LOCAL else self.where
        recalls = _recalls(trials, where)
        sets = {LOCAL if name == TEST else name: name for name in self.study.sets}
        return ArmRow(
            label=label,
            is_baseline=label == baseline,
            trials=trials,
            seeds=count(trials),
            scores={called: self._scores(label, called, name) for called, name in sets.items()},
            effects={called: self._effect(label, name) for called, name in sets.items()},
            recalls={name: mean for name, mean in recalls.items() if mean},
            class_sizes={
                name: Size(*counts, called_groups(self.study, where))
                for name, counts in self.evidence.rows.class_sizes(trials, where).items()
            },
            finding=finding,
            primary=self._primary(label),
            gap=self._gap(label, self.gap_set) if self.gap_set else None,
            flops=max((o.record.flops or 0 for o in trials if o.record), default=0) or None,
            seconds=seconds,
            slowdown=seconds.mean / base.mean if seconds and base and label != baseline else None,
            epochs=mean_of(trials, lambda o: trained(o, "epochs")),
            images_per_s=mean_of(
                trials, lambda o: o.record.timings.get("images_per_s") if o.record else None
            ),
        )

    def _seconds(self, label: str) -> Mean | None:
        return mean_of(self.evidence.outcomes[label], lambda o: cost(o, "seconds"))

    @functools.cached_property
    def _baseline_seconds(self) -> Mean | None:
        return self._seconds(self.study.baseline)

    def _scores(self, label: str, called: str, name: str) -> dict[str, Mean | None]:
        trials, found = self.evidence.outcomes[label], {}
        for metric in self.metrics:
            values = (o.score(called, metric) for o in trials)
            if metric == "accuracy":
                least = self.evidence.at_least(label, name)
                found[metric] = Mean.over(
                    values, self.evidence.mean(label, name), least, scale=Measure("score", name).scale
                )
            else:
                found[metric] = Mean.over(values)
        return found

    def _primary(self, label: str) -> Mean | None:
        """What decides, of one arm alone; None of accuracy, which is told anyway, and of what is no score."""
        metric, trials = parse(self.study.primary, self.study.sets), self.evidence.outcomes[label]
        if metric.kind != "score" or metric.score == "accuracy":
            return None
        few = self.evidence.few_wrong(label, metric)
        interval = None if few else self.evidence.mean(label, metric.set, metric.score)
        return Mean.over((self.evidence.value(o, metric) for o in trials), interval, scale=metric.scale)

    def _effect(self, label: str, name: str) -> Effect | None:
        if label == self.study.baseline:
            return None
        measure = Measure("score", name)
        if self.beside:
            return self.beside.effect(label, self.study.baseline, measure)
        contrast = self.evidence.contrast(label, self.study.baseline, measure)
        return Effect.of(contrast.of_finished, few=contrast.few)

    def _gap(self, label: str, name: str) -> Mean | None:
        both = [[o.score(one, "accuracy") for one in (LOCAL, name)] for o in self.evidence.outcomes[label]]
        gaps = (None if here is None or there is None else here - there for here, there in both)
        return Mean.over(gaps, self.evidence.gap(label, name), scale=Measure("gap", name).scale)


def _recalls(trials: Iterable[Outcome], name: str) -> dict[str, Mean | None]:
    """Mean recall of each class over finished trials, in the order of the classes."""
    every = [
        o.record.recalls.get(o.planned.sets.get(name, ""), {}) if o.state == "done" and o.record else {}
        for o in trials
    ]
    classes = dict.fromkeys(label for recalls in every for label in recalls)
    return {label: Mean.over(recalls.get(label) for recalls in every) for label in classes}


def _again(measured: _Measured, plan: PlanFile, store: Store) -> ArmRow | None:
    """The A/A row: the baseline against itself on the same splits. An interval, no verdict."""
    if plan.again is None:
        return None
    study = measured.study
    repeated = read_outcomes(study, plan.model_copy(update={"arms": (plan.again,)}), store)[study.baseline]
    # Under the seed of the replicate it repeats, so that the two are a pair.
    paired = tuple(
        replace(o, planned=o.planned.model_copy(update={"seed": o.planned.seed - AGAIN_SEEDS}))
        for o in repeated
    )
    label = study.baseline + AGAIN
    outcomes = {study.baseline: measured.evidence.outcomes[study.baseline], label: paired}
    both = Evidence(study, outcomes, store, wanted_scores(study))
    primary = parse(study.primary, study.sets)
    contrast = both.contrast(label, study.baseline, primary)
    finding = Finding(
        arm=label,
        reference=study.baseline,
        metric=study.primary,
        verdict="noise floor",
        detail="",
        effect=Effect.of(contrast.of_finished, primary.unit, few=contrast.few),
        if_converges=False,
        dagger=False,
        seeds=contrast.seeds,
    )
    return replace(measured, evidence=both, beside=None).row(label, finding)


def _untuned(plan: PlanFile) -> tuple[tuple[str, str], ...]:
    """Arms whose search came to nothing, unlike the others'."""
    return tuple(
        (search.arm, f"whether it was tuned: none of its {len(search.candidates)} candidates finished")
        for search in plan.searches
        if search.ended and search.chosen is None
    )


def _not_judged(study: Study) -> Iterable[str]:
    """What the study asks for and this report does not judge, never silently."""
    if study.ensembles and study.folds:
        yield "ensembles: no two folds' models are tested on the same images"
