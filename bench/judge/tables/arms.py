"""The first table: every arm, what it scores, what that says; and the table of what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.judge.findings import ArmRow, Document, Mean
from bench.judge.settings import parameters
from bench.judge.tables.table import (
    PERCENT,
    Column,
    Table,
    arm_column,
    filed,
    finding_columns,
    first_of,
)


def _trained(arm: ArmRow) -> int | None:
    return max((r.trainable_parameters or 0 for r in arm.records), default=0) or None


def _memory(arm: ArmRow) -> float | None:
    return max((max(r.memory.values()) for r in arm.records if r.memory), default=None)


SIZES = (
    Column("parameters", "parameters", "number", lambda a: parameters(a.trials), 1, 0),
    Column("trained_parameters", "of them trained", "number", _trained, 1, 0),
    Column("flops", "GFLOPs per image", "number", lambda a: a.flops, 1e-9, 4),
    Column("epochs", "epochs", "average", lambda a: a.epochs),
    Column("train_seconds", "train s", "average", lambda a: a.seconds, cost=True),
    Column("time_ratio", "× baseline's", "number", lambda a: a.slowdown, 1, 2, cost=True),
    Column("images_per_s", "images/s", "average", lambda a: a.images_per_s, 1, 0, cost=True),
    Column("peak_memory_mb", "peak memory MB", "number", _memory, 1, 0, cost=True),
)
BELOW = ("parameters", "train_seconds", "time_ratio")
"""Those that are printed with the first table's further columns; its file has all."""


def table(d: Document, cost: bool) -> Table:
    """Best effect first; the baseline again, where it was trained again, last."""
    others = any(arm.finding.reference != d.baseline for arm in d.arms if arm.finding)
    against = Column(
        "reference", "against", "text", lambda a: a.finding and d.called(a.finding.reference).name
    )
    findings = finding_columns(
        f"Δ {d.rules.primary} vs baseline",
        lambda a: a.finding,
        mark=lambda a: "§" if d.tuned_apart and a is not d.again else "",
    )
    judged = any(arm.finding for arm in d.arms) or d.again or not d.screen
    shown = () if d.elsewhere else BELOW
    gap = Column("gap", f"gap to {d.gap_set}", "within", lambda a: a.gap, PERCENT)
    columns = (
        arm_column(d, lambda a: a.label),
        filed("baseline", lambda a: a.is_baseline),
        *(_accuracy(d, name, f"{name}_accuracy", f"{name}_") for name in d.sets),
        *_primary(d),
        *(column if judged else replace(column, where="file") for column in findings),
        against if others and judged else replace(against, where="file"),
        gap if d.gap_set else replace(gap, where="file"),
        Column("worst_class", "worst class", "text", lambda a: a.worst and a.worst[0], after=_of_images),
        filed("worst_images", lambda a: a.worst and a.class_count(a.worst[0])),
        Column("worst_class_recall", "its recall %", "average", lambda a: a.worst and a.worst[1], PERCENT),
        Column("ece", "ECE", "average", lambda a: a.scores[d.where].get("ece"), PERCENT),
        Column("seeds", d.over, "text", lambda a: str(a.seeds)),
        *(column if column.key in shown else replace(column, where="file") for column in SIZES),
    )
    first = ("arm", "effect", "verdict", "primary", f"{d.where}_accuracy", "reference", "seeds")
    further = (*(f"{name}_accuracy" for name in d.sets), "gap")
    title = "Arms, rung by rung" if d.ladder else "Arms, best effect first"
    return Table(
        "Arms, best first" if d.screen else title,
        first_of(columns, (*first, *further)),
        [*d.arms, *([d.again] if d.again else [])],
        _note(d),
    )


def _of_images(arm: ArmRow) -> str:
    n = arm.class_count(arm.worst[0]) if arm.worst else None
    return f"(n = {n})" if n is not None else ""


def _accuracy(d: Document, name: str, key: str, stem: str) -> Column:
    def accuracy(arm: ArmRow) -> Mean | None:
        return arm.scores[name].get("accuracy")

    heading = f"{name} % {d.counted(name)}".strip()
    return Column(key, heading, "within", accuracy, PERCENT, missing="not scored", stem=stem)


def _primary(d: Document) -> Iterable[Column]:
    """What decides, where that is no accuracy: else its Δ would belong to no column."""
    if any(arm.primary for arm in d.arms):
        score = d.rules.primary.partition(".")[2]
        percent = score not in d.units
        heading = f"{d.where} {score.replace('_', ' ')}{' %' * percent} {d.counted(d.where)}".strip()
        times, digits = (PERCENT, 1) if percent else (1.0, 3)
        yield Column("primary", heading, "within", lambda arm: arm.primary, times, digits)


def _note(d: Document) -> str:
    rules, over = d.rules, d.over
    note = (
        "Per cent. ± is half the 95 % interval of an accuracy or a gap, [ ] that of a difference, over new "
        f"{over} and new {d.items}; n: images of a set, copies counted once. The worst class, by its mean "
        f"over {over}, its recall and ECE, the expected calibration error, are of {d.where}. A diverged "
        f"{over[:-1]} counts as chance in a verdict and is left out of a mean. Verdicts: "
        f"Holm over {rules.family} declared comparison{'s' * (rules.family != 1)} (claims included); "
        f"δ = {rules.delta_local} point{'s' * (rules.delta_local != 1)} locally, {rules.delta_hidden} "
        "on hidden sets. † the 95 % interval alone would say more: the verdict is "
        "corrected for the number of comparisons."
    )
    if any(finding.bolder for finding in d.comparisons):
        note += (
            " Verdicts follow the noise that comparisons share (What verdicts rest on), also where an "
            "interval, which is printed at its widest, reaches over the cut."
        )
    for name, items in rules.coarse:
        note += f" On {name} δ is less than one of its {items} items makes, {100 / items:.2g} points."
    if any(one and one.interval and one.interval.one_sided for arm in d.arms for one in arm.accuracies):
        note += " ≥: a one-sided 95 % bound, where too few items were ever wrong for an interval."
    for word in dict.fromkeys(word for _, word in d.provenance.grouped):
        sets = ", ".join(name for name, of in d.provenance.grouped if of == word)
        note += f" On {sets} {word} count where images do elsewhere, so there new {word}."
    if d.tuned_apart and d.tuning:
        least, most = (f"{100 * share:.0f}" for share in d.tuning.luck)
        note += (
            " § each arm's settings were chosen by a search of its own: of equal arms tuned like these "
            f"{least} to {most} % exclude zero in simulation, where 5 % should (Tuning); every other "
            "difference between arms is as lucky."
        )
    if rules.looks:
        seeds, levels = (", ".join(f"{one:g}" for one in each) for each in zip(*rules.looks, strict=True))
        note += (
            f" Looked at after {seeds} seeds, declared beforehand, at levels {levels}: an arm that is "
            "decided, or that more seeds would hardly decide, gets none, and its interval is at 1 − the "
            "level of the last look that it took part in."
        )
    if rules.nights:
        note += " " + " ".join(nights(d))
    if d.again:
        note += (
            " A/A: the baseline trained again on the same splits, with other initialisation and order; what "
            "its Δ shows is noise, and no verdict."
        )
    return note


def nights(d: Document) -> Iterator[str]:
    """That hours and not scores ended runs, and what it means to have gone on."""
    told = []
    for night in d.rules.nights:
        fewest, most = night.seeds
        told.append(f"after {night.hours:g} hours with {fewest if fewest == most else f'{fewest} to {most}'}")
    yield (
        f"How many {d.over} there are was decided by time and by no score: --hours ended a run "
        f"{', then '.join(told)} of them."
    )
    if d.rules.reported:
        reports = ", ".join(map(str, d.rules.reported))
        yield (
            f"There was a report after {reports} {d.over}. Whoever trains on because of what one said looks "
            "several times at the 5 % of one look: in simulation false verdicts of 8 % after two, 10 % after "
            "three. --until decided, declared before the first score, divides the 5 %."
        )


def costs(d: Document, cost: bool) -> Table | None:
    """What an arm takes beside what it gains; None where nobody knows."""
    if d.elsewhere:
        return None
    accuracy = _accuracy(d, d.where, "accuracy", "accuracy_")
    note = (
        f"Mean over finished {d.over}{'; memory: the largest' * cost}; ± is half the 95 % interval. Trained: "
        "by the stage that trains most. GFLOPs: billions of operations of one image's forward pass, a "
        "multiply-accumulate counted as two; a training step takes about three times as many where "
        "everything trains."
    )
    return Table("Costs", (arm_column(d, lambda a: a.label), accuracy, *SIZES), d.arms, note)
