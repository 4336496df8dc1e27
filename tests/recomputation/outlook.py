"""What single new runs would differ by, what luck alone can do, and how often hidden sets were looked at."""

import math

import numpy as np
from scipy import optimize, special, stats

from . import screens
from .comparisons import Comparison, cost, pairs
from .family import Family, claimed
from .formulas import LEVEL
from .parts import view, whole_and_slice
from .records import LOCAL, Row, Study, Trial
from .replicates import rows

FEWEST = 5  # seeds, for a prediction
GRID = 281


def own_values(study: Study, trials: list[Trial], metric: str) -> list[float]:
    """What each trial is compared by; of a cost its logarithm."""
    trials = [*map(view(study, metric), trials)]
    kind, _, what = whole_and_slice(metric)[0].partition(".")
    if kind == "cost":
        return [math.log(cost(trial, what)) for trial in trials]
    found = rows(trials, LOCAL if kind == "gap" else kind, "accuracy" if kind == "gap" else what)
    means = [float(row.mean()) for row in found or []]
    if kind == "gap":
        hidden = rows(trials, what) or []
        means = [mean - float(row.mean()) for mean, row in zip(means, hidden, strict=True)]
    return means


def new_runs(study: Study, one: Comparison, look: int | None = None) -> tuple[float, float, float] | str:
    """Half the prediction interval, the difference, and P(the arm's run is the better one); or why not.

    look  as many of each arm's seeds as the comparison was last seen with; all
    """
    if one.reason:
        return one.reason
    if one.effect is None:
        return "a spread over seeds is of no single run"
    if study.folds:
        return "folds share what they train on, and each is tested on other images"
    if any(one.diverged):
        return "some seeds diverged, and so may a new run"
    if one.seeds < FEWEST:
        return f"{one.seeds} common seeds, {FEWEST} needed"
    single = [
        float(np.var(own_values(study, trials, one.metric), ddof=1))
        for trials in pairs(study, one.arm, one.reference, first=look)
    ]
    variance = sum(single) + one.effect.variance
    if not variance:
        return "the difference never varies"
    parts = sum(s2**2 for s2 in single) / (one.seeds - 1) + one.effect.variance**2 / one.effect.freedom
    freedom, error = variance**2 / parts, math.sqrt(variance)
    half = float(stats.t.isf(LEVEL / 2, freedom)) * error
    return half, one.effect.mean, float(stats.t.cdf(one.benefit / error, freedom))


def comparisons(study: Study, order: list[str]) -> list[tuple[str, str, str]]:
    """On the primary metric, then of the claims; each once."""
    names = [(*pair, study.primary) for pair in screens.told(study, order)]
    for claim in study.file.get("claims", []):
        names += claimed(study, claim)
    return list(dict.fromkeys(names))


def prediction(study: Study, family: Family, order: list[str]) -> list[Row]:
    """A row for each declared comparison."""
    rows = []
    for name in comparisons(study, order):
        if name[:2] in screens.sides(study):
            continue  # a mean over arms is of no single run
        one = family.comparison(name)
        found = new_runs(study, one, family.seen(name))
        row: Row = {"arm": name[0], "reference": name[1], "metric": name[2]}
        row["seeds"] = family.verdict(name).comparison.seeds
        row |= dict.fromkeys(("new_runs", "new_runs_low", "new_runs_high", "better", "why_not"))
        if isinstance(found, str):
            row["why_not"] = found
        else:
            half, mean, better = found
            ends = (mean, mean - half, mean + half)
            if name[2].startswith("cost."):
                ends = (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
            row |= dict(zip(("new_runs", "new_runs_low", "new_runs_high"), ends, strict=True))
            row["better"] = better
        rows.append(row)
    return rows


def evidence(study: Study, family: Family, order: list[str]) -> list[Row]:
    """What the verdicts on declared comparisons rest on."""
    rows = []
    for name in comparisons(study, order):
        one = family.comparison(name)
        if one.effect is None or one.p(0.0) == 1.0 == one.p(1.0):
            continue  # a spread, or too few errors
        by = one.effect.by or one.effect
        correlation = None
        single = not study.folds and name[:2] not in screens.sides(study)
        both = pairs(study, one.arm, one.reference, first=family.seen(name)) if single else ([], [])
        if single and len(both[0]) == one.seeds:
            a, b = (np.array(own_values(study, trials, one.metric)) for trials in both)
            correlation = float(np.corrcoef(a, b)[0, 1])
        row: Row = {"arm": name[0], "reference": name[1], "metric": name[2]}
        row["seeds"] = family.verdict(name).comparison.seeds
        row |= {
            "sd": math.sqrt(one.effect.v_seed * one.seeds),
            "deciding_sd": math.sqrt(by.v_seed * one.seeds),
        }
        row |= {"freedom": one.seeds - 1 + by.lent, "correlation": correlation}
        drawn = family.shrunk(name)
        if drawn is not None and one.unit == "ratio":
            drawn = math.exp(drawn)
        rows.append(row | {"p": max(one.p(0.0), 1e-15), "shrunk": drawn})
    return rows


def largest_by_luck(arms: list[np.ndarray]) -> float:
    """How far the largest of equal arms' differences to the first goes by luck of seeds, 95 times in 100.

    arms  one array (S,) of scores for each

    Dunnett's critical value, by the trapezium rule over the reference's mean and the pooled sd.
    """
    freedom = sum(len(arm) - 1 for arm in arms)
    pooled = math.sqrt(sum((len(arm) - 1) * float(np.var(arm, ddof=1)) for arm in arms) / freedom)
    z = np.linspace(-8.5, 8.5, GRID)
    s = np.linspace(1e-6, 1 + 9 / math.sqrt(2 * freedom), GRID)
    weights = np.outer(stats.chi.pdf(s * math.sqrt(freedom), freedom), stats.norm.pdf(z))
    weights /= weights.sum()

    def beyond(half: float) -> float:
        inside = np.ones_like(weights)
        middle = z[None, :] / math.sqrt(len(arms[0]))
        for arm in arms[1:]:
            root, reach = math.sqrt(len(arm)), half * s[:, None]
            inside = inside * (special.ndtr(root * (middle + reach)) - special.ndtr(root * (middle - reach)))
        return LEVEL - float(np.sum(weights * (1 - inside)))

    return pooled * float(optimize.brentq(beyond, 1e-3, 20.0, xtol=1e-12))


def looks(study: Study, order: list[str]) -> list[Row]:
    """A row for each hidden set, with folds for each fold's; by the sets' order, then by key."""
    rows = []
    for title in study.sets[1:]:
        arms = [*study.arms.values(), *study.shared.values(), study.again]
        about = [
            m for _, _, m in comparisons(study, order) if m == f"gap.{title}" or m.startswith(f"{title}.")
        ]
        for key in sorted({trial.keys[title] for arm in arms for trial in arm}):
            scored = [{one.id for one in arm if one.done and one.keys[title] == key} for arm in arms]
            row: Row = {"set": title, "key": key, "arms": sum(map(bool, scored))}
            row["trials"] = len(set().union(*scored))
            rows.append(row | {"comparisons": len(about)})
    return rows
