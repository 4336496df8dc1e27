"""The baseline's further seeds (docs/method.md, "A baseline with more seeds")."""

from collections.abc import Callable, Sequence

import numpy as np

from .formulas import Effect, two_way
from .records import Study, Trial
from .replicates import Rows

FEWEST = 3  # pairs of an arm, for it to tell how far arms follow the baseline
Read = Callable[[Sequence[Trial]], Rows]


def with_further(
    study: Study, pairs: Sequence[Sequence[Trial]], further: Sequence[Trial], read: Read, plain: Effect
) -> Effect:
    """A difference of pairs, by all seeds of the baseline where it is one of the two.

    further  those seeds of it that no pair has and that have a score
    """
    first, second = pairs
    sides = [trials[0] in study.arms[study.baseline] for trials in pairs]
    if not further or not any(sides):
        return plain
    arm, base = (second, first) if sides[0] else (first, second)
    known = [read(arm), read(base), read([*base, *further])]
    if any(rows is None for rows in known):
        return plain
    a, b, every = (np.array(rows) for rows in known)
    beta = _slope(study, arm[0], read)
    S, M = len(a), len(every)
    rest, more = two_way(a - beta * b), two_way((1 - beta) * every)
    together = float(np.cov((a - beta * b).mean(axis=1), b.mean(axis=1))[0, 1])
    of_pairs = rest.v_seed + max(0.0, -2 * (1 - beta) * together / M)
    v_seed = of_pairs + more.v_seed
    images = (a - beta * b).mean(axis=0) - (1 - beta) * every.mean(axis=0)
    freedom = v_seed / (of_pairs / (S - 1) + more.v_seed / (M - 1))
    mean = rest.mean - more.mean
    return Effect(
        -mean if sides[0] else mean,
        v_seed,
        float(np.var(images, ddof=1)) / len(images),
        rest.v_both + more.v_both,
        S,
        (len(images),),
        lent=freedom - (S - 1),
    )


def _slope(study: Study, of: Trial, read: Read) -> float:
    """One regression of all arms that stand beside this trial's on the baseline, held to [0, 1]."""
    parts = (study.arms, study.shared, {study.repeated: study.again})
    part = next(one for one in parts if any(of in trials for trials in one.values()))
    base = {trial.replicate: trial for trial in study.finished(study.baseline)}
    above = below = 0.0
    for arm, trials in part.items():
        both = [trial for trial in trials if trial.done and trial.replicate in base]
        if arm == study.baseline or len(both) < FEWEST:
            continue
        values = [read(both), read([base[trial.replicate] for trial in both])]
        a, b = (np.array([float(row.mean()) for row in rows or []]) for rows in values)
        above += float(np.sum((a - a.mean()) * (b - b.mean())))
        below += float(np.sum((b - b.mean()) ** 2))
    return min(1.0, max(0.0, above / below)) if below > 0 else 0.0
