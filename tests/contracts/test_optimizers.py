"""What every optimizer, schedule, loss and metric must do; a new entry is covered the moment it registers."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import bench  # noqa: F401 - fills the registries
from bench.metrics import score_of
from bench.registry import losses, metrics, optimizers, schedules


@pytest.mark.parametrize("name", optimizers.names())
class TestOptimizer:
    def groups(
        self, name: str, weights: torch.Tensor, lr: float = 1e-2, decay: float = 0.0
    ) -> torch.optim.Optimizer:
        choice = optimizers[name].build(optimizers[name].parameters({}))
        return choice.make([{"params": [weights], "lr": lr, "weight_decay": decay}])

    def test_lowers_a_quadratic(self, name: str) -> None:
        target = torch.tensor([1.0, -2.0, 0.5])
        weights = torch.nn.Parameter(torch.zeros(3))
        optimizer = self.groups(name, weights)
        losses_seen = []
        for _ in range(300):
            loss = (weights - target).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses_seen.append(loss.item())
        assert losses_seen[-1] < 0.1 * losses_seen[0]

    def test_weight_decay_shrinks_weights_that_have_no_gradient(self, name: str) -> None:
        weights = torch.nn.Parameter(torch.ones(2))
        optimizer = self.groups(name, weights, decay=0.5)
        for _ in range(10):
            weights.grad = torch.zeros(2)
            optimizer.step()
        assert (weights < 1).all()

    def test_the_same_gradients_give_the_same_weights_bit_for_bit(self, name: str) -> None:
        ends = []
        for _ in range(2):
            weights = torch.nn.Parameter(torch.linspace(-1, 1, 7))
            optimizer = self.groups(name, weights, decay=0.1)
            for step in range(5):
                weights.grad = torch.sin(weights.detach() * (step + 1))
                optimizer.step()
            ends.append(weights.detach().clone())
        assert torch.equal(*ends)

    def test_a_rate_of_zero_or_below_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="lr"):
            optimizers[name].parameters({"lr": 0.0})


@pytest.mark.parametrize("name", schedules.names())
class TestSchedule:
    def test_multiplier_stays_between_0_and_1_and_starts_full_without_warmup(self, name: str) -> None:
        schedule = schedules[name].build(schedules[name].parameters({}))
        multipliers = [schedule(step / 50) for step in range(50)]
        assert multipliers[0] == 1.0
        assert all(0 <= m <= 1 for m in multipliers)

    def test_warmup_rises_in_a_straight_line_and_meets_the_full_rate(self, name: str) -> None:
        schedule = schedules[name].build(schedules[name].parameters({"warmup": 0.2}))
        assert [schedule(d) for d in (0.0, 0.05, 0.1)] == pytest.approx([0.0, 0.25, 0.5])
        assert schedule(0.2) == pytest.approx(1.0)


@pytest.mark.parametrize("name", losses.names())
class TestLoss:
    def test_is_least_for_the_right_answer_and_float32(self, name: str) -> None:
        loss = losses[name].build(losses[name].parameters({}))
        targets = torch.eye(3)
        right, wrong = loss(5 * targets, targets), loss(5 * targets.roll(1, 0), targets)
        assert right.dtype == torch.float32
        assert right.shape == ()
        assert right < wrong

    def test_low_precision_logits_are_raised_to_float32(self, name: str) -> None:
        loss = losses[name].build(losses[name].parameters({}))
        logits = torch.tensor([[1.0, -0.5, 0.25]], dtype=torch.bfloat16)
        targets = torch.tensor([[0.2, 0.3, 0.5]])
        assert loss(logits, targets) == loss(logits.float(), targets)


@pytest.mark.parametrize("name", metrics.names())
class TestMetric:
    def test_is_a_finite_number_that_ignores_the_order_of_images(self, name: str) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 4, 40)
        probabilities = rng.dirichlet(np.ones(4), 40)
        asked = f"{name}(b)" if "positive" in metrics[name].schema.model_fields else name
        order = rng.permutation(40)
        value = score_of(asked, probabilities, labels, "abcd")
        assert isinstance(value, float)
        assert np.isfinite(value)
        assert score_of(asked, probabilities[order], labels[order], "abcd") == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("registry", [optimizers, schedules, losses, metrics], ids=lambda r: r.kind)
def test_every_entry_describes_itself(registry: object) -> None:
    for component in registry:
        doc = inspect.getdoc(component.factory) or ""
        assert component.summary.endswith((".", ";", "]")), component.name
        for parameter in component.schema.model_fields:
            assert parameter in doc, f"{component.name} does not explain {parameter}"
