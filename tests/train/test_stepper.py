from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from bench.models.network import Network
from bench.recipe import Recipe
from bench.train.stepper import Stepper

Make = Callable[..., Recipe]
Build = Callable[..., Network]
IMAGES, TARGETS = torch.rand(8, 3, 16, 16), torch.eye(8)


def test_the_schedule_spans_the_stages_planned_steps(recipe: Make, network: Build) -> None:
    chosen = recipe(
        optimizer={"name": "sgd", "lr": 0.4},
        schedule={"name": "cosine", "warmup": 0.5},
        stages=[{"epochs": 1}],
    )
    stepper = Stepper(network(chosen), chosen, chosen.stages[0], total=8)
    # warm-up 0, 1/4, 2/4, 3/4 of the rate, then half a cosine over four steps
    expected = [0, 0.1, 0.2, 0.3, 0.4, 0.34142, 0.2, 0.05858]
    assert [stepper.learning_rate(step) for step in range(8)] == pytest.approx(expected, abs=1e-5)


def test_a_rate_of_zero_in_the_first_step_of_a_warmup_moves_nothing(recipe: Make, network: Build) -> None:
    chosen = recipe(
        optimizer={"name": "sgd", "lr": 0.4},
        schedule={"name": "constant", "warmup": 0.5},
        stages=[{"epochs": 1}],
    )
    trained = network(chosen)
    weight = trained.head.classifier.weight
    start = weight.detach().clone()
    stepper = Stepper(trained, chosen, chosen.stages[0], total=4)
    stepper(IMAGES, TARGETS)
    assert torch.equal(weight, start)
    stepper(IMAGES, TARGETS)
    assert not torch.equal(weight, start)
    assert stepper.done == 2


def test_a_plateau_of_the_validation_loss_lowers_the_rate_that_moves_the_weights(
    recipe: Make, network: Build
) -> None:
    plateau = {"name": "plateau", "patience": 1, "factor": 0.25}
    chosen = recipe(optimizer={"name": "sgd", "lr": 0.4, "momentum": 0.0}, schedule=plateau)
    steps = []
    for seen in ([], [1.0, 1.0]):
        trained = network(chosen).eval()
        stepper = Stepper(trained, chosen, chosen.stages[0], total=9)
        stepper.val_losses += seen
        before = trained.head.classifier.bias.detach().clone()
        stepper(IMAGES, TARGETS)
        steps.append(trained.head.classifier.bias.detach() - before)
    assert torch.allclose(steps[1], 0.25 * steps[0], atol=1e-7)


@pytest.mark.parametrize("clip_norm", [0.0, 1e-3])
def test_gradients_are_scaled_down_to_the_largest_norm_allowed(
    clip_norm: float, recipe: Make, network: Build
) -> None:
    chosen = recipe(optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0}, clip_norm=clip_norm)
    trained = network(chosen)
    before = [p.detach().clone() for p in trained.parameters()]
    Stepper(trained, chosen, chosen.stages[0], total=1)(IMAGES, TARGETS)
    moved = sum((a - b).square().sum() for a, b in zip(trained.parameters(), before, strict=True)).sqrt()
    if clip_norm:
        assert moved.item() == pytest.approx(clip_norm, rel=1e-2)
    else:
        assert moved.item() > 0.01


def test_a_step_returns_loss_and_accuracy_from_before_it_without_a_graph(
    recipe: Make, network: Build
) -> None:
    chosen = recipe(model={"name": "custom_cnn", "widths": [4], "dropout": 0.0})
    trained = network(chosen)
    expected = -(trained(IMAGES).log_softmax(1) * TARGETS).sum(1).mean()
    right = (trained(IMAGES).argmax(1) == TARGETS.argmax(1)).float().mean()
    told = Stepper(trained, chosen, chosen.stages[0], total=1)(IMAGES, TARGETS)
    assert not told.requires_grad
    assert told.tolist() == pytest.approx([expected.item(), right.item()], rel=1e-5)


def test_what_is_evaluated_is_the_average_where_there_is_one(recipe: Make, network: Build) -> None:
    plain, averaged = recipe(), recipe(ema=0.9)
    trained = network(plain)
    assert Stepper(trained, plain, plain.stages[0], total=1).evaluated is trained
    stepper = Stepper(trained, averaged, averaged.stages[0], total=1)
    assert stepper.evaluated is not trained
    stepper(IMAGES, TARGETS)
    assert not torch.equal(stepper.evaluated.head.classifier.weight, trained.head.classifier.weight)


def test_bf16_is_the_forward_passs_alone(recipe: Make, network: Build) -> None:
    """Weights, gradients, the optimizer's averages and the loss stay float32; the logits do not."""
    chosen = recipe(precision="bf16", ema=0.9)
    trained = network(chosen)
    seen: list[torch.dtype] = []
    trained.register_forward_hook(lambda module, given, logits: seen.append(logits.dtype))
    stepper = Stepper(trained, chosen, chosen.stages[0], total=1)
    told = stepper(IMAGES, TARGETS)
    assert seen == [torch.bfloat16]
    assert told.dtype == torch.float32
    kept = [tensor for state in stepper._optimizer.state.values() for tensor in state.values()]
    kept += [each for p in trained.parameters() for each in (p, p.grad)]
    kept += list(stepper.evaluated.parameters())
    assert {tensor.dtype for tensor in kept} == {torch.float32}


BATCH_NORM = {"name": "custom_cnn", "widths": [4], "dropout": 0.0}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_views_add_12_times_their_disagreement_to_the_loss_of_the_first(
    smoothing: float, weighted: bool, recipe: Make, network: Build
) -> None:
    loss = {"name": "cross-entropy", "label_smoothing": smoothing}
    chosen = recipe(model=BATCH_NORM, loss=loss)
    trained = network(chosen)
    views = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    weights = torch.arange(1.0, 9.0) if weighted else None
    with torch.no_grad():
        p = copy.deepcopy(trained)(views).softmax(1)  # one forward pass, as batch norm sees all views
        soft = TARGETS * (1 - smoothing) + smoothing / 8
        clean = -(soft * p[:8].log() * (1 if weights is None else weights)).sum(1).mean()
        mean = p.view(3, 8, 8).mean(0)
        apart = (p.view(3, 8, 8) * (p.view(3, 8, 8) / mean).log()).sum(2).mean()
    found, _ = Stepper(trained, chosen, chosen.stages[0], total=1, class_weights=weights)(views, TARGETS)
    assert apart > 1e-4
    assert found.item() == pytest.approx((clean + 12 * apart).item(), rel=1e-4)


def test_three_views_of_the_same_picture_cost_what_the_picture_costs(recipe: Make, network: Build) -> None:
    chosen = recipe(model=BATCH_NORM)
    one, three = (network(chosen) for _ in range(2))
    alone, _ = Stepper(one, chosen, chosen.stages[0], total=1)(IMAGES, TARGETS)
    thrice, _ = Stepper(three, chosen, chosen.stages[0], total=1)(IMAGES.repeat(3, 1, 1, 1), TARGETS)
    assert thrice.item() == pytest.approx(alone.item(), rel=1e-4)
