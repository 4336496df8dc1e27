"""How a metric on one slice is called: ``local.accuracy where scanner is B``."""

from __future__ import annotations


def on(metric: str, column: str, value: str) -> str:
    """The metric on the images that have this value in this column."""
    return f"{metric} where {column} is {value}"


def apart(metric: str) -> tuple[str, tuple[str, str] | None]:
    """A metric as it is on the whole set, and the slice (column, value) that it is about."""
    whole, where, which = metric.partition(" where ")
    column, _, value = which.partition(" is ")
    if not where or whole.count("(") != whole.count(")"):  # in the name of a class
        return metric, None
    return whole, (column, value)
