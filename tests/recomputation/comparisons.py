"""Two arms on a metric: the difference, and how far it may be trusted."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .formulas import LEVEL, Effect, brown_forsythe, paired
from .further import with_further
from .records import LOCAL, Study, Trial
from .replicates import FEW, Rows, apart, differing, effect, gap_effect, replicates, rows

FEWEST = 3  # seeds, for a verdict
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
    spreads: tuple[float, float] | None = None
    p_spread: float = 1.0

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
        if self.seeds < FEWEST:
            return f"{self.seeds} common seed{'s' * (self.seeds != 1)}, {FEWEST} needed"
        if self.spreads is not None:
            return ""
        if self.effect is None:
            return f"a class has fewer than 2 {self.item}s"
        if self.differing == 0:
            return "too few errors: the arms never disagree"
        if self.differing is not None and self.few:
            some = f"{self.differing} {self.item}{'s' * (self.differing != 1)}"
            return f"too few errors: the arms disagree on {some} only, {FEW} needed"
        return "" if self.effect.variance else "the difference never varies"

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
        kind, _, what = self.metric.partition(".")
        return "ratio" if kind == "cost" else "points" if kind == "gap" else UNITS.get(what, "points")


def pairs(
    study: Study, arm: str, reference: str, shared: bool = False, first: int | None = None
) -> tuple[list[Trial], list[Trial]]:
    """The trials of two arms, of the seeds that both finished.

    shared  the arm as it was trained with the baseline's tuned values
    first   as many of each arm's planned seeds as a look had; all
    """
    trials = (study.shared[arm] if shared else study.trials(arm))[:first]
    others = {trial.replicate: trial for trial in study.arms[reference][:first] if trial.done}
    both = [trial for trial in trials if trial.done and trial.replicate in others]
    return both, [others[trial.replicate] for trial in both]


def difference(study: Study, arm: str, reference: str, name: str, shared: bool = False) -> Comparison:
    """Of two arms' accuracy on a set, over all common seeds."""
    return on_score(study, *pairs(study, arm, reference, shared), name, "accuracy")


def on_score(
    study: Study,
    first: Sequence[Trial],
    second: Sequence[Trial],
    name: str,
    score: str,
    view: Callable[[Trial], Trial] = lambda trial: trial,
) -> Comparison:
    """Of trials of one seed each, a score on a set.

    view  what of each trial is looked at
    """
    found = Comparison("", "", f"{name}.{score}", replicates(study, first))
    if not first:
        return found

    def read(trials: Sequence[Trial]) -> Rows:
        return rows([view(trial) for trial in trials], name, score)

    of_pairs = effect(study, first, apart(read(first), read(second)), name)
    of = of_pairs and with_further(study, first, second, read, of_pairs)
    first, second = ([view(trial) for trial in trials] for trials in (first, second))
    return replace(
        found,
        effect=of,
        of_pairs=of_pairs,
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
    first, second = pairs(study, arm, reference, first=look)
    plain = Comparison(arm, reference, metric, len(first))
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
        both = replace(plain, seeds=replicates(study, first), sign=-1, delta=study.delta(what))
        if not first:
            return both
        local, hidden = (apart(rows(first, name), rows(second, name)) for name in (LOCAL, what))
        counts = (differing(first, second, name) for name in (LOCAL, what))
        found = gap_effect(study, first, local, hidden, what)
        return replace(both, effect=found, differing=sum(counts), item=_item(first, what))
    return replace(on_score(study, first, second, kind, what), arm=arm, reference=reference, metric=metric)
