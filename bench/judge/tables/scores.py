"""Every set and score, and the recall of every class."""

from __future__ import annotations

from collections.abc import Callable

from bench.judge.findings import ArmRow, Document, Mean
from bench.judge.tables.table import HOLM, PERCENT, Column, Table, arm_column, filed


def table(d: Document, cost: bool) -> Table:
    """A row for each set and arm."""
    columns = (
        Column("set", "set", "text", lambda row: row[0]),
        Column(
            "n", "n", "text", lambda row: d.sizes[row[0]].told if row[0] in d.sizes else None, where="print"
        ),
        arm_column(d, lambda row: row[1].label),
        *(_score(metric, d.units.get(metric)) for metric in d.metrics),
        Column("effect", "Δ accuracy vs baseline", "effect", lambda row: row[1].effects[row[0]]),
        filed("effect_dagger", lambda row: effect.dagger if (effect := row[1].effects[row[0]]) else None),
    )
    note = (
        f"Per cent{' where no unit is said' * bool(d.units)}, mean over finished {d.over}; ± is half the "
        f"95 % interval over new {d.over} and new {d.items}, sd the standard deviation over {d.over}. Δ is "
        f"of finished pairs, pointwise, and no verdict: only what was declared has one."
    )
    if "worst_recall" in d.metrics:
        note += f" Worst recall: of each {d.over[:-1]} its lowest, not always of the same class."
    effects = [arm.effects[name] for name in d.sets for arm in d.arms]
    note += HOLM * any(effect.dagger for effect in effects if effect)
    return Table("Every set and score", columns, [(name, arm) for name in d.sets for arm in d.arms], note)


def _score(metric: str, unit: str | None) -> Column:
    heading = metric.replace("_", " ") + (f", {unit}" if unit else "")
    times, digits = (1.0, 3) if unit else (PERCENT, 1)

    def score(row: tuple[str, ArmRow]) -> Mean | None:
        return row[1].scores[row[0]].get(metric)

    # Accuracy alone has its interval in every study; of the others the spread is known.
    return Column(metric, heading, "within" if metric == "accuracy" else "mean", score, times, digits)


def classes(d: Document, cost: bool) -> Table:
    """A column for each arm."""
    columns = [Column("class", "class", "name", str), Column("images", "n", "count", _images(d))]
    grouped = {size.called for name in d.classes if (size := d.class_size(name)) and size.groups is not None}
    columns += [Column("groups", called, "count", _groups(d)) for called in sorted(grouped)]
    columns += [_recall(arm, d.called(arm.label).name) for arm in d.arms]
    note = (
        f"Recall in per cent, mean over finished {d.over}; n: images of the class, copies counted once. A "
        "class of one image is no worst class."
    )
    return Table(f"Classes on {d.where}", columns, d.classes, note)


def _images(d: Document) -> Callable[[str], int | None]:
    return lambda name: size.images if (size := d.class_size(name)) else None


def _groups(d: Document) -> Callable[[str], int | None]:
    return lambda name: size.groups if (size := d.class_size(name)) else None


def _recall(arm: ArmRow, heading: str) -> Column:
    return Column(arm.label, heading, "average", lambda name: arm.recalls.get(name), PERCENT)
