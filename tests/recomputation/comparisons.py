"""Two arms on a metric: the difference, and how far it may be trusted."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .formulas import LEVEL, Effect, brown_forsythe, paired
from .further import with_further
from .parts import View, there, view, whole_and_slice, withheld
from .records import LOCAL, Study, Trial
from .replicates import FEW, Rows, differing, effect, ended, gap_effect, minus, replicates

FEWEST = 3  # seeds, for a verdict
COLLAPSES = "some seeds learned, some hardly: no interval covers a rare collapse"
LOWER = ("nll", "ece")  # scores of which less is better
UNITS = {"nll": "nats"}  # of scores that are no shares


@dataclass(frozen=True)
class Comparison:
    """An arm against a reference on a metric, in the metric's own direction."""

    arm: str
    reference: str
    metric: str
    seeds: int
    """Common ones, with folds folds."""
    effect: Effect | None = None
    """Of a score or a gap a difference, of a cost a difference of logarithms, of `seed_sd` none."""
    sign: int = 1
    """−1 where less is better."""
    delta: float | None = None
    differing: int | None = None
    """Items on which the arms ever disagree; None where items play no part."""
    item: str = "image"
    of_pairs: Effect | None = None
    """The effect by the seeds that both have, of a score."""
    finished: Effect | None = None
    """Of the seeds that both finished, where some diverged in one of them; of a score."""
    diverged: tuple[int, int] = (0, 0)
    """Common seeds in which the arm, and the reference, did."""
    little: tuple[int, int] = (0, 0)
    """In which they learned little."""
    mixed: bool = False
    """Some seeds of one of the two learned, some hardly."""
    spreads: tuple[float, float] | None = None
    p_spread: float = 1.0
    withheld: str = ""
    """Why it is not even compared."""

    def p(self, cut: float, printed: bool = False) -> float:
        """For "the benefit is `cut`"; by what decides, or by the interval as it is printed."""
        if self.reason:
            return 1.0
        if self.effect is None:
            return self.p_spread if cut == 0 else 1.0
        return (self.effect.p_printed if printed else self.effect.p)(self.sign * cut)

    @property
    def few(self) -> bool:
        """Too few items tell the arms apart for an interval to mean anything."""
        return self.differing is not None and self.differing < FEW

    @property
    def reason(self) -> str:
        """Why there is no verdict; empty where there may be one."""
        if self.withheld:
            return self.withheld
        if self.seeds < FEWEST:
            return f"{self.seeds} common seed{'s' * (self.seeds != 1)}, {FEWEST} needed"
        if self.spreads is not None:
            return COLLAPSES if self.mixed else ""
        if self.effect is None:
            return f"a class has fewer than 2 {self.item}s"
        whole = not any(self.diverged) or self.metric.startswith("gap.")
        if whole and self.differing == 0:
            return "too few errors: the arms never disagree"
        if whole and self.differing is not None and self.few:
            some = f"{self.differing} {self.item}{'s' * (self.differing != 1)}"
            return f"too few errors: the arms disagree on {some} only, {FEW} needed"
        if not self.effect.variance:
            return "the difference never varies"
        return COLLAPSES if self.mixed else ""

    @property
    def of_finished(self) -> Effect | None:
        """Of pairs that both finished."""
        return self.finished if any(self.diverged) else self.effect

    @property
    def benefit(self) -> float:
        """How much better than the reference; of a spread, by how much smaller."""
        if self.spreads is not None:
            return self.spreads[1] - self.spreads[0]
        assert self.effect is not None
        return self.sign * self.effect.mean

    @property
    def level(self) -> float:
        return LEVEL if self.seeds > FEWEST else LEVEL / 2

    @property
    def unit(self) -> str:
        """What differences are told in: points, ratio, nats."""
        kind, _, what = whole_and_slice(self.metric)[0].partition(".")
        return "ratio" if kind == "cost" else "points" if kind == "gap" else UNITS.get(what, "points")


def pairs(
    study: Study, arm: str, reference: str, shared: bool = False, first: int | None = None
) -> tuple[list[Trial], list[Trial]]:
    """The trials of two arms, of the seeds that both finished.

    shared  the arm as it was trained with the baseline's tuned values
    first   as many of each arm's planned seeds as a look had; all
    """
    return done(*ended_pairs(study, arm, reference, shared, first))


def ended_pairs(
    study: Study, arm: str, reference: str, shared: bool = False, first: int | None = None
) -> tuple[list[Trial], list[Trial]]:
    """The same, of seeds that may have diverged in one of them."""
    trials = (study.shared[arm] if shared else study.trials(arm))[:first]
    others = {trial.replicate: trial for trial in study.arms[reference][:first]}
    both = [trial for trial in trials if trial.replicate in others]
    return both, [others[trial.replicate] for trial in both]


def done(first: Sequence[Trial], second: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Those pairs that both finished."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a.done and b.done]
    return [a for a, _ in both], [b for _, b in both]


def troubled(study: Study, found: Comparison, first: Sequence[Trial], second: Sequence[Trial]) -> Comparison:
    """With what became of its seeds, the baseline's further ones among them."""
    counted = [[*side, *_further(study, side)] for side in (first, second)]
    if found.metric.partition(".")[0] not in study.sets:
        counted = [list(first), list(second)]
    diverged, little, finished = (
        tuple(sum(of(trial) for trial in side) for side in counted)
        for of in (lambda one: one.diverged, lambda one: one.little, lambda one: one.done)
    )
    mixed = any(0 < some < of for some, of in zip(little, finished, strict=True))
    return replace(found, diverged=diverged, little=little, mixed=mixed)


def _further(study: Study, *sides: Sequence[Trial]) -> list[Trial]:
    """The further seeds that belong to one of the sides."""
    mine = any(trial in study.arms[study.baseline] for side in sides for trial in side[:1])
    return study.further if mine else []


def difference(study: Study, arm: str, reference: str, name: str, shared: bool = False) -> Comparison:
    """Of two arms' accuracy on a set, over the seeds that both finished."""
    one = on_score(study, *ended_pairs(study, arm, reference, shared), name, "accuracy")
    return replace(one, effect=one.of_finished)


def on_score(
    study: Study,
    first: Sequence[Trial],
    second: Sequence[Trial],
    name: str,
    score: str,
    seen: View = lambda trial: trial,
) -> Comparison:
    """Of trials of one seed each, a score on a set.

    seen  what of each trial is looked at
    """
    found = troubled(study, Comparison("", "", f"{name}.{score}", 0), first, second)
    if score in UNITS:  # nothing is known to be chance
        first, second = done(first, second)
    some = there(study, first, name, seen)
    first, second = ([one for one, has in zip(side, some, strict=True) if has] for side in (first, second))
    found = replace(found, seeds=replicates(study, first))
    if not first:
        return found

    def read(trials: Sequence[Trial]) -> Rows:
        return ended(study, [seen(trial) for trial in trials], name, score)

    of_pairs = effect(study, first, minus(read(first), read(second)), name)
    further = [one for one in study.further if one.done or score not in UNITS]
    of = of_pairs and with_further(study, (first, second), further, read, of_pairs)
    lost = any(not one.done for one in (*first, *second, *_further(study, first, second)))
    first, second = done(first, second)
    finished = effect(study, first, minus(read(first), read(second)), name)
    first, second = ([seen(trial) for trial in trials] for trials in (first, second))
    return replace(
        found,
        effect=of,
        of_pairs=of_pairs if study.further else finished,
        finished=finished if lost else None,
        sign=-1 if score in LOWER else 1,
        delta=None if score in UNITS else study.delta(name),
        differing=differing(first, second, name),
        item=_item(first, name),
    )


def _item(trials: Sequence[Trial], name: str) -> str:
    known = any(trial.answers(trial.keys[name]).groups is not None for trial in trials)
    return "group" if known else "image"


def cost(trial: Trial, what: str) -> float:
    return trial.epochs if what == "epochs" else float(trial.record["timings"]["train"])


def score_of(trial: Trial, metric: str) -> float:
    """A trial's score by its record: `<set>.<score>`."""
    name, _, score = metric.partition(".")
    return float(trial.record["scores"][trial.keys[name]][score])


def compare(study: Study, arm: str, reference: str, metric: str, look: int | None = None) -> Comparison:
    """Any metric that a claim may name.

    look  as many of each arm's seeds, in their order; all
    """
    every = ended_pairs(study, arm, reference, first=look)
    first, second = done(*every)
    plain = troubled(study, Comparison(arm, reference, metric, len(first)), *every)
    if metric == "seed_sd":
        a, b = (np.array([score_of(t, study.primary) for t in trials]) for trials in (first, second))
        if len(a) < FEWEST:
            return plain
        spreads = (float(np.std(a, ddof=1)), float(np.std(b, ddof=1)))
        return replace(plain, sign=-1, spreads=spreads, p_spread=brown_forsythe(a, b))
    kind, _, what = metric.partition(".")
    if kind == "cost":
        logs = [math.log(cost(a, what) / cost(b, what)) for a, b in zip(first, second, strict=True)]
        return replace(plain, effect=paired(np.array(logs)) if len(logs) > 1 else None, sign=-1)
    if kind == "gap":
        both = replace(plain, seeds=replicates(study, every[0]), sign=-1, delta=study.delta(what))
        if not first:
            return both
        read = functools.partial(ended, study)
        local, hidden = (minus(read(every[0], name), read(every[1], name)) for name in (LOCAL, what))
        counts = (differing(first, second, name) for name in (LOCAL, what))
        found = gap_effect(study, every[0], local, hidden, what)
        return replace(both, effect=found, differing=sum(counts), item=_item(first, what))
    if why := withheld(study, metric):
        return Comparison(arm, reference, metric, 0, withheld=why)
    what = whole_and_slice(what)[0]
    found = on_score(study, *every, kind, what, view(study, metric))
    return replace(found, arm=arm, reference=reference, metric=metric)
