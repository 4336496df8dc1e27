from __future__ import annotations

import numpy as np
import pytest

from bench import metrics
from bench.explain.comparison import Comparison, Flip, same_images
from bench.store import Predictions


def rows(*certain: tuple[int, float]) -> np.ndarray:
    """(N, 3): the answer's probability, the rest shared by the other two."""
    made = np.empty((len(certain), 3), np.float32)
    for row, (said, sure) in zip(made, certain, strict=True):
        row[:] = (1 - sure) / 2
        row[said] = sure
    return made


# images      0: mended   1: broken   2: both right  3: both wrong alike  4: moved
LABELS = np.array([0, 0, 1, 1, 2])
REFERENCE = rows((1, 0.9), (0, 0.8), (1, 0.7), (2, 0.6), (0, 0.5))
ARM = rows((0, 0.6), (2, 0.9), (1, 0.9), (2, 0.95), (1, 0.7))


def comparison(
    reference: tuple[np.ndarray, ...] = (REFERENCE,), arm: tuple[np.ndarray, ...] = (ARM,)
) -> Comparison:
    both = {"reference": np.stack(reference), "arm": np.stack(arm)}
    return Comparison(both, LABELS, np.arange(10, 15, dtype=np.uint64))  # type: ignore[arg-type]


def test_an_image_flips_in_one_of_three_ways_or_not_at_all() -> None:
    found = comparison()
    assert found.flips("gained") == [Flip(0, 1)]
    assert found.flips("lost") == [Flip(1, 1)]
    assert found.flips("moved") == [Flip(4, 1)]


def test_flips_that_repeat_with_other_seeds_come_first() -> None:
    wrong = rows((1, 0.9), (1, 0.6), (1, 0.7), (2, 0.6), (0, 0.5))
    right = rows((0, 0.9), (0, 0.9), (1, 0.7), (1, 0.6), (2, 0.5))
    one_mended = rows((0, 0.9), (1, 0.6), (1, 0.7), (2, 0.6), (0, 0.5))
    found = comparison((wrong, wrong), (right, one_mended)).flips("gained")
    assert found[0] == Flip(0, 2)
    # then by how much the true class gained: .9 − .2, .6 − .2, .5 − .25
    assert [flip.position for flip in found[1:]] == [1, 3, 4]
    assert {flip.replicates for flip in found[1:]} == {1}


def test_only_the_shown_replicate_s_flips_are_listed() -> None:
    both = {"reference": np.stack([REFERENCE, REFERENCE]), "arm": np.stack([ARM, REFERENCE])}
    ids = np.arange(5, dtype=np.uint64)
    assert Comparison(both, LABELS, ids, shown=0).flips("gained") == [Flip(0, 1)]  # type: ignore[arg-type]
    assert Comparison(both, LABELS, ids, shown=1).flips("gained") == []  # type: ignore[arg-type]


def test_confident_errors_are_wrong_answers_the_surest_first() -> None:
    assert comparison().confident_errors("reference") == [0, 3, 4]
    assert comparison().confident_errors("arm") == [3, 1, 4]


def test_confusions_count_all_replicates_together() -> None:
    expected = [[1, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert comparison().confusion("reference").tolist() == expected
    twice = comparison((REFERENCE, REFERENCE), (ARM, ARM))
    assert (twice.confusion("reference") == 2 * np.array(expected)).all()


def test_recall_of_a_class_is_the_share_of_its_images_that_are_recognised() -> None:
    found = comparison()
    assert found.recalls("reference").tolist() == [[0.5, 0.5, 0.0]]
    without = Comparison(found.probabilities, np.array([0, 0, 1, 1, 1]), found.ids)
    assert np.isnan(without.recalls("arm")[0, 2])


def test_the_bins_of_the_diagram_are_those_of_the_metric() -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(4), 400).astype(np.float32)
    labels = draw.integers(0, 4, 400)
    both = {"reference": probabilities[None], "arm": probabilities[None]}
    found = Comparison(both, labels, np.arange(400, dtype=np.uint64)).reliability("arm", 0)  # type: ignore[arg-type]
    assert found.counts.sum() == 400
    assert found.counts.min() >= 26
    assert (np.diff(found.confidence) > 0).all()
    assert found.ece == pytest.approx(metrics.ece()(probabilities, labels), abs=1e-9)


def test_ties_leave_bins_empty_and_those_are_left_out() -> None:
    found = comparison((rows(*[(1, 0.5)] * 5),)).reliability("reference", 0)
    assert found.counts.tolist() == [5]
    assert found.confidence.tolist() == [0.5]
    assert found.accuracy.tolist() == [0.4]
    assert found.ece == pytest.approx(0.1)


def test_churn_is_what_another_seed_alone_changes() -> None:
    assert comparison().churn() is None
    other = rows((0, 0.9), (0, 0.8), (0, 0.7), (2, 0.6), (0, 0.5))  # images 0 and 2 of five
    assert comparison((REFERENCE, other), (ARM, ARM)).churn() == 2
    assert comparison((REFERENCE, other, other), (ARM, ARM, ARM)).churn() == pytest.approx(4 / 3)


def predictions(ids: list[int], labels: list[int], conditions: list[int] | None = None) -> Predictions:
    return Predictions(
        np.full((len(ids), 2), 0.5, np.float16),
        np.array(labels, dtype=np.int64),
        np.array(ids, dtype=np.uint64),
        None if conditions is None else np.array(conditions, dtype=np.int16),
        ("blur/1", "noise/1"),
    )


def test_the_same_set_is_compared_row_for_row_copies_and_all() -> None:
    same = predictions([7, 7, 9], [0, 0, 1])
    one, other = same_images(same, same)
    assert one.tolist() == other.tolist() == [0, 1, 2]


def test_images_that_only_one_side_has_are_left_out() -> None:
    one, other = same_images(predictions([5, 7, 9], [0, 0, 1]), predictions([4, 5, 9], [0, 0, 1]))
    assert (one.tolist(), other.tolist()) == ([0, 2], [1, 2])


def test_an_image_with_another_corruption_or_label_is_another_image() -> None:
    one, other = same_images(
        predictions([5, 5, 9], [0, 0, 1], [0, 1, 0]), predictions([5, 5, 9], [0, 0, 0], [1, 0, 0])
    )
    assert (one.tolist(), other.tolist()) == ([0, 1], [1, 0])


def test_copies_that_cannot_be_told_apart_are_left_out_where_the_sets_differ() -> None:
    one, other = same_images(predictions([5, 5, 9], [0, 0, 1]), predictions([5, 9], [0, 1]))
    assert (one.tolist(), other.tolist()) == ([2], [1])
