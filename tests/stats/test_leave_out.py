from __future__ import annotations

import functools

import numpy as np
import pytest

from bench.errors import UserError
from bench.metrics import recalls
from bench.stats import pseudo_values, two_way
from bench.stats.leave_out import MOST_PARTS, of_images, parts_of, without_each


def closed(P: np.ndarray, y: np.ndarray, ids: np.ndarray) -> np.ndarray | None:
    return pseudo_values("balanced_accuracy", P, y, ids)[1]


def balanced(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(np.nanmean(recalls(probabilities, labels)))


def right(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(1) == labels).mean())


def drawn(seed: int, N: int, K: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (N, K), labels (N,), ids (N,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, N)
    logits = rng.normal(size=(N, K)) + np.eye(K)[labels]
    P = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return P, labels, rng.integers(0, 2**63, N).astype(np.uint64)


def test_leaving_out_each_image_is_what_the_closed_form_says() -> None:
    P, y, ids = drawn(0, 80)
    assert without_each(balanced, P, y, ids) == pytest.approx(
        pseudo_values("balanced_accuracy", P, y, ids)[1]
    )


def test_copies_are_left_out_together() -> None:
    P, y, _ = drawn(1, 90)
    ids = (np.arange(90) % 30).astype(np.uint64)
    y = y[ids.astype(int)]
    assert without_each(balanced, P, y, ids) == pytest.approx(
        pseudo_values("balanced_accuracy", P, y, ids)[1]
    )
    assert of_images(right, P, y, ids) == pytest.approx(pseudo_values("accuracy", P, y, ids)[1])


def test_three_images_worked_by_hand() -> None:
    """Root of the share right, of [1, 1, 0]: θ = √(2/3); left out, √(1/2), √(1/2), 1."""
    P, y = np.eye(2)[[0, 0, 1]], np.array([0, 0, 0])
    root = lambda P, y: float(np.sqrt((P.argmax(1) == y).mean()))  # noqa: E731
    phi = 3 * np.sqrt(2 / 3) - 2 * np.array([np.sqrt(0.5), np.sqrt(0.5), 1.0])
    expected = phi + np.sqrt(2 / 3) - phi.mean()
    assert without_each(root, P, y, np.arange(3)) == pytest.approx(expected)


def test_of_many_images_as_many_parts_are_left_out_with_the_same_spread() -> None:
    widths = []
    P, y, ids = drawn(2, 3000)
    for way in (closed, functools.partial(without_each, balanced)):
        rng = np.random.default_rng(3)
        rows = [way(P + 0.05 * rng.normal(size=P.shape), y, ids) for _ in range(3)]
        widths.append(two_way(np.stack(rows)).half_width())
    assert len(rows[0]) == MOST_PARTS
    assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_images_are_dealt_to_parts_by_their_id_in_whatever_order_they_stand() -> None:
    ids = np.random.default_rng(4).integers(0, 2**63, 1000).astype(np.uint64)
    part = parts_of(ids)
    assert np.bincount(part).tolist() == [5] * MOST_PARTS
    order = np.random.default_rng(5).permutation(1000)
    assert np.array_equal(parts_of(ids[order]), part[order])
    assert sorted(parts_of(np.arange(MOST_PARTS))) == list(range(MOST_PARTS))
    neighbours = parts_of(np.arange(1000))
    assert np.corrcoef(neighbours[:-1], neighbours[1:])[0, 1] < 0.1


def test_a_class_in_one_item_or_an_undefined_score_has_no_interval() -> None:
    P, y, ids = drawn(6, 40)
    lonely = np.where(y == 3, 2, y)
    lonely[0] = 3
    assert without_each(balanced, P, lonely, ids) is None
    assert without_each(lambda P, y: float("nan"), P, y, ids) is None
    assert without_each(right, P[:1], y[:1], ids[:1]) is None
    assert of_images(right, P[:1], y[:1], ids[:1]) is None


def test_what_is_no_mean_over_images_is_not_taken_for_one() -> None:
    with pytest.raises(UserError, match='register it with interval = "leave-one-out"'):
        of_images(balanced, *drawn(7, 40))
