from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.train.learned import little_learned

RARE = np.array([0] * 88 + [1] * 12)
"""12 % positives. The best constant answer has a loss of .88 · log(1/.88) + .12 · log(1/.12) = .367."""
EVEN = np.array([0, 1] * 50)
"""log 2 = .693."""


def course(*losses: float, stage: int = 1) -> list[dict[str, float]]:
    return [{"stage": stage, "step": 10, "train_loss": loss} for loss in losses]


FLAT = course(0.4, 0.4, 0.4)


def said(negatives: float, positives: float, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of one positive's chance for each image, by its label."""
    p = np.where(labels == 1, positives, negatives)
    return np.stack([1 - p, p], 1)


@pytest.mark.parametrize(
    ("negatives", "positives", "labels", "learned"),
    [
        # .51 for the right class: log(1/.51) = .673, 2.9 % below log 2; .52: .654, 5.7 %
        (0.49, 0.51, EVEN, False),
        (0.48, 0.52, EVEN, True),
        # the class shares
        (0.12, 0.12, RARE, False),
        (0.50, 0.50, RARE, False),
        # never named, well ranked: .88 · log(1/.94) + .12 · log(1/.3) = .199
        (0.06, 0.30, RARE, True),
        # trained with equal shares: log(1/.6) = .511 is above .367, and below log 2 with classes alike
        (0.40, 0.60, RARE, True),
        # an untrained network that happens to rank them all: log(1/.505) = .683, 1.4 % below log 2
        (0.495, 0.505, EVEN, False),
        # the wrong way round
        (0.60, 0.40, EVEN, False),
    ],
)
def test_to_learn_is_to_save_a_twentieth_of_the_loss_of_a_constant_answer(
    negatives: float, positives: float, labels: NDArray[np.int64], learned: bool
):
    assert (little_learned(said(negatives, positives, labels), labels, FLAT) == "") == learned


def test_a_network_that_is_too_sure_has_learned_what_it_knows_when_softened():
    """.999 for the right class of four images in five, .001 for that of the fifth: 1.38 in place of log 2.

    At temperature 4 these are .849 and .151, and .8 · log(1/.849) + .2 · log(1/.151) = .509.
    """
    right = np.array(([0.999] * 4 + [0.001]) * 20)
    labels = np.zeros(100, np.int64)
    labels[50:] = 1
    p = np.where(labels == 1, right, 1 - right)
    assert not little_learned(np.stack([1 - p, p], 1), labels, FLAT)


def test_it_is_said_how_little_and_of_what():
    assert little_learned(said(0.49, 0.51, EVEN), EVEN, FLAT) == (
        "validation loss 0.673, a constant answer has 0.693; softened or with classes counted alike "
        "it saves 2.9 % at best, to learn takes 5 %; "
        "the training loss fell no more: try another learning rate"
    )
    assert "saves 0.0 % at best" in little_learned(said(0.12, 0.12, RARE), RARE, FLAT)


def test_classes_that_validation_lacks_play_no_part():
    three = np.concatenate([said(0.49, 0.51, EVEN), np.zeros((100, 1))], 1)
    assert little_learned(three, EVEN, FLAT) == little_learned(said(0.49, 0.51, EVEN), EVEN, FLAT)


def test_of_one_class_nothing_can_be_told():
    assert not little_learned(np.full((9, 2), 0.5), np.zeros(9, np.int64), FLAT)


def test_of_fewer_than_ten_steps_nothing_is_expected():
    for step, learned in ((9, True), (10, False)):
        history = [{"stage": 1, "step": step, "train_loss": 2.1}]
        assert (little_learned(said(0.5, 0.5, EVEN), EVEN, history) == "") == learned


@pytest.mark.parametrize(
    ("history", "advice"),
    [
        (course(0.9), "train longer"),  # a single evaluation
        (course(0.9, 0.8, 0.7, 0.6), "train longer"),
        (course(0.9, 0.7, 0.7, 0.695), "try another learning rate"),  # less than a hundredth since the second
        (course(0.9, 0.1) + course(0.7, 0.6, stage=2), "train longer"),
        (course(0.9, 0.8) + course(0.7, 0.7, stage=2), "try another learning rate"),
    ],
)
def test_the_advice_goes_by_the_training_loss_over_the_second_half_of_the_last_stage(
    history: list[dict[str, float]], advice: str
):
    assert little_learned(said(0.5, 0.5, EVEN), EVEN, history).endswith(advice)
