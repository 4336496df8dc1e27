from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import metrics as oracle

from bench import metrics, stats
from bench.registry import metrics as registry
from bench.train import learned


def score(name: str, probabilities: np.ndarray, labels: np.ndarray) -> float:
    return registry[name].build({})(probabilities, labels)


@pytest.fixture(params=[0, 1, 2])
def answers(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities of 6 classes, of which labels name 4, with ties as float16 has them."""
    rng = np.random.default_rng(request.param)
    labels = rng.choice([0, 2, 3, 5], size=200, p=[0.6, 0.2, 0.15, 0.05])
    logits = rng.normal(size=(200, 6)) + 1.5 * np.eye(6)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.round(probabilities, 2).astype(np.float16), labels


def test_scores_equal_scikit_learn_where_classes_are_missing(answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = answers
    predicted, present = probabilities.argmax(1), np.unique(labels)
    per_class = [oracle.roc_auc_score(labels == k, probabilities[:, k].astype(float)) for k in present]
    recalls = oracle.recall_score(labels, predicted, labels=present, average=None)
    expected = {
        "accuracy": oracle.accuracy_score(labels, predicted),
        "balanced_accuracy": recalls.mean(),
        "worst_recall": recalls.min(),
        "macro_f1": oracle.f1_score(labels, predicted, labels=present, average="macro"),
        "auc": np.mean(per_class),
    }
    for name, value in expected.items():
        assert score(name, probabilities, labels) == pytest.approx(value, abs=1e-12), name


def test_ranks_equal_scipys_with_ties() -> None:
    values = np.random.default_rng(0).integers(0, 9, 50).astype(float)
    assert np.array_equal(metrics._average_ranks(values), rankdata(values))


def test_hand_worked_scores() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    labels = np.array([0, 0, 1, 1])
    assert score("accuracy", probabilities, labels) == 0.75
    assert score("worst_recall", probabilities, labels) == 0.5
    # class 0: precision 2/3, recall 1 → 4/5; class 1: precision 1, recall 1/2 → 2/3
    assert score("macro_f1", probabilities, labels) == pytest.approx((4 / 5 + 2 / 3) / 2)
    # of the four (positive, negative) pairs, 0.6 against 0.7 is the wrong way round
    assert score("auc", probabilities, labels) == pytest.approx(0.75)
    expected = -(np.log(0.9) + np.log(0.6) + np.log(0.8) + np.log(0.3)) / 4
    assert score("nll", probabilities, labels) == pytest.approx(expected)
    # four bins of one image: gaps 0.1, 0.4, 0.2, 0.7
    assert score("ece", probabilities, labels) == pytest.approx((0.1 + 0.4 + 0.2 + 0.7) / 4)


def test_a_class_without_images_is_left_out_and_not_counted_as_zero() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    labels = np.array([0, 1, 1])
    assert score("balanced_accuracy", probabilities, labels) == 1.0
    assert score("macro_f1", probabilities, labels) == 1.0
    assert score("worst_recall", probabilities, labels) == 1.0
    assert score("auc", probabilities, labels) == 1.0
    assert np.isnan(metrics.recalls(probabilities, labels)[2])


def test_calibration_bins_hold_equally_many_images() -> None:
    confidence = np.linspace(0.51, 0.99, 150)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = (np.random.default_rng(1).random(150) > confidence).astype(int)
    bins = np.split(np.arange(150), 15)
    expected = np.mean([abs(confidence[b].mean() - (labels[b] == 0).mean()) for b in bins])
    assert score("ece", probabilities, labels) == pytest.approx(expected)


def test_calibration_error_does_not_depend_on_the_order_of_images_with_equal_confidence() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.choice([0.6, 0.7, 0.9], 100)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = rng.integers(0, 2, 100)
    shuffled = rng.permutation(100)
    assert score("ece", probabilities, labels) == pytest.approx(
        score("ece", probabilities[shuffled], labels[shuffled]), abs=1e-12
    )


def test_a_probability_rounded_to_zero_costs_a_finite_amount() -> None:
    probabilities = np.array([[1.0, 0.0]], np.float16)
    assert score("nll", probabilities, np.array([1])) == pytest.approx(24 * np.log(2))


def test_score_all_leaves_out_what_is_undefined() -> None:
    scores = metrics.score_all(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    assert "auc" not in scores
    assert scores["accuracy"] == 0.5
    assert set(scores) == {metric.name for metric in registry.stored()} - {"auc"}


def test_not_a_number_stays_visible() -> None:
    probabilities = np.full((2, 2), np.nan)
    assert np.isnan(score("nll", probabilities, np.array([0, 1])))


def test_importing_metrics_imports_no_numpy() -> None:
    code = "import sys; from bench import metrics; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_calibration_and_its_drawing_have_one_definition_and_the_log_one_floor():
    """In words: bins between the 15-quantiles of confidence; the gap of each, weighted by its images."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([4, 1, 1], 301).astype(np.float16)
    labels = rng.integers(0, 3, 301)
    confidence = probabilities.max(1).astype(float)
    edges = [-1.0, *np.quantile(confidence, np.arange(1, 15) / 15), 2.0]
    gaps = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        gaps += abs((confidence - (probabilities.argmax(1) == labels))[inside].sum())
    assert score("ece", probabilities, labels) == pytest.approx(gaps / 301)
    assert "ece" not in stats.JACKKNIFE, "no second one"
    assert learned.SMALLEST == metrics.SMALLEST == 2**-24
