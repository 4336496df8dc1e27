from __future__ import annotations

import torch
from lion_pytorch import Lion as Reference
from lion_pytorch.foreach import Lion as Fused

from bench.train.lion import Lion


def test_lion_equals_lion_pytorch_bit_for_bit() -> None:
    torch.manual_seed(0)
    start = [torch.randn(4, 3), torch.randn(7), torch.randn(2, 3, 3, 3)]
    ours, theirs = ([torch.nn.Parameter(t.clone()) for t in start] for _ in range(2))
    settings = {"lr": 3e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}
    pairs = [(ours, Lion(ours, **settings)), (theirs, Reference(theirs, **settings))]
    for step in range(20):
        gradients = [torch.randn(t.shape, generator=torch.Generator().manual_seed(step)) for t in start]
        for weights, optimizer in pairs:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_parameters_without_a_gradient_stay_as_they_are() -> None:
    moved, still = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Lion([moved, still], weight_decay=0.5)
    moved.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(still, torch.ones(2))
    assert (moved < 1).all()


def test_a_rate_on_the_device_moves_as_a_number_does() -> None:
    """Bit for bit without decay and at a rate that float32 holds exactly: its products are exact."""
    for decay, exact in ((0.0, True), (0.1, False)):
        weights = [torch.nn.Parameter(torch.linspace(-2, 2, 9)) for _ in range(2)]
        for weight, rate in zip(weights, (2.0**-7, torch.tensor(2.0**-7)), strict=True):
            optimizer = Lion([weight], weight_decay=decay)
            optimizer.param_groups[0]["lr"] = rate
            for step in range(3):
                weight.grad = torch.arange(9.0) - 3 - step
                optimizer.step()
        torch.testing.assert_close(*weights, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-7)
        assert not torch.equal(weights[0], torch.linspace(-2, 2, 9))


def test_lion_pytorchs_own_fused_form_rounds_otherwise_which_is_why_it_is_not_used() -> None:
    """Its averages move by ``lerp``. When this fails it has become bit-equal: then take it for ours."""
    start = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    plain, fused = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}
    optimizers = Reference([plain], **settings), Fused([fused], **settings)
    for step in range(20):
        gradient = torch.randn(1000, generator=torch.Generator().manual_seed(step))
        for weight, optimizer in zip((plain, fused), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    averages = [next(iter(optimizer.state.values()))["exp_avg"] for optimizer in optimizers]
    torch.testing.assert_close(*averages)
    assert not torch.equal(*averages)
