from __future__ import annotations

import torch
from lion_pytorch import Lion as Reference

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
