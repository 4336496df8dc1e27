"""Too few errors: a bound in place of an interval, and no class of one image is the worst."""

import csv
import io

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.judge.tables import tables
from bench.report import build, files, markdown
from bench.report.cells import words
from bench.store import Predictions
from bench.study.file import Delta


def _said(labels: np.ndarray, wrong: list[int]) -> Predictions:
    """Right but for the images whose places are named."""
    answers = labels.copy()
    answers[wrong] = (answers[wrong] + 1) % 3
    return Predictions(np.eye(3, dtype=np.float16)[answers], labels, np.arange(len(labels), dtype=np.uint64))


def _world(make_world, wrong: dict[str, list[list[int]]]):
    """Three classes of 199, 100 and 1 images; of each arm, which images each seed gets wrong."""
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    labels = np.array([0] * 199 + [1] * 100 + [2])
    for arm, seeds in wrong.items():
        for seed, places in enumerate(seeds):
            said = _said(labels, places)
            w.keep(arm, seed, dict.fromkeys(w.keys().values(), said))
    return w


def _row(made: dict[str, str], arm: str) -> dict[str, str]:
    return next(row for row in csv.DictReader(io.StringIO(made["tables/arms.csv"])) if row["arm"] == arm)


def test_an_arm_with_few_errors_has_a_one_sided_bound_and_a_difference_none(make_world):
    w = _world(make_world, {"a": [[], [], []], "b": [[0, 1], [0], [0, 250, 251]]})
    document = build(w.study, w.plan, w.store)
    made = files(w.study, w.plan, w.store, ("csv", "md", "tex", "html"), document=document)
    perfect, some = _row(made, "a"), _row(made, "b")
    assert float(perfect["local_low"]) == pytest.approx(0.05 ** (1 / 300))
    exact = scipy_stats.binomtest(298, 300, alternative="greater").proportion_ci(0.95, method="exact")
    assert float(some["local_low"]) == pytest.approx(exact.low), "two of 300 wrong, on average over seeds"
    assert float(some["local_high"]) == 1
    assert (some["effect"][:7], some["low"], some["high"]) == ("-0.0066", "", "")
    assert "| **a** (baseline) | 100.00 (≥ 99.01) | 100.00 (≥ 99.01) |" in made["report.md"]
    assert "a one-sided 95 % bound" in made["report.md"]
    assert (
        "inconclusive** on *heavy.accuracy* against a: **−0.7** (too few errors) points" in made["report.md"]
    )
    assert "Too few errors: the arms disagree on 4 images only, 10 needed." in made["report.md"]
    assert "−0.7 (too few errors)" in made["report.html"]
    assert r"100.00 ($\ge$ 99.01)" in made["tables/arms.tex"]


def test_ten_images_that_were_wrong_make_an_interval(make_world):
    few, enough = [list(range(9)), [], []], [list(range(9)), [299], []]
    w = _world(make_world, {"a": few, "b": enough})
    arms = {
        arm.label: arm.scores["local"]["accuracy"].interval for arm in build(w.study, w.plan, w.store).arms
    }
    assert (arms["a"].one_sided, arms["b"].one_sided) == (True, False)
    assert arms["b"].high - arms["b"].mean == pytest.approx(arms["b"].mean - arms["b"].low)


def test_a_recall_shows_how_many_images_it_is_over_and_one_image_is_no_worst_class(make_world):
    w = _world(make_world, {arm: [[0, 199, 200, 299]] * 3 for arm in "ab"})
    document = build(w.study, w.plan, w.store)
    assert document.arms[0].recalls["platelet"].mean == 0, "of its one image"
    assert document.arms[0].worst[0] == "monocyte"
    text = markdown(document)
    assert "| monocyte (n = 100) | 98.0 |" in text
    for line in ("| basophil | 199 | 99.5 |", "| monocyte | 100 | 98.0 |", "| platelet | 1 | 0.0 |"):
        assert line in text
    by_key = {column.key: column for column in tables(document)["arms"].columns}
    assert words(by_key["worst_images"], by_key["worst_images"].of(document.arms[0])) == "100"


def test_a_delta_below_one_image_of_a_set_that_decides_is_told(make_world):
    w = _world(make_world, {arm: [[0], [1], [2]] for arm in "ab"})
    assert "δ is less than one" not in markdown(build(w.study, w.plan, w.store))
    w.extra = {"delta": Delta(local=0.1, hidden=0.3)}
    assert "On heavy δ is less than one of its 300 items makes, 0.33 points." in (
        text := markdown(build(w.study, w.plan, w.store))
    )
    assert "On local" not in text, "nothing is decided there"
