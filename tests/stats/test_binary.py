"""Rates of one class against the rest: equal to scikit-learn's, their pseudo-values to brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from bench.stats import binary


@pytest.fixture(params=[0, 1, 2, 3])
def drawn(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, score with many ties, items of one to four images."""
    rng = np.random.default_rng(request.param)
    truth = rng.random(120) < 0.3
    score = np.round(rng.normal(truth * 1.2, 1), 1)
    return truth, score, rng.integers(0, 60, 120)


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def test_rates_equal_scikit_learns(drawn: Drawn):
    truth, score, _ = drawn
    said = score > 0.7
    assert binary.rate(truth, said) == pytest.approx(oracle.recall_score(truth, said))
    assert binary.rate(~truth, ~said) == pytest.approx(oracle.recall_score(truth, said, pos_label=False))
    assert binary.predictive(truth, said) == pytest.approx(oracle.precision_score(truth, said))
    npv = oracle.precision_score(truth, said, pos_label=False)
    assert binary.predictive(~truth, ~said) == pytest.approx(npv)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_a_rate_at_a_level_is_the_best_of_scikit_learns_curve(drawn: Drawn, level: float):
    truth, score, _ = drawn
    false, true, _ = oracle.roc_curve(truth, score, drop_intermediate=False)
    assert binary.sensitivity_at(score, truth, level) == pytest.approx(true[false <= 1 - level + 1e-9].max())
    best = (1 - false[true >= level - 1e-9]).max()
    assert binary.sensitivity_at(-score, ~truth, level) == pytest.approx(best)


def test_curves_equal_scikit_learns(drawn: Drawn):
    truth, score, _ = drawn
    false, true, _ = oracle.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(binary.roc(score, truth), (false, true))
    precision, recall, _ = oracle.precision_recall_curve(truth, score)
    np.testing.assert_allclose(binary.precision_recall(score, truth), (recall[-2::-1], precision[-2::-1]))


def test_predictive_values_at_a_prevalence_are_those_of_images_mixed_like_it(drawn: Drawn):
    """Positives weighed so that they are that share: scikit-learn's precision with weights."""
    truth, score, _ = drawn
    said, prevalence = score > 0.7, 0.02
    weights = np.where(truth, prevalence / truth.mean(), (1 - prevalence) / (~truth).mean())
    ppv = oracle.precision_score(truth, said, sample_weight=weights)
    npv = oracle.precision_score(truth, said, sample_weight=weights, pos_label=False)
    assert binary.predictive(truth, said, prevalence) == pytest.approx(ppv)
    assert binary.predictive(~truth, ~said, 1 - prevalence) == pytest.approx(npv)
    assert binary.predictive(truth, said, truth.mean()) == pytest.approx(binary.predictive(truth, said))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quadratic_kappa_equals_scikit_learns(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 90)
    answers = np.clip(labels + rng.integers(-2, 3, 90), 0, 4)
    expected = oracle.cohen_kappa_score(labels, answers, weights="quadratic")
    assert binary.quadratic_kappa(labels, answers) == pytest.approx(expected)
    items = rng.integers(0, 30, 90)
    brute = leave_out(lambda kept: binary.quadratic_kappa(labels[kept], answers[kept]), items)
    np.testing.assert_allclose(binary.quadratic_kappa_by_item(labels, answers, items), brute)
    assert np.isnan(binary.quadratic_kappa(np.ones(5), np.ones(5)))


def leave_out(score, items: np.ndarray) -> np.ndarray:
    """Pseudo-values by the book: each item taken out in turn."""
    unique = np.unique(items)
    theta = score(np.ones(len(items), bool))
    phi = np.array([len(unique) * theta - (len(unique) - 1) * score(items != one) for one in unique])
    return phi + theta - phi.mean()


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_pseudo_values_equal_leaving_each_item_out(drawn: Drawn, prevalence: float | None):
    truth, score, items = drawn
    said = score > 0.7
    brute = leave_out(lambda kept: binary.predictive(truth[kept], said[kept], prevalence), items)
    np.testing.assert_allclose(binary.predictive_by_item(truth, said, prevalence, items), brute)
    mine = items[truth]
    brute = leave_out(lambda kept: float(said[truth][kept].mean()), mine)
    found = binary.rate_by_item(truth, said, items)
    assert found is not None
    assert len(found) == len(np.unique(mine))
    # by_group is the cluster's own form of it, the same where all are of one size
    assert found.mean() == pytest.approx(brute.mean())
    alone = binary.rate_by_item(truth, said, np.arange(len(truth)))
    assert alone is not None
    np.testing.assert_allclose(alone, said[truth], atol=1e-12)


def test_a_level_linearised_varies_as_often_drawn_images_do():
    """Sd of the estimate over 400 sets of images, against what one set says of it: the mean over the sets."""
    rng, level = np.random.default_rng(7), 0.9
    found, said = [], []
    for _ in range(400):
        truth = np.arange(300) < 100
        score = rng.normal(truth * 1.5, 1)
        found.append(binary.sensitivity_at(score, truth, level))
        phi = binary.sensitivity_at_by_item(score, truth, level, np.arange(300))
        assert phi is not None
        assert phi.mean() == pytest.approx(found[-1])
        said.append(phi.var(ddof=1) / len(phi))
    assert np.sqrt(np.mean(said)) == pytest.approx(np.std(found), rel=0.1)


def test_what_is_undefined_has_no_number_and_no_interval():
    none, some = np.zeros(6, bool), np.arange(6) < 3
    each = np.arange(6)
    assert np.isnan(binary.rate(none, some))
    assert np.isnan(binary.sensitivity_at(each, none, 0.9))
    assert np.isnan(binary.predictive(some, none))
    assert binary.rate_by_item(np.arange(6) < 1, some, each) is None
    assert binary.sensitivity_at_by_item(each, np.arange(6) < 1, 0.9, each) is None
    assert binary.predictive_by_item(some, np.arange(6) < 1, None, each) is None
    assert binary.predictive_by_item(some, some, None, np.zeros(6)) is None
    assert binary.quadratic_kappa_by_item(np.ones(5), np.ones(5), np.arange(5)) is None


def test_a_cut_keeps_the_share_below_it_whatever_floating_point_makes_of_it():
    truth = np.arange(150) < 50
    score = np.where(truth, 1000.0, np.arange(150))
    for level in (0.9, 0.95, 0.8, 0.7):
        above = (score[~truth] > binary.cut(score, truth, level)).sum()
        assert above == round(100 * (1 - level))
