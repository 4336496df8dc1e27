"""Losses on class probabilities, so that mixed images need no loss of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

from annotated_types import Interval

from bench.registry import losses

if TYPE_CHECKING:
    from torch import Tensor


CONSISTENCY = 12.0
"""λ of the AugMix paper: what the disagreement of views counts beside the loss."""


class Loss(Protocol):
    """What a registered factory returns."""

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss of a batch, a float32 scalar.

        logits    (B, K)
        targets   (B, K) float32, rows sum to 1
        weights   (K,) float32 factors on the classes, where the balance asks for them
        """
        ...


@losses.register("cross-entropy")
def cross_entropy(label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0) -> Loss:
    """Cross-entropy between target and predicted class probabilities, in nats.

    label_smoothing   share of each target spread evenly over all classes, 0 to below 1

    logits    (B, K) of any precision; computed in float32
    targets   (B, K) float32, rows sum to 1
    weights   (K,) float32: class k's term counts so many times; the sum is divided by B, not by the weights

    Source: label smoothing, Szegedy et al. 2016, section 7.
    """
    from torch.nn import functional as F

    def loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        return F.cross_entropy(logits.float(), targets, weights, label_smoothing=label_smoothing)

    return loss


@losses.register("focal")
def focal(
    gamma: Annotated[float, Interval(ge=0, le=10)] = 2.0,
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
) -> Loss:
    """Cross-entropy whose terms count the less the surer the network is of their class, in nats.

    Class k's term is t_k (1 - p_k)^gamma (-ln p_k). Its α is what class weights are for (``balance``).

    gamma             0 to 10; 0 is cross-entropy
    label_smoothing   share of each target spread evenly over all classes, 0 to below 1

    logits    (B, K) of any precision; computed in float32
    targets   (B, K) float32, rows sum to 1
    weights   (K,) float32: class k's term counts so many times; the sum is divided by B, not by the weights

    Source: Lin et al. 2017, equation 4, summed over the classes of a softmax as targets may be mixed.
    """
    import torch
    from torch.nn import functional as F

    # where p_k rounds to 1, a power below 1 has an endless slope; a clamp has none
    least = torch.finfo(torch.float32).tiny

    def loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        log_p = F.log_softmax(logits.float(), 1)
        unsure = (-log_p.expm1()).clamp_min(least) ** gamma
        soft = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
        terms = soft * unsure * log_p
        return -(terms if weights is None else terms * weights).sum(1).mean()

    return loss


def disagreement(logits: Tensor, views: int) -> Tensor:
    """Mean Jensen–Shannon divergence of the predictions for the views of an image, in nats, 0 to ln V.

    For each image the mean over views of KL(p_v ‖ m), m the mean of its p_v; then the mean over images. Class
    weights and label smoothing do not enter: there is no label in it.

    logits    of any precision, shape (V·B, K), view by view; computed in float32
    returns   float32 scalar, with a gradient to every view

    Source: Hendrycks et al. 2020, arXiv:1912.02781, section 3; without the clamp of its published code, since
    m is at least p_v / V and logarithms are taken of sums of exponentials.
    """
    import math

    from torch.nn import functional as F

    log_p = F.log_softmax(logits.float(), 1).view(views, -1, logits.shape[1])  # (V, B, K)
    log_mean = log_p.logsumexp(0) - math.log(views)
    divergence: Tensor = (log_p.exp() * (log_p - log_mean)).sum(2)  # (V, B)
    return divergence.mean()
