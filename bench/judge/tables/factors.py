"""What a design of factors says beside its single arms."""

from __future__ import annotations

from dataclasses import dataclass

from bench.judge import factorial
from bench.judge.factorial import FactorEffect
from bench.judge.findings import Document, Finding
from bench.judge.rulings import Rulings
from bench.judge.tables.table import Column, Table, filed, finding_columns
from bench.study.read import Study


def table(d: Document, cost: bool) -> Table | None:
    """Main effects, then interactions."""
    columns = (
        Column("effect_of", "effect", "name", lambda e: " × ".join(map(_against, e.levels))),
        Column("effect", f"Δ {d.rules.primary}", "effect", lambda e: e.effect),
        Column("over", "over", "text", _over, where="print"),
        filed("blocks", lambda e: e.blocks),
        filed("cells", lambda e: e.cells),
        Column("seeds", d.over, "count", lambda e: e.seeds),
    )
    note = (
        "A single level: the mean of its arms minus the mean of the same arms at the baseline's level. Two "
        "joined by ×, an interaction: what the first does in the presence of the second minus what it does "
        f"without; 0 where they add up. {d.unit.capitalize()}, on {d.over} finished in all of these arms; "
        "pointwise, no verdict."
    )
    return Table("Factors", columns, d.factor_effects, note) if d.factor_effects else None


def _against(level: tuple[str, str, str]) -> str:
    return "{} {} against {}".format(*level)


def _over(effect: FactorEffect) -> str:
    return f"{effect.blocks} setting{'s' * (effect.blocks != 1)} of the others, {effect.cells} arms"


@dataclass(frozen=True)
class Ingredient:
    """One level of an add-and-remove study: added to the baseline, and removed from the full recipe."""

    factor: str
    level: str
    added: Finding | None
    removed: Finding | None
    """The arm without it against the full recipe; None for levels that the full recipe has not."""


def ingredients(d: Document, cost: bool) -> Table | None:
    """What helps alone, and what is missed."""
    columns = (
        Column("ingredient", "ingredient", "name", lambda i: f"{i.factor} {i.level}"),
        *finding_columns("added to the baseline", lambda i: i.added, "added_"),
        *finding_columns("removed from the full recipe", lambda i: i.removed, "removed_"),
    )
    note = (
        f"{d.unit.capitalize()} of the primary metric. What helps when it is added and is not missed when "
        "it is removed, something else in the full recipe does as well. Additions and removals are one "
        "family."
    )
    return Table("Added and removed", columns, d.ingredients, note) if d.ingredients else None


def find_ingredients(study: Study, rulings: Rulings) -> tuple[Ingredient, ...]:
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
