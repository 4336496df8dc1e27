"""Every table of the report, once: a file for each, with its columns, its note, where rows come from."""

from __future__ import annotations

from collections.abc import Callable

from bench.judge.findings import Document
from bench.judge.tables import (
    arms,
    asked,
    claims,
    corruptions,
    ensembles,
    evidence,
    factors,
    hidden,
    noise,
    ordered,
    prediction,
    scores,
    settings,
    slices,
    trials,
    tuning,
)
from bench.judge.tables.table import Table

TABLES: dict[str, Callable[[Document, bool], Table | None]] = {
    "arms": arms.table,
    "claims": claims.table,
    "prediction": prediction.table,
    "evidence": evidence.table,
    "factors": factors.table,
    "ordered": ordered.table,
    "ladder": factors.ladder,
    "ingredients": factors.ingredients,
    "ensembles": ensembles.table,
    "asked": asked.table,
    "slices": slices.table,
    "scores": scores.table,
    "robustness": corruptions.robustness,
    "families": corruptions.families,
    "corruptions": corruptions.conditions,
    "classes": scores.classes,
    "trials": trials.table,
    "tuning": tuning.table,
    "shared": tuning.shared,
    "candidates": tuning.candidates,
    "costs": arms.costs,
    "settings": settings.table,
    "hidden": hidden.table,
    "noise": noise.table,
}
"""Key, also of its files → the table of a document, with times or without; None where a study has none."""


def tables(document: Document, *, cost: bool = True) -> dict[str, Table]:
    """By key, those that this study has. ``cost=False``: without what may differ between equal results."""
    built = ((key, build(document, cost)) for key, build in TABLES.items())
    return {key: table.ready(cost=cost, over=document.over) for key, table in built if table}
