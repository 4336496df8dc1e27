"""Would it help again: what one new run of each arm would differ by, from the stored predictions."""

import csv
import io
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench import stats
from bench.report import build, files, markdown
from bench.study.read import Claim


def _two(make_world, **fields):
    w = make_world(**fields)
    w.arm("a", 1.0)
    w.arm("b", 1.2, ["flip"])
    return w


def _row(w, arm: str, metric: str) -> dict[str, str]:
    made = files(w.study, w.plan, w.store, ("csv",))["tables/prediction.csv"]
    return next(
        row for row in csv.DictReader(io.StringIO(made)) if (row["arm"], row["metric"]) == (arm, metric)
    )


def _right(w, arm: str, name: str) -> np.ndarray:
    """(S, N)"""
    said = [w.store.predictions(w.id(arm, s))[w.keys()[name]] for s in w.seeds]
    return np.stack([p.probabilities.argmax(axis=1) == p.labels for p in said]).astype(float)


def _by_hand(
    reference: np.ndarray, arm: np.ndarray, V: float, nu: float
) -> tuple[float, float, float, float]:
    """Mean, low, high and P(above 0) of (S,) values of single runs."""
    a, b = reference.var(ddof=1), arm.var(ddof=1)
    total, S = a + b + V, len(arm)
    freedom = total**2 / ((a**2 + b**2) / (S - 1) + V**2 / nu)
    mean, scale = arm.mean() - reference.mean(), math.sqrt(total)
    half = scipy_stats.t.ppf(0.975, freedom) * scale
    return mean, mean - half, mean + half, scipy_stats.t.cdf(mean / scale, freedom)


def test_the_arms_own_seeds_count_beside_the_uncertainty_of_the_mean(make_world):
    claims = (
        Claim(says="gap", better=("b",), than=("a",), metric="gap.heavy"),
        Claim(says="epochs", better=("b",), than=("a",), metric="cost.seconds"),
    )
    w = _two(make_world, claims=claims)
    for seed in w.seeds:
        w.finish("a", seed, timings={"train": 20.0 + seed})
        w.finish("b", seed, timings={"train": 15.0 + 2 * seed % 3})
    a, b = _right(w, "a", "heavy"), _right(w, "b", "heavy")
    V = stats.two_way(b - a)
    nu = max(4, V.variance**2 / (V.seed_variance**2 / 4 + V.item_variance**2 / (V.items - 1)))
    row = _row(w, "b", "heavy.accuracy")
    found = [float(row[key]) for key in ("new_runs", "new_runs_low", "new_runs_high", "better")]
    assert found == pytest.approx(_by_hand(a.mean(axis=1), b.mean(axis=1), V.variance, nu))
    effect = build(w.study, w.plan, w.store).findings[0].effect
    assert found[1] < effect.low < effect.high < found[2], "single runs vary more than means"

    here, there = _right(w, "a", "test"), _right(w, "b", "test")
    gaps = here.mean(axis=1) - a.mean(axis=1), there.mean(axis=1) - b.mean(axis=1)
    V = stats.difference_of_gaps(there - here, b - a)
    nu = max(4, V.variance**2 / (V.seed_variance**2 / 4 + V.item_variance**2 / (V.items - 1)))
    row = _row(w, "b", "gap.heavy")
    mean, low, high, above = _by_hand(*gaps, V.variance, nu)
    assert [float(row[key]) for key in ("new_runs", "new_runs_low", "new_runs_high")] == pytest.approx(
        [mean, low, high]
    )
    assert float(row["better"]) == pytest.approx(1 - above), "a smaller gap is better"

    logs = [np.log([20.0 + s for s in w.seeds]), np.log([15.0 + 2 * s % 3 for s in w.seeds])]
    row = _row(w, "b", "cost.seconds")
    V = (logs[1] - logs[0]).var(ddof=1) / 5
    mean, low, high, above = _by_hand(logs[0], logs[1], V, 4)
    assert [float(row[key]) for key in ("new_runs", "new_runs_low", "new_runs_high")] == pytest.approx(
        np.exp([mean, low, high])
    )
    assert float(row["better"]) == pytest.approx(1 - above), "fewer seconds are better"
    without = files(w.study, w.plan, w.store, ("csv",), cost=False)["tables/prediction.csv"]
    assert "gap.heavy" in without
    assert "cost.seconds" not in without


def test_why_nothing_is_predicted_is_said(make_world, world):
    few = _two(make_world, seeds=(0, 1, 2, 3))
    few.finish_all()
    assert _row(few, "b", "heavy.accuracy")["why_not"] == "4 common seeds, 5 needed"
    assert _row(few, "b", "heavy.accuracy")["better"] == ""

    folds = _two(make_world, seeds=(0,), folds=5)
    folds.finish_all()
    assert _row(folds, "b", "heavy.accuracy")["why_not"].startswith("folds share")

    claim = Claim(says="steady", better=("b",), than=("a",), metric="seed_sd")
    lost = _two(make_world, claims=(claim,))
    lost.finish_all(but=[("b", 3)])
    lost.diverge("b", 3)
    assert _row(lost, "b", "heavy.accuracy")["why_not"] == "some seeds diverged, and so may a new run"
    assert _row(lost, "b", "seed_sd")["why_not"] == "a spread over seeds is of no single run"

    mixed = _two(make_world)
    mixed.finish_all()
    mixed.little("b", 3)
    assert "no interval covers a rare collapse" in _row(mixed, "b", "heavy.accuracy")["why_not"]


def test_the_summary_tells_it_and_never_as_certain(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 2.5, ["flip"])
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    assert 0.995 < document.findings[0].new_runs.better < 1
    for text in (markdown(document), files(w.study, w.plan, w.store, ("html",))["report.html"]):
        assert "better with probability over 99 %." in text
        assert "Would it help again?" in text
