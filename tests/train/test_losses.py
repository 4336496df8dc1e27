from __future__ import annotations

import math

import pytest
import torch

from bench.registry import losses
from bench.train.losses import disagreement

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


def test_focal_terms_by_hand() -> None:
    # image 1: (1 - 1/2)² ln 2; image 2: half of (1 - 3/4)² ln(4/3) and half of (1 - 1/8)² ln 8
    terms = [math.log(2) / 4, 0.5 * math.log(4 / 3) / 16, 0.5 * math.log(8) * 49 / 64]
    loss = losses["focal"].build({"gamma": 2.0})
    assert loss(LOGITS, TARGETS).item() == pytest.approx(sum(terms) / 2)
    weighted = (2 * terms[0] + 3 * terms[1] + 0.5 * terms[2]) / 2
    assert loss(LOGITS, TARGETS, torch.tensor([2.0, 3.0, 0.5])).item() == pytest.approx(weighted)


def test_focal_smooths_targets_before_it_weighs_them() -> None:
    loss = losses["focal"].build({"gamma": 1.0, "label_smoothing": 0.3})
    # targets 0.8, 0.1, 0.1 of a certain class 0
    expected = 2 * 0.8 * math.log(2) / 2 + 2 * 0.1 * math.log(4) * 3 / 4
    found = loss(LOGITS[:1], TARGETS[:1], torch.tensor([2.0, 1.0, 1.0]))
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_focal_with_gamma_0_is_cross_entropy_in_value_and_gradient(smoothing: float, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = 3 * torch.randn(64, 8, generator=generator)
    targets = torch.rand(64, 8, generator=generator).softmax(1)
    weights = torch.rand(8, generator=generator) if weighted else None
    found = []
    for name, extra in (("focal", {"gamma": 0.0}), ("cross-entropy", {})):
        logits = drawn.clone().requires_grad_()
        loss = losses[name].build({"label_smoothing": smoothing, **extra})(logits, targets, weights)
        loss.backward()
        found.append((loss.item(), logits.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=2e-7)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_focal_of_certain_predictions_right_and_wrong_is_finite(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[300.0, 0.0, -300.0]] * 2, dtype=dtype).requires_grad_()
    loss = losses["focal"].build({"gamma": gamma})(logits, torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    loss.backward()
    # the right one costs nothing, the wrong one is 600 nats off
    assert loss.item() == pytest.approx(300)
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", losses.names())
def test_a_loss_falls_along_its_gradient_and_is_float32_for_any_precision(name: str) -> None:
    loss = losses[name].build({})
    logits = LOGITS.clone().requires_grad_()
    before = loss(logits, TARGETS)
    before.backward()
    assert loss(LOGITS - 0.1 * logits.grad, TARGETS) < before  # type: ignore[operator]
    assert loss(LOGITS.bfloat16(), TARGETS).dtype == torch.float32


def test_disagreement_of_two_predictions_by_hand() -> None:
    # p = (1/2, 1/2) and (1/4, 3/4), their mean (3/8, 5/8)
    first = 0.5 * math.log(4 / 3) + 0.5 * math.log(4 / 5)
    second = 0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5)
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    assert disagreement(logits, 2).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_disagreement_is_the_mean_over_images_view_by_view() -> None:
    """Image 1 is certain of a class per view: ln 3. Image 2 says the same three times: 0."""
    certain = 40 * torch.eye(3)
    logits = torch.stack([row for k in range(3) for row in (certain[k], certain[0])])
    assert disagreement(logits, 3).item() == pytest.approx(math.log(3) / 2, rel=1e-5)


def test_views_that_agree_cost_nothing_whatever_constant_their_logits_differ_by() -> None:
    logits = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    same = torch.cat([logits, logits + 7, logits - 3])
    assert disagreement(same, 3).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_disagreement_reaches_every_view_of_every_image() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    disagreement(logits, 3).backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(1) > 1e-3).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_disagreement_of_extreme_predictions_is_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [0, 0]], dtype=dtype).requires_grad_()
    loss = disagreement(logits, 3)
    loss.backward()
    assert loss.dtype == torch.float32
    assert 0 < loss.item() <= math.log(3) + 1e-6
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]
