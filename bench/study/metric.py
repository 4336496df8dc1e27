"""What is compared, as a study calls it: ``local.accuracy``, ``gap.heavy``, ``local.auc where site is B``."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import did_you_mean
from bench.registry import Component, metrics
from bench.study.patch import Tree

Slice = tuple[str, str]
"""A column, and the value that images have there."""


def metric_problem(metric: str, sets: Sequence[str], *further: str) -> str:
    """Why nothing can be compared by ``metric``; empty where it can.

    sets      of a study: ``local`` where there is one, then its hidden sets
    further   metrics that are known here alone
    """
    gaps = [f"gap.{name}" for name in sets if name != "local" and "local" in sets]
    return score_problem(metric, sets, [*gaps, "cost.seconds", "cost.epochs", "seed_sd", *further])


def score_problem(metric: str, sets: Sequence[str], special: Sequence[str]) -> str:
    """Why ``metric`` is no score on one of ``sets``, nor ``special``; empty where it is."""
    of, _, score = metric.partition(".")
    if metric in special or (of in sets and score in metrics):
        return ""
    if of in sets and (metrics.needs_class(score) or "(" in score):
        return metrics.problem(score)
    examples = [f"{s}.{score}" for s in sets for score in metrics.names()] + list(special)
    hint = did_you_mean(metric, examples) if of not in sets else did_you_mean(score, metrics.names())
    return f"no such metric; {hint}   (SET.SCORE; sets: {', '.join(sets)})"


def slice_problem(metric: str, part: Slice, sets: Sequence[str], table: Tree) -> str:
    """Why ``metric`` cannot be on a slice; empty where it can.

    table   the study as it is written: a corrupted set has the slices of ``local``
    """
    of, _, score = metric.partition(".")
    if of not in sets or score not in metrics:
        return f"goes with a score on a set, not with {metric}"
    hidden, named = (table.get(key) or {} for key in ("hidden", "slices"))
    made = isinstance(hidden.get(of), dict) and hidden[of].get("kind") == "corrupted"
    columns = named.get("local" if made else of, ())
    if part[0] not in columns:
        at = "local" if made else of
        add = f'add it: [slices] {at} = ["{part[0]}"]'
        return f"[slices] names no such column for {of}; " + (
            f"{did_you_mean(part[0], columns)} or {add}" if columns else add
        )
    if apart(on(metric, *part)) != (metric, part):
        return "a column or class with ' is ' or ' where ' in its name cannot be claimed"
    return ""


def in_share(score: Component) -> bool:
    """Whether it is a share that has an interval."""
    return score.traits.get("interval") != "none" and score.traits.get("unit") == "share"


def on(metric: str, column: str, value: str) -> str:
    """The metric on the images that have this value in this column."""
    return f"{metric} where {column} is {value}"


def apart(metric: str) -> tuple[str, Slice | None]:
    """A metric as it is on the whole set, and the slice (column, value) that it is about."""
    whole, where, which = metric.partition(" where ")
    column, _, value = which.partition(" is ")
    if not where or whole.count("(") != whole.count(")"):  # in the name of a class
        return metric, None
    return whole, (column, value)
