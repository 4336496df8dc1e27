"""Study + plan + records → Document."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench import stats
from bench.judge import accounts, ensembles, factorial, robustness, settings
from bench.judge import ledger as tuning
from bench.judge.evidence import Evidence, Measure, cost, device, parse, trained
from bench.judge.findings import (
    LOCAL,
    ArmRow,
    ClassRow,
    Document,
    Effect,
    Finding,
    Ingredient,
    Mean,
    Noise,
    Provenance,
    Rules,
    ScoreRow,
    TrialNote,
)
from bench.judge.looks import SequentialRulings
from bench.judge.outcomes import Outcome, Outcomes, count, notes, read_outcomes
from bench.judge.rulings import Rulings, references, wanted_scores
from bench.plan import AGAIN, TEST, PlanFile, look_seeds
from bench.registry import metrics
from bench.store import Record, Store
from bench.study.file import AGAIN_SEEDS
from bench.study.read import Study
from bench.tune.space import tuned_study

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "worst_recall", "ece")
"""Scores in every table, in this order; others a record holds follow by name."""


def build(study: Study, plan: PlanFile, store: Store) -> Document:
    """Everything the report says. ``study`` is as its file says; what tuning chose stands in the plan."""
    written = study
    study = tuned_study(written, {search.arm: search.values for search in plan.searches})
    if plan.looks:
        study = study.model_copy(update={"seeds": look_seeds(study, plan.looks, plan)})
    outcomes = read_outcomes(study, plan, store)
    evidence = Evidence(study, outcomes, store, wanted_scores(study))
    rulings = SequentialRulings(study, evidence, plan.looks) if plan.looks else Rulings(study, evidence)
    primary = parse(study.primary, [TEST, *study.hidden])
    gap_set = primary.set if primary.set in study.hidden else next(iter(study.hidden), None)
    findings: dict[str, Finding] = {}
    for label, reference in references(study):
        findings.setdefault(label, rulings.finding((label, reference, study.primary)))
    order = [study.baseline, *sorted(findings, key=lambda label: _rank(findings[label]))]
    names = _metrics(outcomes)
    outcomes = {label: outcomes[label] for label in order}
    return Document(
        study=study.name,
        question=study.question,
        baseline=study.baseline,
        smoke=plan.smoke,
        rules=_rules(study, plan, rulings.family),
        sets=(LOCAL, *study.hidden),
        gap_set=gap_set,
        metrics=names,
        units=tuple((n, u) for n in names if (u := metrics[n].traits["unit"]) != "share"),
        arms=tuple(_arm_row(label, study, evidence, findings.get(label), gap_set) for label in order),
        findings=tuple(findings[label] for label in order[1:]),
        claims=tuple(rulings.claim(claim) for claim in study.claims),
        scores=tuple(_score_rows(order, study, evidence, names)),
        corrupted=robustness.corrupted_sets(study, evidence, order),
        classes=_class_rows(order, outcomes, primary.set or TEST),
        notes=notes(outcomes) + _unreadable(evidence) + _unscored(outcomes),
        fixed=settings.shared(study),
        changes=settings.changes(study, order),
        confounds=settings.confounds(study, outcomes, order) + _untuned(plan),
        cost_confounds=settings.cost_confounds(outcomes),
        not_judged=tuple(_not_judged(study)),
        provenance=_provenance(study, plan, outcomes),
        tuning=tuning.ledger(written, plan, store, evidence),
        again=_again(study, plan, store, evidence, gap_set),
        factor_effects=factorial.factor_effects(study, evidence),
        ingredients=_ingredients(study, rulings),
        ensembles=ensembles.rows(study, outcomes, store),
        noise=tuple(_noise(study, plan, evidence)),
    )


def _rank(finding: Finding) -> tuple[bool, float, str]:
    """Best effect first, arms without one last, ties by name."""
    effect = finding.effect
    return effect is None, -effect.mean if effect else 0.0, finding.arm


def _rules(study: Study, plan: PlanFile, family: int) -> Rules:
    replicates = max(len(arm.trials) for arm in plan.arms)
    return Rules(
        primary=study.primary,
        family=family,
        delta_local=study.delta.local,
        delta_hidden=study.delta.hidden,
        seeds=study.seeds,
        folds=study.folds.k if study.folds else None,
        replicates=replicates,
        divergence_bound=stats.diverged_share(0, max(1, replicates)).high,
        looks=tuple(zip(plan.looks, stats.levels(len(plan.looks)), strict=True)) if plan.looks else (),
    )


def _metrics(outcomes: Outcomes) -> tuple[str, ...]:
    every = {name for record in _done(outcomes) for scores in record.scores.values() for name in scores}
    stored = {name for name in every if name in metrics}  # others are another study's own
    return (*(name for name in METRICS if name in stored), *sorted(stored - set(METRICS)))


def _done(outcomes: Outcomes) -> list[Record]:
    return [o.record for trials in outcomes.values() for o in trials if o.state == "done" and o.record]


def _scores(trials: Sequence[Outcome], name: str, metric: str) -> list[float | None]:
    """A score of each finished trial on a set."""
    return [
        o.record.scores.get(o.planned.sets.get(name, ""), {}).get(metric)
        for o in trials
        if o.state == "done" and o.record
    ]


def _recalls(trials: Sequence[Outcome], name: str) -> dict[str, float]:
    """Mean recall of each class over finished trials, in the order of the classes."""
    found: dict[str, list[float]] = {}
    for outcome in trials:
        if outcome.state == "done" and outcome.record:
            for label, value in outcome.record.recalls.get(outcome.planned.sets.get(name, ""), {}).items():
                found.setdefault(label, []).append(value)
    return {label: statistics.fmean(values) for label, values in found.items()}


def _arm_row(
    label: str, study: Study, evidence: Evidence, finding: Finding | None, gap_set: str | None
) -> ArmRow:
    trials = evidence.outcomes[label]
    done = [o for o in trials if o.state == "done"]
    primary = parse(study.primary, [TEST, *study.hidden])
    recalls = _recalls(trials, primary.set or TEST)
    records = [o.record for o in done if o.record]
    seconds = Mean.over(cost(o, "seconds") for o in done)
    epochs = Mean.over(trained(o, "epochs") for o in done)
    speed = Mean.over(record.timings.get("images_per_s") for record in records)
    return ArmRow(
        label=label,
        is_baseline=label == study.baseline,
        accuracies=tuple(Mean.over(_scores(trials, name, "accuracy")) for name in (TEST, *study.hidden)),
        intervals=tuple(Effect.of(evidence.mean(label, name)) for name in (TEST, *study.hidden)),
        ece=Mean.over(_scores(trials, primary.set or TEST, "ece")),
        finding=finding,
        gap=Effect.of(evidence.gap(label, gap_set)) if gap_set else None,
        worst=min(recalls.items(), key=lambda item: (item[1], item[0])) if recalls else None,
        seeds=count(trials),
        parameters=settings.parameters(trials),
        epochs=epochs.mean if epochs else None,
        seconds=seconds.mean if seconds else None,
        memory_mb=max((max(r.memory.values()) for r in records if r.memory), default=None),
        trained_parameters=max((r.trainable_parameters or 0 for r in records), default=0) or None,
        flops=max((r.flops or 0 for r in records), default=0) or None,
        images_per_s=speed.mean if speed else None,
    )


def _again(
    study: Study, plan: PlanFile, store: Store, evidence: Evidence, gap_set: str | None
) -> ArmRow | None:
    """The A/A row: the baseline against itself on the same splits. An interval, no verdict."""
    if plan.again is None:
        return None
    repeated = read_outcomes(study, plan.model_copy(update={"arms": (plan.again,)}), store)[study.baseline]
    paired = tuple(
        replace(o, planned=o.planned.model_copy(update={"seed": o.planned.seed - AGAIN_SEEDS}))
        for o in repeated
    )
    label = study.baseline + AGAIN
    outcomes = {study.baseline: evidence.outcomes[study.baseline], label: paired}
    both = Evidence(study, outcomes, store, wanted_scores(study))
    contrast = both.contrast(label, study.baseline, parse(study.primary, [TEST, *study.hidden]))
    finding = Finding(
        arm=label,
        reference=study.baseline,
        metric=study.primary,
        verdict="noise floor",
        detail="",
        effect=Effect.of(contrast.of_finished),
        if_converges=False,
        dagger=False,
        seeds=contrast.seeds,
    )
    return _arm_row(label, study, both, finding, gap_set)


def _score_rows(
    order: Sequence[str], study: Study, evidence: Evidence, names: Sequence[str]
) -> Iterable[ScoreRow]:
    for name in (TEST, *study.hidden):
        for label in order:
            trials = evidence.outcomes[label]
            effect = None
            if label != study.baseline:
                contrast = evidence.contrast(label, study.baseline, Measure("score", name))
                effect = Effect.of(contrast.of_finished)
            yield ScoreRow(
                arm=label,
                set=LOCAL if name == TEST else name,
                scores=tuple(Mean.over(_scores(trials, name, metric)) for metric in names),
                interval=Effect.of(evidence.mean(label, name)),
                effect=effect,
            )


def _class_rows(order: Sequence[str], outcomes: Outcomes, name: str) -> tuple[ClassRow, ...]:
    by_arm = {label: _recalls(outcomes[label], name) for label in order}
    classes = dict.fromkeys(label for recalls in by_arm.values() for label in recalls)
    return tuple(ClassRow(c, tuple(by_arm[label].get(c) for label in order)) for c in classes)


def _unreadable(evidence: Evidence) -> tuple[TrialNote, ...]:
    return tuple(
        TrialNote(arm, *o.replicate, "done, not compared", evidence.unreadable[o.planned.id], o.planned.id)
        for arm, trials in evidence.outcomes.items()
        for o in trials
        if o.planned.id in evidence.unreadable
    )


def _unscored(outcomes: Outcomes) -> tuple[TrialNote, ...]:
    """Finished trials that were never scored on one of the study's sets."""
    found = []
    for arm, trials in outcomes.items():
        for o in trials:
            if o.state != "done" or o.record is None:
                continue
            names = [name for name, key in o.planned.sets.items() if key not in o.record.scores]
            if names:
                text = "not scored on " + ", ".join(LOCAL if name == TEST else name for name in names)
                found.append(TrialNote(arm, *o.replicate, "done, not scored", text, o.planned.id))
    return tuple(found)


def _untuned(plan: PlanFile) -> tuple[tuple[str, str], ...]:
    """Arms whose search came to nothing, unlike the others'."""
    return tuple(
        (search.arm, f"whether it was tuned: none of its {len(search.candidates)} candidates finished")
        for search in plan.searches
        if search.ended and search.chosen is None
    )


def _ingredients(study: Study, rulings: Rulings) -> tuple[Ingredient, ...]:
    """What each ingredient of an add-and-remove study does alone, and what its absence does."""
    full = factorial.full_arm(study)
    if full is None:
        return ()
    added = {level: label for label, level in factorial.additions(study).items()}
    removed = {level: label for label, level in factorial.removals(study).items()}
    return tuple(
        Ingredient(
            *level,
            rulings.finding((added[level], study.baseline, study.primary)) if level in added else None,
            rulings.finding((removed[level], full.label, study.primary)) if level in removed else None,
        )
        for level in dict.fromkeys([*added, *removed])
    )


def _noise(study: Study, plan: PlanFile, evidence: Evidence) -> Iterable[Noise]:
    """Variances of the finished comparisons with the baseline, by set; folds have others."""
    if study.folds is not None:
        return
    others = [arm.label for arm in study.arms if arm.label != study.baseline]
    keys = {name: key for arm in plan.arms for trial in arm.trials for name, key in trial.sets.items()}
    primary = parse(study.primary, [TEST, *study.hidden])
    metrics = [Measure("score", name) for name in (TEST, *study.hidden)]
    for metric in dict.fromkeys([*metrics, *([primary] if primary.kind == "score" else [])]):
        contrasts = [evidence.contrast(label, study.baseline, metric) for label in others]
        intervals = (contrast.of_finished for contrast in contrasts)
        found = [one for one in intervals if one and one.seeds >= stats.FEWEST_SEEDS]
        if found:
            sigma, f = zip(*map(stats.measured, found), strict=True)
            yield Noise(
                set=LOCAL if metric.set == TEST else metric.set,
                key=keys[metric.set],
                metric=metric.score,
                sigma=math.sqrt(statistics.fmean(one**2 for one in sigma)),
                f=statistics.fmean(f),
                seeds=min(interval.seeds for interval in found),
                images=found[0].items,
            )


def _not_judged(study: Study) -> Iterable[str]:
    """What the study asks for and this report does not judge, never silently."""
    if study.ensembles and study.folds:
        yield "ensembles: no two folds' models are tested on the same images"


def _sets(plan: PlanFile) -> Iterable[tuple[str, str]]:
    """What each scored set is called, and its key; one for each fold where they differ."""
    trials = next((arm.trials for arm in plan.arms if arm.trials), ())  # none while every arm is tuned
    for name in trials[0].sets if trials else ():
        called = LOCAL if name == TEST else name
        keys = {trial.fold: trial.sets[name] for trial in trials}
        if len(set(keys.values())) == 1:
            yield called, trials[0].sets[name]
        else:
            yield from ((f"{called}, fold {fold}", key) for fold, key in keys.items())


def _provenance(study: Study, plan: PlanFile, outcomes: Outcomes) -> Provenance:
    records = [o.record for trials in outcomes.values() for o in trials if o.record]
    libraries: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.libraries.items():
            libraries.setdefault(name, set()).add(version)
    sizes = {key: size for record in records for key, size in record.sizes.items()}
    done = [o for trials in outcomes.values() for o in trials if o.record]
    return Provenance(
        source=study.data.source,
        synthetic=study.data.source == "synthetic",
        data_fingerprint=plan.data_fingerprint,
        sets=tuple((name, key, sizes.get(key)) for name, key in _sets(plan)),
        classes=tuple(next((record.classes for record in records if record.classes), [])),
        libraries=tuple((name, ", ".join(sorted(found))) for name, found in sorted(libraries.items())),
        commits=tuple(sorted({record.commit for record in records if record.commit})),
        machines=tuple(sorted({device(o) for o in done})),
        attempts=sum(record.attempts > 1 for record in records),
        images=tuple(line for account in plan.accounts for line in accounts.lines(account)),
    )
