from __future__ import annotations

import math

import pytest
import torch

from bench.registry import losses

LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
TARGETS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])


def test_cross_entropy_in_nats_by_hand() -> None:
    # image 1: ln 2; image 2, half class 1 and half class 2: ½ ln(4/3) + ½ ln 8
    expected = (math.log(2) + 0.5 * math.log(4 / 3) + 0.5 * math.log(8)) / 2
    assert losses["cross-entropy"].build({})(LOGITS, TARGETS).item() == pytest.approx(expected)


def test_class_weights_multiply_the_terms_of_their_class_by_hand() -> None:
    weights = torch.tensor([2.0, 3.0, 0.5])
    expected = (2 * math.log(2) + 3 * 0.5 * math.log(4 / 3) + 0.5 * 0.5 * math.log(8)) / 2
    assert losses["cross-entropy"].build({})(LOGITS, TARGETS, weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", losses.names())
def test_weights_of_1_change_nothing(name: str) -> None:
    loss = losses[name].build({})
    assert loss(LOGITS, TARGETS, torch.ones(3)).item() == pytest.approx(loss(LOGITS, TARGETS).item())


def test_smoothed_targets_are_weighted_after_smoothing() -> None:
    loss = losses["cross-entropy"].build({"label_smoothing": 0.3})
    # targets 0.8, 0.1, 0.1 of a certain class 0
    expected = 2 * 0.8 * math.log(2) + 0.1 * math.log(4) + 0.1 * math.log(4)
    found = loss(LOGITS[:1], TARGETS[:1], torch.tensor([2.0, 1.0, 1.0]))
    assert found.item() == pytest.approx(expected)
