import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from bench.stats import JACKKNIFE, by_group, pseudo_values, two_way


def _drawn(seed: int, N: int = 60, K: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, N)
    logits = rng.normal(size=(N, K)) + 1.5 * np.eye(K)[labels]
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.round(P, 2), labels, rng.permutation(N).astype(np.uint64)


def test_values_agree_with_scikit_learn():
    P, y, ids = _drawn(0)
    values = {metric: pseudo_values(metric, P, y, ids)[0] for metric in JACKKNIFE}
    called = P.argmax(axis=1)
    assert values["accuracy"] == pytest.approx(np.mean(called == y))
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, called))
    assert values["macro_f1"] == pytest.approx(f1_score(y, called, average="macro"))
    aucs = [roc_auc_score(y == k, P[:, k]) for k in range(4)]
    assert values["auc"] == pytest.approx(np.mean(aucs))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "auc"])
def test_closed_forms_equal_leaving_each_image_out(metric: str):
    P, y, ids = _drawn(1)
    theta, phi = pseudo_values(metric, P, y, ids)
    without = np.array(
        [pseudo_values(metric, *(np.delete(x, i, 0) for x in (P, y, ids)))[0] for i in range(60)]
    )
    plain = 60 * theta - 59 * without
    assert phi == pytest.approx((plain + theta - plain.mean())[np.argsort(ids)])


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "auc"])
def test_copies_of_an_image_are_left_out_together(metric: str):
    P, y, _ = _drawn(2, N=90)
    ids = np.arange(90) % 30
    y = y[ids]
    theta, phi = pseudo_values(metric, P, y, ids)
    without = np.array([pseudo_values(metric, P[ids != g], y[ids != g], ids[ids != g])[0] for g in range(30)])
    plain = 30 * theta - 29 * without
    assert phi == pytest.approx(plain + theta - plain.mean())


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "auc"])
def test_a_group_with_images_of_several_classes_is_left_out_whole(metric: str):
    P, y, _ = _drawn(2, N=90)
    of = np.random.default_rng(5).integers(0, 12, 90)  # groups of unequal size, each with several classes
    theta, phi = pseudo_values(metric, P, y, of)
    without = np.array([pseudo_values(metric, P[of != g], y[of != g], of[of != g])[0] for g in range(12)])
    plain = 12 * theta - 11 * without
    assert phi == pytest.approx(plain + theta - plain.mean())


def test_a_class_within_one_group_has_a_value_and_no_interval():
    P, y, _ = _drawn(4)
    of = np.where(y == 3, 0, np.arange(60))
    assert all(
        pseudo_values(metric, P, y, of)[1] is None for metric in ("balanced_accuracy", "macro_f1", "auc")
    )


def test_groups_of_equal_size_give_the_variance_of_their_means_worked_by_hand():
    d = np.array([[1.0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]])
    rows = np.stack([by_group(row, np.array([5, 5, 7, 7, 9, 9])) for row in d])
    assert rows == pytest.approx(np.array([[1, 0.5, 0], [0.5, 0, 0]]))
    # means of the groups over seeds: 3/4, 1/4, 0, around 1/3
    assert two_way(rows).item_variance == pytest.approx(
        ((5 / 12) ** 2 + (1 / 12) ** 2 + (1 / 3) ** 2) / (3 * 2)
    )


def test_groups_of_unequal_size_are_left_out_worked_by_hand():
    d = np.array([1.0, 1, 0, 0, 0, 1])
    # the mean is 1/2; without the first group 1/3, without the second 3/4, without the third 2/5
    plain = 3 * 1 / 2 - 2 * np.array([1 / 3, 3 / 4, 2 / 5])
    found = by_group(d, np.array([1, 1, 1, 2, 2, 3]))
    assert found == pytest.approx(plain + 1 / 2 - plain.mean())
    assert found.mean() == pytest.approx(d.mean()), "the mean stays that over images"


def test_groups_of_one_image_change_nothing_and_one_group_has_no_variance():
    d = np.array([3.0, 1, 2])
    assert by_group(d, np.array([30, 10, 20])) == pytest.approx(np.array([1.0, 2, 3]))
    assert by_group(d, np.zeros(3)).tolist() == [2.0]


@pytest.mark.parametrize("metric", list(JACKKNIFE))
def test_the_mean_of_the_pseudo_values_is_the_score(metric: str):
    theta, phi = pseudo_values(metric, *_drawn(3))
    assert phi.mean() == pytest.approx(theta)


def test_macro_f1_of_four_images_worked_by_hand():
    P = np.eye(2)[[0, 0, 1, 0]]
    y = np.array([0, 0, 1, 1])
    theta, _ = pseudo_values("macro_f1", P, y, np.arange(4))
    assert theta == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)


def test_a_class_with_one_image_has_a_value_and_no_interval():
    P, y, ids = _drawn(4)
    y = np.where(y == 3, 2, y)
    y[0] = 3
    for metric in ("balanced_accuracy", "macro_f1", "auc"):
        assert pseudo_values(metric, P, y, ids)[1] is None
    assert pseudo_values("accuracy", P, y, ids)[1] is not None


def test_a_class_that_is_absent_is_left_out_of_the_mean():
    P, y, ids = _drawn(5)
    y = np.where(y == 3, 2, y)
    theta, phi = pseudo_values("balanced_accuracy", P, y, ids)
    assert theta == pytest.approx(np.mean([(P.argmax(1)[y == k] == k).mean() for k in range(3)]))
    assert phi is not None


def test_with_equal_class_sizes_balanced_accuracy_has_the_interval_of_accuracy():
    rng = np.random.default_rng(6)
    y = np.repeat(np.arange(4), 100)
    tables = []
    for metric in ("accuracy", "balanced_accuracy"):
        rng = np.random.default_rng(7)
        rows = [pseudo_values(metric, rng.dirichlet(np.ones(4), 400), y, np.arange(400))[1] for _ in range(3)]
        tables.append(two_way(np.stack(rows)))
    assert tables[0].mean == pytest.approx(tables[1].mean)
    assert tables[0].half_width() == pytest.approx(tables[1].half_width(), rel=0.02)
