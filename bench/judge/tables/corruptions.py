"""Corrupted sets: what is left of each arm, family by family, and at each severity."""

from __future__ import annotations

from bench.judge.findings import ArmRow, Document, Effect, Mean
from bench.judge.robustness import CorruptedArm, CorruptedSet
from bench.judge.tables.table import HOLM, PERCENT, Column, Table, arm_column, filed

SET = Column("set", "set", "text", lambda row: row[0].name)


def robustness(d: Document, cost: bool) -> Table | None:
    """A row for each set and arm; printed of sets that have one corruption at a time."""
    rows = [(one, arm) for one in d.corrupted for arm in one.arms]
    columns = (
        SET,
        arm_column(d, lambda row: row[1].label),
        filed("families", lambda row: len(row[0].families)),
        filed("seen_families", lambda row: len(row[1].seen)),
        filed("seen", lambda row: "; ".join(row[1].seen)),
        Column("clean", "clean %", "mean", lambda row: row[1].clean, PERCENT, missing="not scored"),
        Column("all", "all families %", "mean", lambda row: row[1].total, PERCENT, missing="not scored"),
        Column("effect", "Δ vs baseline", "effect", lambda row: row[1].effect),
        Column("unseen", "unseen families %", "mean", lambda row: row[1].unseen_mean, PERCENT, after=_own),
        Column("effect_unseen", "Δ unseen vs baseline", "effect", _unseen, after=_by_both),
        filed("effect_dagger", lambda row: row[1].effect and row[1].effect.dagger),
        filed("effect_unseen_dagger", lambda row: effect.dagger if (effect := _unseen(row)) else None),
        filed("unseen_by_both", lambda row: row[1].unseen and row[1].unseen.families),
        Column("be", "BE", "number", lambda row: row[1].error, 1, 2),
        Column("relative_be", "relative BE", "number", lambda row: row[1].relative_error, 1, 2),
        filed("relative_be_families", lambda row: row[0].costly if row[0].by_family else None),
    )
    printed = [row for row in rows if row[0].by_family]
    return Table("Corruptions", columns, rows, by="set", printed=printed) if rows else None


def _own(row: tuple[CorruptedSet, CorruptedArm]) -> str:
    """How many families an arm has not seen."""
    return f"({len(row[0].families) - len(row[1].seen)})"


def _unseen(row: tuple[CorruptedSet, CorruptedArm]) -> Effect | None:
    return row[1].unseen.effect if row[1].unseen else None


def _by_both(row: tuple[CorruptedSet, CorruptedArm]) -> str:
    return f"({row[1].unseen.families})" if row[1].unseen else ""


def families(d: Document, cost: bool) -> Table | None:
    """A row for each set and family, a column for each arm."""
    sets = [one for one in d.corrupted if one.by_family]
    rows = [(one, kind, family) for one in sets for kind, family in one.families]
    columns = [
        SET,
        Column("kind", "kind", "text", lambda row: row[1]),
        Column("family", "family", "name", lambda row: row[2]),
        *(_family(i, arm, d.called(arm.label).name) for i, arm in enumerate(d.arms)),
    ]
    notes = {one.name: _note(d, one) for one in sets}
    return Table("Accuracy by family", columns, rows, by="set", notes=notes) if rows else None


def _family(i: int, arm: ArmRow, heading: str) -> Column:
    def accuracy(row: tuple[CorruptedSet, str, str]) -> Mean | None:
        return row[0].arms[i].families[row[2]]

    def mark(row: tuple[CorruptedSet, str, str]) -> str:
        return "‡" if row[2] in row[0].arms[i].seen else ""

    return Column(arm.label, heading, "average", accuracy, PERCENT, after=mark)


def _counted(d: Document, name: str) -> str:
    return f", {d.sizes[name]}" if name in d.sizes else ""


def _any_dagger(one: CorruptedSet) -> bool:
    effects = (effect for arm in one.arms for effect in (arm.effect, arm.unseen and arm.unseen.effect))
    return any(effect.dagger for effect in effects if effect)


def _note(d: Document, one: CorruptedSet) -> str:
    severities = "severity" if len(one.severities) == 1 else "severities"
    return (
        f"Accuracy in per cent, one corruption at a time, mean over {severities} "
        f"{', '.join(map(str, one.severities))} and finished {d.over}{_counted(d, one.name)}; sd: standard "
        f"deviation over {d.over}; each severity is in tables/corruptions.csv. Clean: the same base images, "
        "undamaged. ‡ the arm trains with something like this family, which may be all that its gain is; "
        "unseen are the others, their number in brackets. Two arms' unseen means may be of different "
        "families: Δ unseen is over those that neither the arm nor the baseline trains with, in brackets. Δ "
        f"is of finished pairs, pointwise, over new {d.over} and new base images (an image's copies "
        f"averaged), and no verdict.{HOLM * _any_dagger(one)} BE: balanced error over the baseline's, mean "
        "over families; below 1 is better. Relative BE: the same of what a family adds to the clean error, "
        f"over families that cost the baseline at least 1 point ({one.costly} of {len(one.families)})."
    )


def conditions(d: Document, cost: bool) -> Table | None:
    """A row for each set, arm, family and severity."""
    rows = [(one, arm, c) for one in d.corrupted for arm in one.arms for c in arm.conditions]
    columns = (
        SET,
        arm_column(d, lambda row: row[1].label),
        filed("kind", lambda row: next(kind for kind, family in row[0].families if family == row[2].family)),
        filed("family", lambda row: row[2].family),
        filed("severity", lambda row: row[2].severity),
        filed("seen", lambda row: row[2].family in row[1].seen),
        Column("accuracy", "", "mean", lambda row: row[2].accuracy),
        Column("balanced_accuracy", "", "mean", lambda row: row[2].balanced_accuracy),
    )
    return Table("Every condition", columns, rows, only_file=True) if d.corrupted else None
