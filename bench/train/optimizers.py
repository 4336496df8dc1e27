"""Optimizers by name. Each says which settings a study may give it and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Interval

from bench.registry import optimizers

if TYPE_CHECKING:
    from torch.optim import Optimizer

Rate = Annotated[float, Gt(0)]
Decay = Annotated[float, Interval(ge=0)]
Beta = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True)
class OptimizerChoice:
    """A checked optimizer, waiting for the parameters it will move."""

    lr: float
    weight_decay: float
    decay_norms: bool
    """False: batch norms and biases are not decayed."""
    make: Callable[[list[dict[str, Any]]], Optimizer]
    """Parameter groups, each with its own ``lr`` and ``weight_decay`` → optimizer."""


@optimizers.register("adam")
def adam(
    lr: Rate = 1e-3,
    weight_decay: Decay = 0.0,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: Rate = 1e-8,
    decay_norms: bool = True,
) -> OptimizerChoice:
    """Adam; its weight decay is an L2 term in the gradient.

    lr             above 0
    weight_decay   0 or more, added to the gradient times the weight
    beta1, beta2   0 to below 1, averages of gradient and squared gradient
    eps            above 0
    decay_norms    false: spare batch norms and biases

    Source: Kingma and Ba 2015.
    """

    def make(groups: list[dict[str, Any]]) -> Optimizer:
        from torch.optim import Adam

        return Adam(groups, betas=(beta1, beta2), eps=eps, fused=True)

    return OptimizerChoice(lr, weight_decay, decay_norms, make)


@optimizers.register("adamw")
def adamw(
    lr: Rate = 1e-3,
    weight_decay: Decay = 1e-2,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: Rate = 1e-8,
    decay_norms: bool = True,
) -> OptimizerChoice:
    """Adam with weight decay apart from the gradient.

    lr             above 0
    weight_decay   0 or more; each step shrinks weights by lr × weight_decay
    beta1, beta2   0 to below 1, averages of gradient and squared gradient
    eps            above 0
    decay_norms    false: spare batch norms and biases

    Source: Loshchilov and Hutter 2019.
    """

    def make(groups: list[dict[str, Any]]) -> Optimizer:
        from torch.optim import AdamW

        return AdamW(groups, betas=(beta1, beta2), eps=eps, fused=True)

    return OptimizerChoice(lr, weight_decay, decay_norms, make)


@optimizers.register("sgd")
def sgd(
    lr: Rate = 1e-2,
    weight_decay: Decay = 0.0,
    momentum: Beta = 0.9,
    nesterov: bool = False,
    decay_norms: bool = True,
) -> OptimizerChoice:
    """Stochastic gradient descent with momentum.

    lr             above 0
    weight_decay   0 or more, added to the gradient times the weight
    momentum       0 to below 1
    nesterov       look ahead along the momentum; needs momentum above 0
    decay_norms    false: spare batch norms and biases

    Source: Sutskever et al. 2013.
    """

    def make(groups: list[dict[str, Any]]) -> Optimizer:
        from torch.optim import SGD

        return SGD(groups, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)

    return OptimizerChoice(lr, weight_decay, decay_norms, make)


@optimizers.register("lion")
def lion(
    lr: Rate = 1e-4,
    weight_decay: Decay = 0.0,
    beta1: Beta = 0.9,
    beta2: Beta = 0.99,
    decay_norms: bool = True,
) -> OptimizerChoice:
    """Lion: steps by the sign of an average, so its rate is 3 to 10 times lower than Adam's.

    lr             above 0
    weight_decay   0 or more, 3 to 10 times AdamW's; each step shrinks weights by lr × weight_decay
    beta1, beta2   0 to below 1, averages for the step and for the memory
    decay_norms    false: spare batch norms and biases

    Source: Chen et al. 2023, algorithm 2.
    """

    def make(groups: list[dict[str, Any]]) -> Optimizer:
        from bench.train.lion import Lion

        return Lion(groups, betas=(beta1, beta2))

    return OptimizerChoice(lr, weight_decay, decay_norms, make)
