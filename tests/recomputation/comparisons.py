"""Two arms on a metric: the difference, and how far it may be trusted."""

import math
from dataclasses import dataclass, replace

import numpy as np

from .formulas import LEVEL, Effect, brown_forsythe, gap, paired, two_way
from .records import LOCAL, Study, Trial
from .scores import right

FEW = 10  # items on which two arms have to disagree before anything is said


@dataclass(frozen=True)
class Comparison:
    """An arm against a reference on a metric, in the metric's own direction."""

    arm: str
    reference: str
    metric: str
    seeds: int
    effect: Effect | None = None
    """Of a score or a gap a difference, of a cost a difference of logarithms, of `seed_sd` none."""
    sign: int = 1
    """−1 where less is better."""
    delta: float | None = None
    differing: int = FEW
    spreads: tuple[float, float] | None = None
    p_spread: float = 1.0

    def p(self, cut: float, printed: bool = False) -> float:
        """For "the benefit is `cut`"; by what decides, or by the interval as it is printed."""
        if self.effect is None:
            return self.p_spread if cut == 0 else 1.0
        if self.seeds < 3 or self.differing < FEW:
            return 1.0
        return (self.effect.p_printed if printed else self.effect.p)(self.sign * cut)

    @property
    def benefit(self) -> float:
        """How much better than the reference; of a spread, by how much smaller."""
        if self.spreads is not None:
            return self.spreads[1] - self.spreads[0]
        assert self.effect is not None
        return self.sign * self.effect.mean

    @property
    def level(self) -> float:
        return LEVEL if self.seeds > 3 else LEVEL / 2


def correct(trials: list[Trial], name: str) -> np.ndarray:
    """(S, N): which images of a set each trial answers rightly, copies of one image averaged."""
    rows = []
    for trial in trials:
        answers = trial.answers(trial.keys[name])
        if answers.groups is not None:
            raise NotImplementedError("known groups: the group is the item")
        _, place = np.unique(answers.ids, return_inverse=True)
        rows.append(np.bincount(place, right(answers)) / np.bincount(place))
    return np.array(rows)


def pairs(study: Study, arm: str, reference: str, shared: bool = False) -> tuple[list[Trial], list[Trial]]:
    """The trials of two arms, of the seeds that both finished."""
    trials = study.shared[arm] if shared else study.arms[arm]
    others = {trial.seed: trial for trial in study.finished(reference)}
    both = [trial for trial in trials if trial.done and trial.seed in others]
    return both, [others[trial.seed] for trial in both]


def difference(study: Study, arm: str, reference: str, name: str, shared: bool = False) -> Effect | None:
    """Of two arms' accuracy on a set; none under two common seeds."""
    first, second = pairs(study, arm, reference, shared)
    return two_way(correct(first, name) - correct(second, name)) if len(first) > 1 else None


def cost(trial: Trial, what: str) -> float:
    return trial.epochs if what == "epochs" else float(trial.record["timings"]["train"])


def compare(study: Study, arm: str, reference: str, metric: str) -> Comparison:
    """Any metric that a claim may name."""
    first, second = pairs(study, arm, reference)
    plain = Comparison(arm, reference, metric, len(first))
    if metric == "seed_sd":
        name, _, score = study.primary.partition(".")
        a, b = (
            np.array([t.record["scores"][t.keys[name]][score] for t in trials]) for trials in (first, second)
        )
        spreads = (float(np.std(a, ddof=1)), float(np.std(b, ddof=1)))
        return replace(plain, sign=-1, spreads=spreads, p_spread=brown_forsythe(a, b))
    kind, _, what = metric.partition(".")
    if kind == "cost":
        logs = [math.log(cost(a, what) / cost(b, what)) for a, b in zip(first, second, strict=True)]
        return replace(plain, effect=paired(np.array(logs)), sign=-1)
    if kind == "gap":
        local = correct(first, LOCAL) - correct(second, LOCAL)
        hidden = correct(first, what) - correct(second, what)
        return replace(plain, effect=gap(local, hidden), sign=-1, delta=study.delta(what))
    if what != "accuracy":
        raise NotImplementedError(f"an interval of {what}")
    apart = correct(first, kind) - correct(second, kind)
    differing = int(np.any(apart != 0, axis=0).sum())
    return replace(plain, effect=two_way(apart), delta=study.delta(kind), differing=differing)
