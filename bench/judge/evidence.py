"""The intervals between arms that the rows of their trials allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench import stats
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import Outcome, Outcomes, cost, device
from bench.judge.replicates import gap_interval, interval
from bench.judge.rows import Chosen, Doubles, Rows
from bench.plan import TEST
from bench.store import Store
from bench.study.file import Criterion
from bench.study.read import Study

Pairs = Sequence[tuple[Outcome, Outcome]]
"""(reference, arm) of the same replicate."""

COLLAPSES = "some seeds learned, some hardly: no interval covers a rare collapse"
"""Why there is no verdict then."""


@dataclass(frozen=True)
class Contrast:
    """An arm against a reference on one metric: not yet judged. Always arm − reference."""

    test: stats.Interval | stats.SpreadTest | None
    seeds: int = 0
    """Common replicates, diverged ones included."""
    reason: str = ""
    """Why it cannot be tested."""
    disagreements: int | None = None
    diverged: int = 0
    diverged_reference: int = 0
    little: int = 0
    """Common replicates in which the arm learned little; they are scored as they are."""
    little_reference: int = 0
    mixed: bool = False
    """One of the arms has both seeds that learned and seeds that learned little."""
    finished: stats.Interval | None = None
    """Of the pairs that both finished, when some did not."""
    spreads: tuple[float, float] | None = None
    """Variances of the reference's and of the arm's own values over the common seeds, where all finished."""

    @property
    def few(self) -> bool:
        """Too few items on which the arms disagree for an interval to mean anything."""
        return self.disagreements is not None and self.disagreements < stats.FEWEST_DISAGREEMENTS

    @property
    def hopeless(self) -> bool:
        """No further seed would make it testable."""
        return self.mixed or " failed (" in self.reason or self.reason.startswith("not judged")

    @property
    def of_finished(self) -> stats.Interval | None:
        """The interval of pairs that both finished."""
        usable = self.finished if self.diverged or self.diverged_reference else self.test
        return usable if isinstance(usable, stats.Interval) else None


class Evidence:
    """Trials compared: an arm with a reference, arms weighed together, an arm alone."""

    def __init__(
        self, study: Study, outcomes: Outcomes, store: Store, wanted: Mapping[str, Sequence[str]]
    ) -> None:
        """wanted: for each set of the plan, the scores that are asked for."""
        self.outcomes, self.study, self._store = outcomes, study, store
        self.rows = Rows((o for trials in outcomes.values() for o in trials), store, wanted)

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
        broken = [(o, name) for name in (arm, reference) for o in self.outcomes[name] if o.own_fault]
        if broken:
            outcome, name = broken[0]
            cause = outcome.record.cause if outcome.record else ""
            whose = "" if name == arm else "the reference's "
            number = sum(name == other for _, other in broken)
            return Contrast(
                None, reason=f"{whose}{number} of {len(self.outcomes[name])} seeds failed ({cause})"
            )
        by_replicate = {o.replicate: o for o in self.outcomes[reference]}
        pairs = [
            (other, o) for o in self.outcomes[arm] if (other := by_replicate.get(o.replicate)) is not None
        ]
        pairs = [(a, b) for a, b in pairs if {a.state, b.state} <= {"done", "diverged"}]
        make: dict[str, Callable[[Pairs, Measure], Contrast]] = {
            "score": self._on_scores,
            "gap": self._on_gap,
            "cost": self._on_cost,
            "seed_sd": self._on_spread,
        }
        if metric.kind not in make:
            return Contrast(None, reason="not judged yet: bench does not know this metric")
        found = make[metric.kind](pairs, metric)
        sides = [[a for a, _ in pairs], [b for _, b in pairs]]
        of_reference, of_arm = ([o for o in side if o.state == "done"] for side in sides)
        little = [sum(bool(o.little_learned) for o in done) for done in (of_reference, of_arm)]
        mixed = 0 < little[0] < len(of_reference) or 0 < little[1] < len(of_arm)
        return replace(
            found,
            reason=found.reason or (COLLAPSES if mixed else ""),
            diverged=len(pairs) - len(of_arm),
            diverged_reference=len(pairs) - len(of_reference),
            little=little[1],
            little_reference=little[0],
            mixed=mixed,
            spreads=self._spreads(pairs, metric, found.seeds),
        )

    def _spreads(self, pairs: Pairs, metric: Measure, seeds: int) -> tuple[float, float] | None:
        """What single runs of two arms vary by, each arm by itself; None unless it is known of all seeds."""
        both = [(self.value(a, metric), self.value(b, metric)) for a, b in pairs]
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
        row = self.rows.row(outcome, metric) if metric.kind == "score" else None
        return None if row is None else float(row.mean())

    def combination(self, weights: Mapping[str, float], metric: Measure) -> tuple[stats.Interval | None, int]:
        """Σ weight · score over arms, on the seeds finished in all of them: its interval, and how many seeds.

        The weights of a contrast add up to 0, so that what all arms have in common cancels out.
        """
        by_arm = {arm: {o.replicate: o for o in self.outcomes[arm] if o.state == "done"} for arm in weights}
        common = [o.replicate for o in next(iter(self.outcomes.values())) if metric.kind == "score"]
        kept: list[Outcome] = []
        rows: list[Doubles] = []
        for replicate in common:
            outcomes = {arm: found.get(replicate) for arm, found in by_arm.items()}
            parts = [
                w * row
                for arm, w in weights.items()
                if (o := outcomes[arm]) and (row := self.rows.row(o, metric)) is not None
            ]
            keys = {o.planned.sets.get(metric.set) for o in outcomes.values() if o}
            if len(parts) == len(weights) and len(keys) == 1:
                rows.append(np.sum(parts, axis=0))
                kept.append(next(o for o in outcomes.values() if o))
        return (self._interval(rows, kept, metric.set) if len(rows) > 1 else None), len(rows)

    def _differences(
        self, pairs: Pairs, metric: Measure, read: Callable[[Outcome, Measure], Doubles | None] | None = None
    ) -> tuple[Pairs, list[Doubles]]:
        kept, rows = [], []
        read = read or self.rows.row
        for a, b in pairs:
            left, right = read(a, metric), read(b, metric)
            if left is None or right is None:
                continue
            if a.planned.sets.get(metric.set) != b.planned.sets.get(metric.set):
                continue
            kept.append((a, b))
            rows.append(right - left)
        return kept, rows

    def _interval(self, rows: Sequence[Doubles], of: Sequence[Outcome], name: str) -> stats.Interval | None:
        return interval(rows, of, name, self.study.folds)

    def _item(self, pairs: Pairs, name: str) -> str:
        """What intervals on a set count: ``group`` where groups of images are known, else ``image``."""
        known = any(self.rows.groups(b.planned.sets.get(name, "")) for _, b in pairs)
        return "group" if known else "image"

    def _replicates(self, pairs: Pairs) -> int:
        """Seeds, or folds, that a comparison rests on."""
        return len({o.planned.fold for _, o in pairs}) if self.study.folds else len(pairs)

    def _disagreements(self, pairs: Pairs, metric: Measure) -> int:
        """Items on which finished pairs are not equally right; with folds, of all folds' images.

        A group is one where any of its images is.
        """
        done = [(a, b) for a, b in pairs if a.state == b.state == "done"]
        kept, rows = self._differences(done, metric, self.rows.by_image)
        differs: dict[str, Chosen] = {}
        for (_, b), row in zip(kept, rows, strict=True):
            key = b.planned.sets[metric.set]
            differs[key] = differs.get(key, False) | (row != 0)
        return sum(self.rows.count(key, images) for key, images in differs.items())

    def _on_scores(self, pairs: Pairs, metric: Measure) -> Contrast:
        if metric.traits["interval"] == "none":
            return Contrast(None, reason=f"not judged: {metric.score} has a value, never a verdict")
        kept, rows = self._differences(pairs, metric)
        interval = self._interval(rows, [b for _, b in kept], metric.set)
        finished, some = self._differences([(a, b) for a, b in kept if a.state == b.state == "done"], metric)
        disagreements = self._disagreements(kept, metric)
        seeds = self._replicates(kept)
        counted = None if len(finished) < len(kept) else disagreements
        return Contrast(
            interval,
            seeds,
            stats.untestable(interval, seeds, counted, self._item(kept, metric.set)),
            disagreements,
            finished=self._interval(some, [b for _, b in finished], metric.set)
            if len(finished) < len(kept)
            else None,
        )

    def _on_gap(self, pairs: Pairs, metric: Measure) -> Contrast:
        here, there = Measure("score", TEST), Measure("score", metric.set)
        kept, _ = self._differences(pairs, here)
        kept, hidden = self._differences(kept, there)
        _, local = self._differences(kept, here)
        interval = gap_interval(local, hidden, [b for _, b in kept], metric.set, self.study.folds)
        disagreements = self._disagreements(kept, here) + self._disagreements(kept, there)
        seeds = self._replicates(kept)
        reason = stats.untestable(interval, seeds, disagreements, self._item(kept, metric.set))
        return Contrast(interval, seeds, reason, disagreements)

    def _on_cost(self, pairs: Pairs, metric: Measure) -> Contrast:
        done = [(a, b) for a, b in pairs if a.state == b.state == "done"]
        kinds = {device(o) for pair in done for o in pair}
        if metric.score == "seconds" and len(kinds) > 1:
            return Contrast(None, len(done), "more than one kind of device: " + ", ".join(sorted(kinds)))
        costs = [(cost(a, metric.score), cost(b, metric.score)) for a, b in done]
        known = [math.log(b / a) for a, b in costs if a and b]
        interval = stats.paired_t(np.array(known)) if len(known) > 1 else None
        return Contrast(interval, len(known), stats.untestable(interval, len(known)))

    def _on_spread(self, pairs: Pairs, metric: Measure) -> Contrast:
        primary = parse(self.study.primary, self.study.sets)
        values = []
        for a, b in pairs:
            left, right = self.rows.row(a, primary), self.rows.row(b, primary)
            if a.state == b.state == "done" and left is not None and right is not None:
                values.append((left.mean(), right.mean()))
        if len(values) < stats.FEWEST_SEEDS:
            return Contrast(None, len(values), stats.untestable(None, len(values)))
        reference, arm = np.array(values).T
        return Contrast(stats.brown_forsythe(reference, arm), len(values))
