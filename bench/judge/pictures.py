"""What only the figures need: the noise of seeds, learning curves, confusion matrices, candidates.

Of a study with very many arms only the first ones of its table are drawn, so only theirs are read.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judge.findings import ArmRow, Document
from bench.judge.measure import parse
from bench.judge.outcomes import Outcome, said
from bench.judge.tables.asked import positives
from bench.judge.tables.noise import by_luck
from bench.plan import TEST
from bench.planned import PlanFile, PlannedSearch
from bench.stats.binary import precision_recall, roc
from bench.store import Store
from bench.study.file import Range, Tune, ranges_of
from bench.study.patch import look_up
from bench.study.read import Arm, Study
from bench.tune.candidates import goodness

MOST_ARMS = 24
"""Arms that figures show: the baseline, and the first of the table."""
MOST_POSITIVE = 8
"""Classes against the rest of which curves are drawn."""
GRID = np.linspace(0, 1, 101)
"""Rates at which curves of several trials are averaged."""
MOST_CLASSES = 20
"""Classes of a confusion matrix that can still be read."""


def trial_name(seed: int, fold: int | None) -> str:
    """``seed 3``, ``seed 3, fold 1``."""
    return f"seed {seed}" + (f", fold {fold}" if fold is not None else "")


@dataclass(frozen=True)
class Curve:
    """How one trial learned."""

    arm: str
    seed: int
    fold: int | None
    points: tuple[tuple[int, float], ...]
    """(step, validation accuracy)."""
    stages: tuple[int, ...]
    """Steps at which the second and later stages began."""


@dataclass(frozen=True)
class Confusion:
    """What an arm takes images for, over its finished trials."""

    arm: str
    classes: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    """True class → predicted class → share of the true class's images."""
    images: tuple[int, ...]
    """Per true class, each trial counted."""

    def worst(self) -> tuple[str, str, float] | None:
        """The most frequent confusion: (true, predicted, share)."""
        found = [
            (share, true, said)
            for true, row in zip(self.classes, self.shares, strict=True)
            for said, share in zip(self.classes, row, strict=True)
            if said != true and share > 0
        ]
        if not found:
            return None
        share, true, said = max(found, key=lambda each: each[0])
        return true, said, share


@dataclass(frozen=True)
class Axis:
    """One tuned setting's range. ``choices`` has the names of settings that are no numbers."""

    setting: str
    low: float
    high: float
    log: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tried:
    """One candidate of a search."""

    number: int
    state: str
    value: float | None
    places: tuple[float, ...]
    """Its settings along the axes: the number, or the index of the choice."""
    chosen: bool
    best: float | None
    """The best value so far."""


@dataclass(frozen=True)
class SearchPicture:
    """One arm's search."""

    arm: str
    axes: tuple[Axis, ...]
    tried: tuple[Tried, ...]


@dataclass(frozen=True)
class Operating:
    """What an arm's thresholds can do for some classes against the rest, on Document.where."""

    arm: str
    positive: tuple[str, ...]
    roc: tuple[tuple[float, float], ...]
    """(false-positive rate, true-positive rate), mean over finished trials at equal false-positive rates."""
    precision: tuple[tuple[float, float], ...]
    """(recall, precision), mean over them at equal recall."""
    share: float
    """Of the images that are positive."""


@dataclass(frozen=True)
class Pictures:
    """Everything the figures show that a Document does not hold."""

    arms: tuple[str, ...]
    """Those shown, as in the table."""
    of: int
    """Arms of the study."""
    noise: float | None = None
    """Half the width of the noise band, as a fraction: how far the largest of as many equal arms would go."""
    curves: tuple[Curve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    searches: tuple[SearchPicture, ...] = ()
    operating: tuple[Operating, ...] = ()


def gather(study: Study, plan: PlanFile, store: Store, document: Document) -> Pictures:
    """Read what figures show. ``study`` is as its file says, ``document`` what was built of it."""
    arms = document.arms[:MOST_ARMS]
    shown = tuple(arm.label for arm in arms)
    primary = parse(study.primary, study.sets)
    apart = primary.kind == "score" and study.folds is None  # folds share most of their training images
    searches = [search for search in plan.searches if search.arm in shown]
    confusions = (_confusion(arm.label, arm.trials, primary.set or TEST, store) for arm in arms)
    return Pictures(
        arms=shown,
        of=len(document.arms),
        noise=by_luck([arm.trials for arm in arms], primary) if apart else None,
        curves=tuple(curve for arm in arms for curve in _curves(arm, store)),
        confusions=tuple(confusion for confusion in confusions if confusion),
        searches=tuple(_searches(study, searches, document)) if study.tune else (),
        operating=tuple(_operating(study, arms, primary.set or TEST, store)),
    )


def _curves(arm: ArmRow, store: Store) -> Iterator[Curve]:
    for outcome in arm.trials:
        if outcome.state not in ("done", "diverged"):
            continue
        kept = _history(store, outcome.planned.id)
        lines = [line for line in kept if {"step", "val_accuracy"} <= line.keys()]
        points = tuple((int(line["step"]), float(line["val_accuracy"])) for line in lines)
        stages = tuple(
            int(before["step"])
            for before, after in itertools.pairwise(lines)
            if before.get("stage") != after.get("stage")
        )
        if points:
            finite = tuple((step, value) for step, value in points if math.isfinite(value))
            yield Curve(arm.label, *outcome.replicate, finite, stages)


def reached(curves: Sequence[Curve]) -> float:
    """Mean validation accuracy at the end."""
    return statistics.fmean(curve.points[-1][1] for curve in curves)


def _history(store: Store, id: str) -> list[dict[str, Any]]:
    try:
        return store.history(id)
    except (OSError, ValueError):  # a torn file costs its curve, never the report
        return []


def _confusion(label: str, trials: Iterable[Outcome], name: str, store: Store) -> Confusion | None:
    counts: NDArray[np.int64] | None = None
    classes: Sequence[str] = ()
    for outcome in trials:
        if outcome.state != "done" or outcome.record is None:
            continue
        classes = outcome.record.classes
        found = said(outcome, store, name).get(outcome.planned.sets.get(name, ""))
        if found is None or found.probabilities.shape[1] != len(classes):
            continue
        k = len(classes)
        cells = found.labels * k + found.probabilities.argmax(axis=1)
        counted = np.bincount(cells, minlength=k * k).reshape(k, k)
        counts = counted if counts is None or counts.shape != counted.shape else counts + counted
    if counts is None or len(classes) > MOST_CLASSES:
        return None
    images = counts.sum(axis=1)
    shares = counts / np.maximum(images, 1)[:, None]
    return Confusion(label, tuple(classes), tuple(map(tuple, shares.tolist())), tuple(images.tolist()))


def _operating(study: Study, arms: Sequence[ArmRow], name: str, store: Store) -> Iterator[Operating]:
    """ROC and precision–recall of every arm, for the classes that the study asks about."""
    classes = next((record.classes for arm in arms for record in arm.records), [])
    for positive in positives(study, classes)[:MOST_POSITIVE]:
        index = [k for k, label in enumerate(classes) if label in positive]
        for arm in arms:
            done = [o for o in arm.trials if o.state == "done"]
            found = [said(o, store, name).get(o.planned.sets.get(name, "")) for o in done]
            known = [one for one in found if one and one.probabilities.shape[1] == len(classes)]
            truth = [np.isin(one.labels, index) for one in known]
            if not known or not all(each.any() and not each.all() for each in truth):
                continue
            score = [one.probabilities[:, index].sum(1, dtype=np.float64) for one in known]
            rates = np.mean([np.interp(GRID, *roc(*each)) for each in zip(score, truth, strict=True)], axis=0)
            exact = [_at_recall(*precision_recall(*each)) for each in zip(score, truth, strict=True)]
            yield Operating(
                arm.label,
                positive,
                ((0.0, 0.0), *zip(GRID.tolist(), rates.tolist(), strict=True)),
                tuple(zip(GRID[1:].tolist(), np.mean(exact, axis=0).tolist(), strict=True)),
                float(np.mean([each.mean() for each in truth])),
            )


def _at_recall(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision at the highest threshold that reaches each recall of the grid but 0."""
    return precision[np.searchsorted(recall, GRID[1:] - 1e-12)]


def _searches(study: Study, searches: Sequence[PlannedSearch], document: Document) -> Iterator[SearchPicture]:
    assert study.tune is not None
    tune = study.tune
    rows = document.tuning.rows if document.tuning else ()
    stood = {(arm, each.candidate.number): (each.state, each.value) for arm, each in rows}
    for search in searches:
        axes = tuple(_axes(tune, study.arm(search.arm)))
        ranges = ranges_of(tune, search.arm)
        tried, best = [], None
        for candidate in search.candidates:
            state, value = stood.get((search.arm, candidate.number), ("missing", None))
            best = max((best, value), key=lambda one: goodness(one, tune.metric))
            places = tuple(_place(ranges[axis.setting], candidate.values[axis.setting]) for axis in axes)
            chosen = candidate.number == search.chosen
            tried.append(Tried(candidate.number, state, value, places, chosen, best))
        yield SearchPicture(search.arm, axes, tuple(tried))


def _axes(tune: Tune, arm: Arm) -> Iterator[Axis]:
    tree = arm.recipe.model_dump(mode="json")
    for key, scale in ranges_of(tune, arm.label).items():
        if scale.choices is not None:
            yield Axis(key, 0, len(scale.choices) - 1, False, tuple(map(str, scale.choices)))
        else:
            low, high = scale.extremes(look_up(tree, key))
            yield Axis(key, low, high, scale.log and low > 0)


def _place(scale: Range, value: Any) -> float:
    return float(scale.choices.index(value)) if scale.choices is not None else float(value)
