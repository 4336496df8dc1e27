"""Scores by scanner, site or age band (docs/method.md, "Slices")."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import parts
from .comparisons import UNITS, done, ended_pairs, on_score
from .parts import FEWEST, View, whole_and_slice
from .records import Row, Study, Trial
from .replicates import FEW, wrong
from .replicates import effect as effect_of
from .replicates import rows as rows_of
from .rows import effect, mean
from .scores import SCORERS


def rows(study: Study, order: list[str]) -> list[Row]:
    """A row for each set, value of a column that some of its images have, and arm."""
    found: list[Row] = []
    for name in study.sets:
        decides, _, score = study.primary.partition(".")
        score = score if decides == name and score not in UNITS else "accuracy"
        for column, values in parts.slices(study, name).items():
            own: list[Row] = []
            for value in values:
                metric = f"{name}.{score} where {column} is {value}"
                head: Row = {"set": name, "column": column, "value": value}
                head["score"] = score.replace("_", " ")
                own += [head | row for row in _of_slice(study, metric, order)]
            found += _with_worst(own)
    return found


def _of_slice(study: Study, metric: str, order: list[str]) -> list[Row]:
    name, seen = metric.partition(".")[0], parts.view(study, metric)
    every = [seen(trial) for arm in study.arms for trial in study.finished(arm)]
    sizes = {one.keys[name]: len(np.unique(one.answers(one.keys[name]).ids)) for one in every}
    images = sum(sizes.values())
    if not images:
        return []
    return [{"arm": arm, "images": images} | _of_arm(study, metric, arm, images) for arm in order]


def _of_arm(study: Study, metric: str, arm: str, images: int) -> Row:
    """Mean and interval, and what the arm differs from the baseline by."""
    whole, seen = whole_and_slice(metric)[0], parts.view(study, metric)
    name, _, score = whole.partition(".")
    trials = _known(study, arm, name, seen)
    row: Row = {"planned": len(study.arms[arm])}
    row |= mean("mean", [value for one in trials if (value := _score(one, name, score)) is not None])
    row = {key.removeprefix("mean_"): value for key, value in row.items()}
    row["seeds"] = row["seeds"] or None
    whole_slice = images >= FEWEST and rows_of(trials, name, score) is not None
    counts = whole_slice and bool(trials) and wrong(trials, name) >= FEW
    found = effect_of(study, trials, rows_of(trials, name, score), name) if counts else None
    row |= dict(zip(("low", "high"), found.ends() if found else (None, None), strict=True))
    if arm == study.baseline:
        return row | effect("effect", None)
    both = ended_pairs(study, arm, study.baseline)
    if whole_slice:
        one = on_score(study, *both, name, score, seen)
        return row | effect("effect", replace(one, effect=one.of_finished))
    return row | {"effect": _apart(*done(*both), whole, seen), "effect_low": None, "effect_high": None}


def _known(study: Study, arm: str, name: str, seen: View) -> list[Trial]:
    """An arm's finished trials, of folds with such images."""
    trials = study.finished(arm)
    some = parts.there(study, trials, name, seen)
    return [seen(trial) for trial, has in zip(trials, some, strict=True) if has]


def _score(trial: Trial, name: str, score: str) -> float | None:
    """None where it is undefined."""
    answers = trial.answers(trial.keys[name])
    if len(np.unique(answers.labels)) < (2 if score == "auc" else 1):
        return None
    return SCORERS[score](answers)


def _apart(first: Sequence[Trial], second: Sequence[Trial], metric: str, seen: View) -> float | None:
    """Mean difference over seeds that both finished."""
    name, _, score = metric.partition(".")
    both = [[_score(seen(trial), name, score) for trial in pair] for pair in zip(first, second, strict=True)]
    known = [a - b for a, b in both if a is not None and b is not None]
    return float(np.mean(known)) if known else None


def _with_worst(rows: list[Row]) -> list[Row]:
    """Where each arm's mean is lowest among slices with enough images, unless all are alike."""
    known = [row for row in rows if row["images"] >= FEWEST and row["mean"] is not None]
    for row in rows:
        means = [other["mean"] for other in known if other["arm"] == row["arm"]]
        row["worst"] = "worst" if row in known and min(means) == row["mean"] < max(means) else None
    return rows
