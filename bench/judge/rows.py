"""What every trial's predictions say of each item, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import stats
from bench.judge.copies import Copies, Counts, count
from bench.judge.measure import Measure
from bench.judge.outcomes import Outcome
from bench.metrics import per_item, right_answers, score_of
from bench.plan import TEST
from bench.registry import metrics
from bench.store import UNREADABLE, Predictions, Store

Doubles = NDArray[np.float64]
Chosen = NDArray[np.bool_]
"""Which images of a set (M,)."""


class Rows:
    """Pseudo-values of all trials; reads each file of predictions once and keeps no probabilities."""

    def __init__(self, trials: Iterable[Outcome], store: Store, wanted: Mapping[str, Sequence[str]]) -> None:
        """wanted: for each set of the plan, the scores that are asked for."""
        self.unreadable: dict[str, str] = {}
        """Trial → why its predictions cannot be used."""
        self._rows: dict[tuple[str, str, str], Doubles] = {}
        self._alone: dict[tuple[str, str, str], float] = {}
        """Scores without any interval, as where leaving an image out would leave no class."""
        self._means: dict[tuple[str, str, str], float] = {}
        self._widths: dict[tuple[str, str], int] = {}
        self._items: dict[str, NDArray[np.uint64]] = {}
        self._labels: dict[str, NDArray[np.int64]] = {}
        self._groups: dict[str, NDArray[np.int32] | None] = {}
        """Key of a set → the group (M,) of each of its images; None where groups are not known."""
        self._right: dict[tuple[str, str, str], Doubles] = {}
        """Trial, key of a set, score → share of each image's copies that do not count against it, (M,)."""
        self._copies: dict[tuple[str, str], Copies] = {}
        self._made: dict[str, Counts] = {}
        self._unique: dict[str, tuple[NDArray[np.uint64], tuple[Any, Any, Any]]] = {}
        """Key of a set → the ids of the last trial's images, and what ``np.unique`` says of them."""
        self._classes = 0
        seen: set[str] = set()
        for outcome in trials:
            self._classes = max(self._classes, len(outcome.record.classes) if outcome.record else 0)
            if outcome.state == "done" and outcome.planned.id not in seen:
                seen.add(outcome.planned.id)
                self._load(outcome, store, wanted)

    def _load(self, outcome: Outcome, store: Store, wanted: Mapping[str, Sequence[str]]) -> None:
        id = outcome.planned.id
        try:
            found = store.predictions(id, outcome.planned.sets.values())
        except UNREADABLE as error:
            self.unreadable[id] = f"its predictions cannot be read ({type(error).__name__})"
            return
        for name, key in outcome.planned.sets.items():
            if key in found:
                self._reduce(outcome, key, found[key], wanted.get(name, ()))

    def _reduce(self, outcome: Outcome, key: str, said: Predictions, scores: Sequence[str]) -> None:
        id, classes = outcome.planned.id, outcome.record.classes if outcome.record else []
        items, first, place = self._places(key, said.ids)
        places = items, place
        groups = None if said.groups is None else said.groups[first]
        if not (
            _equal(self._items.setdefault(key, items), items)
            and _equal(self._groups.setdefault(key, groups), groups)
        ):
            self.unreadable[id] = "its predictions are of other images"
            return
        self._labels.setdefault(key, said.labels[first])
        if copies := count(said, place, len(items)):
            made = self._made.setdefault(key, copies.made)  # one array for all trials: the set is the same
            self._copies[id, key] = replace(copies, made=made)
        alone = said if said.groups is None else replace(said, groups=None)
        if "accuracy" in scores and (right := per_item("accuracy", alone, (), places)) is not None:
            self._right[id, key, "accuracy"] = right
        for score in (one for name in scores for one in metrics.of_each(name, classes)):
            if (answers := right_answers(score, said, classes)) is not None:
                shares = np.bincount(place, answers, len(items)) / np.bincount(place, minlength=len(items))
                self._right[id, key, score] = shares
            known = self._right.get((id, key, score)) if score == "accuracy" and said.groups is None else None
            phi = per_item(score, said, classes, places) if known is None else known
            if phi is not None:
                self._rows[id, key, score] = phi
                self._widths[key, score] = len(phi)
            elif not metrics[score].origin:  # of others a report has no code
                self._alone[id, key, score] = score_of(score, said.probabilities, said.labels, classes)

    def _places(self, key: str, ids: NDArray[np.uint64]) -> tuple[Any, Any, Any]:
        """Different ids, where each comes first, which one each of ``ids`` is: the same in most trials."""
        known = self._unique.get(key)
        if known is None or not _equal(known[0], ids):
            known = ids, np.unique(ids, return_index=True, return_inverse=True)
            self._unique[key] = known
        return known[1]

    def groups(self, key: str) -> int | None:
        """Groups of images in a set, by its key; None where they are not known, so that images count."""
        groups = self._groups.get(key)
        return None if groups is None else len(np.unique(groups))

    def labels(self, key: str) -> NDArray[np.int64] | None:
        """The class (M,) of each image of a set, by its key; None where no trial was scored on it."""
        return self._labels.get(key)

    def items(self, trials: Iterable[Outcome], name: str) -> int:
        """Items of a set, with folds of all of them; 0 where none of the trials was scored on it."""
        keys = {o.planned.sets.get(name, "") for o in trials}
        known = ((key, labels) for key in keys if (labels := self.labels(key)) is not None)
        return sum(self.count(key, np.ones(len(labels), bool)) for key, labels in known)

    def width(self, trials: Iterable[Outcome], metric: Measure) -> int:
        """Items that a score of a set rests on, with folds of all of them; 0 where it has no interval."""
        keys = {o.planned.sets.get(metric.set, "") for o in trials}
        return sum(self._widths.get((key, metric.score), 0) for key in keys)

    def whole(self, trials: Iterable[Outcome], metric: Measure) -> bool:
        """Whether a score has pseudo-values on all sets of that name, with folds on those of all."""
        keys = {key for o in trials if (key := o.planned.sets.get(metric.set, "")) in self._labels}
        return all((key, metric.score) in self._widths for key in keys)

    def size(self, trials: Iterable[Outcome], name: str) -> tuple[int, int | None]:
        """Images of a set, copies counted once, and groups of them where known; with folds those of all."""
        keys = dict.fromkeys(o.planned.sets.get(name, "") for o in trials)
        known = [(key, labels) for key in keys if (labels := self.labels(key)) is not None]
        groups = [self.groups(key) for key, _ in known]
        told = [count for count in groups if count is not None]
        return sum(len(labels) for _, labels in known), sum(told) if told else None

    def class_sizes(self, trials: Iterable[Outcome], name: str) -> dict[str, tuple[int, int | None]]:
        """Images of each class in a set, and groups of them, with folds in all, that finished trials saw."""
        done = [o for o in trials if o.state == "done" and o.record]
        classes = next((o.record.classes for o in done if o.record), [])
        keys = dict.fromkeys(o.planned.sets.get(name, "") for o in done)
        known = [(key, labels) for key in keys if (labels := self.labels(key)) is not None]
        found: dict[str, tuple[int, int | None]] = {}
        for k, label in enumerate(classes):
            chosen = [(key, labels == k) for key, labels in known]
            images = sum(int(one.sum()) for _, one in chosen)
            grouped = any(self._groups.get(key) is not None for key, _ in chosen)
            groups = sum(self.count(key, one) for key, one in chosen) if grouped else None
            if images:
                found[label] = images, groups
        return found

    def row(self, outcome: Outcome, metric: Measure) -> Doubles | None:
        """One trial's pseudo-values on a set, one per item: per image, or per group where these are known.

        A diverged trial's are those of chance.
        """
        key = outcome.planned.sets.get(metric.set, "")
        if outcome.state == "diverged" and key in self._items and self._classes:
            return self._chance(key, metric)
        if metric.families:
            shares, groups = self.by_image(outcome, metric), self._groups.get(key)
            return shares if shares is None or groups is None else stats.by_group(shares, groups)
        return self._rows.get((outcome.planned.id, key, metric.score))

    def value(self, outcome: Outcome, metric: Measure) -> float | None:
        """One trial's score on a set, which may have no interval; None where it is undefined."""
        at = outcome.planned.id, outcome.planned.sets.get(metric.set, ""), metric.score
        known = None if metric.families else self._means.get(at)
        if known is not None:
            return known
        row = self.row(outcome, metric)
        if row is None:
            alone = self._alone.get(at)
            return None if alone is None or np.isnan(alone) else alone
        mean = float(row.mean())
        if not metric.families:
            self._means[at] = mean  # a baseline's are asked for with every arm
        return mean

    def by_image(self, outcome: Outcome, metric: Measure) -> Doubles | None:
        """Whether a finished trial is right on each image (M,) of a set, as a score sees it; copies averaged.

        Scores that are not of single classes see it as accuracy does.
        """
        at = outcome.planned.id, outcome.planned.sets.get(metric.set, "")
        if metric.families:
            copies = self._copies.get(at)
            return copies.accuracy(metric.families) if copies else None
        return self._right.get((*at, metric.score), self._right.get((*at, "accuracy")))

    def _chance(self, key: str, metric: Measure) -> Doubles | None:
        """What a diverged trial scores on every image; None where nothing is known to be chance."""
        chance = metric.traits.get("chance", 1 / self._classes if metric.unit == "points" else None)
        chance = chance(self._classes) if callable(chance) else chance
        width = self._widths.get((key, metric.score))
        return None if chance is None or width is None else np.full(width, chance)

    def clean(self, outcome: Outcome, name: str) -> tuple[float, float] | None:
        """A trial's accuracy and balanced accuracy on the undamaged base images of a corrupted set."""
        sets = outcome.planned.sets
        base, local = self._items.get(sets[name]), self._items.get(sets[TEST])
        row = self.by_image(outcome, Measure("score", TEST))
        if row is None or base is None or local is None or not np.isin(base, local).all():
            return None
        chosen = np.isin(local, base)
        row, labels = row[chosen], self._labels[sets[TEST]][chosen]
        return float(row.mean()), float(np.mean([row[labels == k].mean() for k in np.unique(labels)]))

    def count(self, key: str, images: Chosen) -> int:
        """Items of a set that have one of these images (M,)."""
        groups = self._groups[key]
        return int(images.sum()) if groups is None else len(np.unique(groups[images]))


def _equal(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    """Whether two arrays are the same, mostly because they are one."""
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
