"""The intervals between arms that the rows of their trials allow."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench import slices, stats
from bench.judge.contrast import Contrast
from bench.judge.declared import NO_SLICES
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import Outcome, Outcomes, cost, device, gang, said, unscored
from bench.judge.parts import Part
from bench.judge.replicates import Cells, Row, gap_interval, interval
from bench.judge.rows import Chosen, Doubles, Rows
from bench.plan import TEST
from bench.slices import Sliced
from bench.store import Predictions, Store
from bench.study.file import Criterion
from bench.study.read import Study

UNSCORED = "no seed came to a score"
"""Begins the reason where the machine let none; another run tries again."""
ROUNDING = 1e-9
"""Shares that cancel out leave less."""

COLLAPSES = "some seeds learned, some hardly: no interval covers a rare collapse"
"""Why there is no verdict then."""


class Evidence:
    """Trials compared: an arm with a reference, arms weighed together, an arm alone."""

    def __init__(
        self, study: Study, outcomes: Outcomes, store: Store, wanted: Mapping[str, Sequence[str]]
    ) -> None:
        """wanted: for each set of the plan, the scores that are asked for."""
        self.outcomes, self.study, self._store = outcomes, study, store
        self._forget()
        self._whole: tuple[str, dict[str, dict[str, Predictions]]] | None = None
        """The set that slices were last told of, and what trials said of it."""
        self.rows = Rows((o for trials in outcomes.values() for o in trials), store, wanted)

    def _forget(self) -> None:
        """What follows from the outcomes."""
        self._slopes: dict[Measure, float] = {}
        self._weighed: dict[tuple[tuple[tuple[str, float], ...], Measure], Contrast] = {}

    def first(self, seeds: int) -> Evidence:
        """The same evidence, of each arm's first trials alone."""
        seen = copy.copy(self)
        seen.outcomes = {label: trials[:seeds] for label, trials in self.outcomes.items()}
        seen._forget()
        return seen

    @functools.cached_property
    def sliced(self) -> Mapping[str, Sliced]:
        """Set → what columns say of its images, where the study names some."""
        return self._store.slices(self.study.name) if self.study.slices else {}

    def part(self, metric: Measure, ids: NDArray[np.uint64] | None = None) -> Evidence:
        """The same trials, judged on some images of a metric's set alone; itself where it is about all.

        ids   (M,) of the images; None: those of the metric's slice, which there must be
        """
        if ids is None and metric.slice is None:
            return self
        if ids is None:
            ids = self.images(metric)
        if self._whole is None or self._whole[0] != metric.set:
            self._whole = metric.set, self._said(metric.set)
        some = Part(self._store.root, self._whole[1], ids)
        return Evidence(self.study, self.outcomes, some, {metric.set: ("accuracy", metric.score)})

    def images(self, metric: Measure) -> NDArray[np.uint64]:
        """Ids (M,) of the images of a metric's slice; none where the study knows no such slice."""
        sliced = self.sliced.get(self.study.sliced_as(metric.set))
        return np.empty(0, np.uint64) if sliced is None or not metric.slice else sliced.at(*metric.slice)

    def _said(self, name: str) -> dict[str, dict[str, Predictions]]:
        """Trial → key of a set → what it said of it."""
        done = {o.planned.id: o for of in self.outcomes.values() for o in of if o.state == "done"}
        return {id: said(o, self._store, name) for id, o in done.items()}

    def reached(self, outcome: Outcome, criterion: Criterion) -> bool | None:
        """Whether a trial's training came as far at any evaluation; None where that was not recorded."""
        history = self._store.history(outcome.planned.id)
        values = [entry[criterion.of] for entry in history if criterion.of in entry]
        return any(map(criterion.met, values)) if values else None

    def mean(self, arm: str, name: str, score: str = "accuracy") -> stats.Interval | None:
        """An arm's mean score over finished seeds and images; None with fewer than 2 seeds."""
        metric = Measure("score", name, score)
        found = [
            (o, row)
            for o in self.outcomes[arm]
            if o.state == "done" and (row := self.rows.row(o, metric)) is not None
        ]
        return self._interval([row for _, row in found], [o for o, _ in found], name)

    def at_least(self, arm: str, name: str) -> float | None:
        """Bound of an arm's accuracy where too few items were ever wrong for an interval; else None."""
        wrong, means = self._wrong(arm, Measure("score", name))
        if not means or sum(self.rows.count(*one) for one in wrong.items()) >= stats.FEWEST_DISAGREEMENTS:
            return None
        items = sum(self.rows.count(key, np.ones_like(images)) for key, images in wrong.items())
        return stats.at_least(float(np.mean(means)), items)

    def few_wrong(self, arm: str, metric: Measure) -> bool:
        """Whether too few items ever counted against an arm for an interval of its score."""
        wrong, _ = self._wrong(arm, metric)
        return sum(self.rows.count(*one) for one in wrong.items()) < stats.FEWEST_DISAGREEMENTS

    def _wrong(self, arm: str, metric: Measure) -> tuple[dict[str, Chosen], list[float]]:
        """Key of a set → images (M,) that a finished trial of an arm was wrong on; each one's accuracy."""
        wrong: dict[str, Chosen] = {}
        means = []
        for o in self.outcomes[arm]:
            row = self.rows.by_image(o, metric) if o.state == "done" else None
            if row is not None:
                key = o.planned.sets[metric.set]
                wrong[key] = wrong.get(key, False) | (row < 1)
                means.append(float(row.mean()))
        return wrong, means

    def gap(self, arm: str, name: str) -> stats.Interval | None:
        """An arm's local minus hidden accuracy over finished seeds; None with fewer than 2."""
        found = [
            (o, here, there)
            for o in self.outcomes[arm]
            if o.state == "done"
            and (here := self.rows.row(o, Measure("score", TEST))) is not None
            and (there := self.rows.row(o, Measure("score", name))) is not None
        ]
        local, hidden = [row for _, row, _ in found], [row for _, _, row in found]
        return gap_interval(local, hidden, [o for o, _, _ in found], name, self.study.folds)

    def contrast(self, arm: str, reference: str, metric: Measure) -> Contrast:
        """Arm minus reference on their common replicates."""
        return self.weighed({reference: -1.0, arm: 1.0}, metric)

    def weighed(self, weights: Mapping[str, float], metric: Measure) -> Contrast:
        """Σ weight · score over arms, on the replicates that ended in all of them.

        weights   add up to 0, so that what all arms have in common cancels out; the last of two is the arm
        """
        key = tuple(weights.items()), metric  # tables and verdicts ask for the same ones
        if key not in self._weighed:
            self._weighed[key] = self._weigh(weights, metric)
        return self._weighed[key]

    def _weigh(self, weights: Mapping[str, float], metric: Measure) -> Contrast:
        if metric.slice is not None:
            return self._on_slice(weights, metric)
        if reason := self._broken(list(weights)):
            return Contrast(None, reason=reason, arms=len(weights))
        by_arm = [{o.replicate: o for o in self.outcomes[label]} for label in weights]
        common = [at for at in by_arm[-1] if all(at in found for found in by_arm)]
        rows = tuple(tuple(found[at] for found in by_arm) for at in common)
        every = Cells(tuple(weights.values()), rows)
        cells = every.keep(lambda row: {o.state for o in row} <= {"done", "diverged"})
        make: dict[str, Callable[[Cells, Measure], Contrast]] = {
            "score": self._on_scores,
            "gap": self._on_gap,
            "cost": self._on_cost,
            "seed_sd": self._on_spread,
        }
        if metric.kind not in make:
            return Contrast(None, reason="not judged yet: bench does not know this metric")
        found = make[metric.kind](cells, metric)
        if self.study.further_seeds and len(weights) == 2 and self.study.baseline in weights:
            place = list(weights).index(self.study.baseline)
            if metric.kind == "score":
                found, cells = self._with_further(found, cells, metric, place)
        if not found.seeds:
            found = replace(found, reason=self._why_none(list(weights), cells, metric) or found.reason)
        mixed = any(0 < few < of for few, of in map(cells.little, range(len(weights))))
        return replace(
            found,
            reason=found.reason or (COLLAPSES if mixed else ""),
            diverged=cells.diverged(1),
            diverged_reference=cells.diverged(-1),
            little=cells.most_little(1),
            little_reference=cells.most_little(-1),
            mixed=mixed,
            spreads=self._spreads(cells, metric, found.seeds) if len(weights) == 2 else None,
            arms=len(weights),
            scale=sum(weight**2 for weight in weights.values()),
        )

    def _on_slice(self, weights: Mapping[str, float], metric: Measure) -> Contrast:
        if self.study.sliced_as(metric.set) not in self.sliced:
            return Contrast(None, reason=f"not judged: {slices.FILE} {NO_SLICES}", arms=len(weights))
        found = len(self.images(metric))
        if found < stats.FEWEST_DISAGREEMENTS:
            needed = f"{found} image{'s' * (found != 1)} known of it, {stats.FEWEST_DISAGREEMENTS} needed"
            return Contrast(None, reason=f"not judged: {needed}", arms=len(weights))
        part = self.part(metric)
        done = [o for of in self.outcomes.values() for o in of if o.state == "done"]
        if done and not part.rows.size(done, metric.set)[0]:
            return Contrast(None, reason="not judged: no image of it was tested on", arms=len(weights))
        return part.weighed(weights, replace(metric, slice=None))

    def _broken(self, labels: Sequence[str]) -> str:
        """What the first arm that failed by itself failed of; labels: of a pair (reference, arm)."""
        for label in reversed(labels):
            if broken := [o for o in self.outcomes[label] if o.own_fault]:
                cause = broken[0].record.cause if broken[0].record else ""
                whose = "" if label == labels[-1] else "the reference's "
                seeds = f"{len(broken)} of {len(self.outcomes[label])} seeds"
                told = f"{whose}{seeds}" if len(labels) == 2 else f"{seeds} of {label}"
                return f"{told} failed ({cause})"
        return ""

    def _why_none(self, labels: Sequence[str], cells: Cells, metric: Measure) -> str:
        """Why there is not one pair although trials ended; empty where they are not run yet."""
        for label in reversed(labels):
            if ended := unscored(self.outcomes[label]):
                return f"{UNSCORED}{'' if label == labels[-1] else ', of the reference'}: {ended}"
        bare = metric.kind == "score" and metric.traits["interval"] != "none"
        scored = (all(o.scored_on(metric.set) for o in row) for row in cells.done.rows)
        return f"not judged: {metric.score} has no interval on these images" if bare and any(scored) else ""

    def _with_further(
        self, found: Contrast, cells: Cells, metric: Measure, place: int
    ) -> tuple[Contrast, Cells]:
        """With the baseline's further seeds in its mean; place: of the baseline, 0 or 1."""
        ids = {row[place].planned.id for row in cells.rows}
        trials = (o for o in self.outcomes[self.study.baseline] if o.planned.seed in self.study.further_seeds)
        further = [o for o in trials if o.state in ("done", "diverged") and o.planned.id not in ids]
        cells = replace(cells, further=tuple(further), further_of=place)
        kept, _ = self._sums(cells, metric)
        if not isinstance(found.test, stats.Interval) or not kept.rows:
            return found, cells
        key = kept.last[0].planned.sets.get(metric.set)
        same = (self.rows.row(o, metric) for o in further if o.planned.sets.get(metric.set) == key)
        more = [row for row in same if row is not None]
        if not more:
            return found, cells
        known = ([self.rows.row(row[side], metric) for row in kept.rows] for side in (place, 1 - place))
        baseline, arm = (np.stack([row for row in rows if row is not None]) for rows in known)
        every = np.concatenate([baseline, np.stack(more)])
        test = stats.with_further(arm, baseline, every, self._slope(metric))
        test = replace(test, mean=-test.mean) if place else test
        lost = any(o.state == "diverged" for o in further)
        finished = found.finished or (found.test if lost else None)
        return replace(found, test=test, of_pairs=found.test, finished=finished), cells

    def _slope(self, metric: Measure) -> float:
        """How far all arms' seeds follow the baseline's."""
        if metric not in self._slopes:
            base = {o.replicate: self.value(o, metric) for o in self.outcomes[self.study.baseline]}
            told = []
            for label, trials in self.outcomes.items():
                both = [(base.get(o.replicate), self.value(o, metric)) for o in trials]
                known = [pair for pair in both if None not in pair]
                if label != self.study.baseline and len(known) >= stats.FEWEST_SEEDS:
                    told.append(tuple(np.array(known, dtype=float).T))
            self._slopes[metric] = stats.slope(told)
        return self._slopes[metric]

    def _spreads(self, cells: Cells, metric: Measure, seeds: int) -> tuple[float, float] | None:
        """What single runs of two arms vary by, each arm by itself; None unless it is known of all seeds."""
        both = [(self.value(a, metric), self.value(b, metric)) for a, b in cells.rows]
        known = [(left, right) for left, right in both if left is not None and right is not None]
        if len(known) != seeds or seeds < 2:
            return None
        reference, arm = np.array(known).var(axis=0, ddof=1)
        return float(reference), float(arm)

    def value(self, outcome: Outcome, metric: Measure) -> float | None:
        """What one finished trial is compared by: its score, its gap, or the logarithm of its cost."""
        if outcome.state != "done":
            return None
        if metric.kind == "cost":
            spent = cost(outcome, metric.score)
            return math.log(spent) if spent else None
        if metric.kind == "gap":
            here, there = (self.rows.row(outcome, Measure("score", name)) for name in (TEST, metric.set))
            return None if here is None or there is None else float(here.mean() - there.mean())
        return self.rows.value(outcome, metric) if metric.kind == "score" else None

    def _sums(
        self, cells: Cells, metric: Measure, read: Callable[[Outcome, Measure], Doubles | None] | None = None
    ) -> tuple[Cells, list[Doubles]]:
        """Σ weight · score of each replicate that was scored on one and the same set in every arm."""
        kept: list[Row] = []
        known: list[list[Doubles]] = []
        read = read or self.rows.row
        for row in cells.rows:
            parts = [part for o in row if (part := read(o, metric)) is not None]
            if len(parts) == len(row) and len({o.planned.sets.get(metric.set) for o in row}) == 1:
                kept.append(row)
                known.append(parts)
        if not kept:
            return replace(cells, rows=()), []
        # One arm's replicates end to end, so that there is a sum for each arm and not for each pair.
        by_arm = (np.concatenate(of_arm) for of_arm in zip(*known, strict=True))
        terms = (weight * of_arm for weight, of_arm in zip(cells.weights, by_arm, strict=True))
        ends = np.cumsum([len(parts[0]) for parts in known])
        return replace(cells, rows=tuple(kept)), np.split(functools.reduce(np.add, terms), ends[:-1])

    def _interval(self, rows: Sequence[Doubles], of: Sequence[Outcome], name: str) -> stats.Interval | None:
        return interval(rows, of, name, self.study.folds)

    def _item(self, cells: Cells, name: str) -> str:
        """What intervals on a set count: ``group`` where groups of images are known, else ``image``."""
        known = any(self.rows.groups(o.planned.sets.get(name, "")) for o in cells.last)
        return "group" if known else "image"

    def _replicates(self, cells: Cells) -> int:
        """Seeds, or folds, that a comparison rests on."""
        return len({o.planned.fold for o in cells.last}) if self.study.folds else len(cells.rows)

    def _disagreements(self, cells: Cells, metric: Measure) -> int:
        """Items on which finished arms are not equally right; with folds, of all folds' images.

        A group is one where any of its images is.
        """
        kept, sums = self._sums(cells.done, metric, self.rows.by_image)
        differs: dict[str, Chosen] = {}
        for o, row in zip(kept.last, sums, strict=True):
            key = o.planned.sets[metric.set]
            differs[key] = differs.get(key, False) | (abs(row) > ROUNDING)
        return sum(self.rows.count(key, images) for key, images in differs.items())

    def _on_scores(self, cells: Cells, metric: Measure) -> Contrast:
        if metric.traits["interval"] == "none":
            return Contrast(None, reason=f"not judged: {metric.score} has a value, never a verdict")
        kept, rows = self._sums(cells, metric)
        interval = self._interval(rows, kept.last, metric.set)
        finished, some = self._sums(kept.done, metric)
        disagreements = self._disagreements(kept, metric)
        seeds, unfinished = self._replicates(kept), len(finished.rows) < len(kept.rows)
        counted = None if unfinished else disagreements
        return Contrast(
            interval,
            seeds,
            stats.untestable(interval, seeds, counted, self._item(kept, metric.set)),
            disagreements,
            finished=self._interval(some, finished.last, metric.set) if unfinished else None,
        )

    def _on_gap(self, cells: Cells, metric: Measure) -> Contrast:
        here, there = Measure("score", TEST), Measure("score", metric.set)
        kept, _ = self._sums(cells, here)
        kept, hidden = self._sums(kept, there)
        _, local = self._sums(kept, here)
        interval = gap_interval(local, hidden, kept.last, metric.set, self.study.folds)
        disagreements = self._disagreements(kept, here) + self._disagreements(kept, there)
        seeds = self._replicates(kept)
        reason = stats.untestable(interval, seeds, disagreements, self._item(kept, metric.set))
        return Contrast(interval, seeds, reason, disagreements)

    def _on_cost(self, cells: Cells, metric: Measure) -> Contrast:
        done = cells.done
        kinds = {device(o) + f" ({gang(o)} at once)" * (gang(o) > 1) for row in done.rows for o in row}
        if metric.score == "seconds" and len(kinds) > 1:
            return Contrast(None, len(done.rows), "more than one kind of device: " + ", ".join(sorted(kinds)))
        values = [[self.value(o, metric) for o in row] for row in done.rows]
        logs = [[value for value in row if value is not None] for row in values]
        known = [np.dot(cells.weights, row) for row in logs if len(row) == len(cells.weights)]
        interval = stats.paired_t(np.array(known)) if len(known) > 1 else None
        return Contrast(interval, len(known), stats.untestable(interval, len(known)))

    def _on_spread(self, cells: Cells, metric: Measure) -> Contrast:
        if len(cells.weights) != 2:
            return Contrast(None, reason="not judged: a spread over seeds is of single arms")
        primary = parse(self.study.primary, self.study.sets)
        rows = [[self.value(o, primary) for o in row] for row in cells.done.rows]
        values = [row for row in rows if None not in row]
        if len(values) < stats.FEWEST_SEEDS:
            return Contrast(None, len(values), stats.untestable(None, len(values)))
        reference, arm = np.array(values, dtype=float).T
        return Contrast(stats.brown_forsythe(reference, arm), len(values))
