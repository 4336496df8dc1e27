"""A Document's tables as CSV: the numbers unrounded, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from bench.judge.findings import CorruptedArm, CorruptedSet, Document, Effect, Finding, Mean, Tuning
from bench.report.text import seeds

Row = Sequence[object]
NOISE = ("set", "metric", "key", "sigma", "f", "seeds", "images")
"""Columns of what ``bench plan`` reads to tell what a study like this one can detect."""


def tables(document: Document, *, cost: bool = True) -> dict[str, str]:
    """CSV text by table name. ``cost=False`` leaves out what may differ between equal results."""
    found = {
        "arms": _arms(document, cost),
        "scores": _scores(document),
        "classes": _classes(document),
        "claims": _claims(document, cost),
        "trials": _trials(document),
        "settings": [("arm", "setting", "baseline", "here"), *map(_change, document.changes)],
    }
    if document.tuning:
        found["candidates"] = _candidates(document.tuning, cost)
    if document.noise:
        found["noise"] = [NOISE, *(tuple(getattr(row, name) for name in NOISE) for row in document.noise)]
    if document.corrupted:
        found |= {"robustness": _robustness(document), "corruptions": _corruptions(document)}
    return {name: spell(rows) for name, rows in found.items()}


def _candidates(tuning: Tuning, cost: bool) -> list[Row]:
    keys = tuning.settings
    head = ("arm", "candidate", "state", tuning.metric, *keys, "why", "trial") + ("seconds",) * cost
    rows: list[Row] = [head]
    for row in tuning.rows:
        values = dict(row.settings)
        cells = (row.arm, row.number, row.state, row.value, *map(values.get, keys), row.why, row.id)
        rows.append(cells + (row.seconds,) * cost)
    return rows


def spell(rows: Iterable[Row]) -> str:
    """Rows as CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> str:
    """A value as text; what a spreadsheet would run as a formula gets a quote in front."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _mean(value: Mean | None) -> Row:
    return (value.mean, value.sd, value.seeds) if value else (None, None, None)


def _effect(value: Effect | None) -> Row:
    return (value.mean, value.low, value.high) if value else (None, None, None)


def _finding(finding: Finding | None) -> Row:
    if finding is None:
        return (None,) * 7
    dagger, conditional = ("yes" if flag else "no" for flag in (finding.dagger, finding.if_converges))
    return (*_effect(finding.effect), finding.verdict, dagger, conditional, finding.detail)


FINDING = ("effect", "low", "high", "verdict", "dagger", "if_converges", "detail")


def _arms(document: Document, cost: bool) -> Iterable[Row]:
    means = [
        f"{name}_{part}" for name in document.sets for part in ("accuracy", "sd", "seeds", "low", "high")
    ]
    costs = ("train_seconds", "images_per_s", "peak_memory_mb") if cost else ()
    yield ("arm", "baseline", *means, *FINDING, "gap", "gap_low", "gap_high", "worst_class", "worst_recall",
           "ece", "seeds", "parameters", "trained_parameters", "flops", "epochs", *costs)  # fmt: skip
    for arm in document.arms:
        accuracies = [
            value
            for mean, interval in zip(arm.accuracies, arm.intervals, strict=True)
            for value in (*_mean(mean), *_effect(interval)[1:])
        ]
        worst = arm.worst or (None, None)
        measured = (arm.seconds, arm.images_per_s, arm.memory_mb) if cost else ()
        head = (arm.label, "yes" if arm.is_baseline else "no", *accuracies, *_finding(arm.finding))
        sizes = (arm.parameters, arm.trained_parameters, arm.flops)
        tail = (seeds(arm.seeds), *sizes, arm.epochs, *measured)
        ece = arm.ece.mean if arm.ece else None
        yield (*head, *_effect(arm.gap), *worst, ece, *tail)


def _scores(document: Document) -> Iterable[Row]:
    names = [f"{metric}{part}" for metric in document.metrics for part in ("", "_sd", "_seeds")]
    yield ("set", "arm", *names, "accuracy_low", "accuracy_high", "effect", "effect_low", "effect_high")
    for row in document.scores:
        scores = [value for mean in row.scores for value in _mean(mean)]
        yield (row.set, row.arm, *scores, *_effect(row.interval)[1:], *_effect(row.effect))


def _robustness(document: Document) -> Iterable[Row]:
    means = [f"{name}{part}" for name in ("clean", "all", "unseen") for part in ("", "_sd", "_seeds")]
    yield ("set", "arm", "families", "seen_families", "seen", *means, "effect", "effect_low", "effect_high",
           "effect_unseen", "effect_unseen_low", "effect_unseen_high", "unseen_by_both", "be", "relative_be",
           "relative_be_families")  # fmt: skip
    for one in document.corrupted:
        for arm in one.arms:
            yield (one.name, arm.label, len(one.families), len(arm.seen), "; ".join(arm.seen),
                   *_mean(arm.clean), *_mean(arm.total), *_mean(arm.unseen_mean), *_effect(arm.effect),
                   *_effect(arm.unseen.effect if arm.unseen else None),
                   arm.unseen.families if arm.unseen else None, arm.error, arm.relative_error,
                   one.costly if one.by_family else None)  # fmt: skip


def _corruptions(document: Document) -> Iterable[Row]:
    scores = [f"{name}{part}" for name in ("accuracy", "balanced_accuracy") for part in ("", "_sd", "_seeds")]
    yield ("set", "arm", "kind", "family", "severity", "seen", *scores)
    for one in document.corrupted:
        for arm in one.arms:
            yield from _conditions(one, arm)


def _conditions(one: CorruptedSet, arm: CorruptedArm) -> Iterable[Row]:
    kinds = {family: kind for kind, family in one.families}
    for c in arm.conditions:
        known = "yes" if c.family in arm.seen else "no"
        scores = (*_mean(c.accuracy), *_mean(c.balanced_accuracy))
        yield (one.name, arm.label, kinds[c.family], c.family, c.severity, known, *scores)


def _classes(document: Document) -> Iterable[Row]:
    yield ("class", *(arm.label for arm in document.arms))
    for row in document.classes:
        yield (row.name, *row.recalls)


def _claims(document: Document, cost: bool) -> Iterable[Row]:
    yield ("claim", "expect", "metric", "outcome", "arm", "reference", *FINDING)
    for claim in document.claims:
        if claim.costs and not cost:
            continue
        head = (claim.says, claim.expect, claim.metric, claim.outcome)
        for finding in claim.pairs:
            yield (*head, finding.arm, finding.reference, *_finding(finding))
        if not claim.pairs:
            yield (*head, None, None, *_finding(None)[1:], "; ".join(claim.notes))


def _trials(document: Document) -> Iterable[Row]:
    yield ("arm", "seed", "fold", "state", "why", "trial")
    for note in document.notes:
        yield (note.arm, note.seed, note.fold, note.state, note.text, note.id)


def _change(change: object) -> Row:
    return tuple(vars(change).values())
