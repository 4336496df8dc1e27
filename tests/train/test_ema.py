from __future__ import annotations

from collections.abc import Callable

import torch

from bench.models.network import Network
from bench.recipe import Recipe
from bench.train.ema import Average


def step(average: Average) -> None:
    average.advance()
    average.update()


def test_decay_warms_up_so_that_the_first_weights_do_not_rule(
    recipe: Callable[..., Recipe], network: Callable[..., Network]
) -> None:
    followed = network(recipe())
    average = Average(followed, decay=0.99)
    weight, mean = followed.head.classifier.weight, average.network.head.classifier.weight
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    step(average)
    # decay of the first update: min(0.99, 2/11)
    assert torch.allclose(mean, start + 9 / 11, atol=1e-6)
    step(average)
    # of the second: 3/12, so 3/12 of the remaining 2/11 stays behind
    assert torch.allclose(mean, start + 1 - 2 / 11 * 3 / 12, atol=1e-6)


def test_batch_norms_statistics_are_averaged_and_its_counter_copied(
    recipe: Callable[..., Recipe], network: Callable[..., Network]
) -> None:
    followed = network(recipe())
    average = Average(followed, decay=0.0)
    followed.train()(torch.rand(4, 3, 16, 16))
    step(average)
    mine, theirs = average.network.state_dict(), followed.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert mine["backbone.0.1.num_batches_tracked"] == 1


def test_the_average_never_trains(recipe: Callable[..., Recipe], network: Callable[..., Network]) -> None:
    average = Average(network(recipe()), decay=0.9)
    assert not any(p.requires_grad for p in average.network.parameters())
    assert not average.network.training


def test_a_share_on_the_device_moves_the_average_as_far(
    recipe: Callable[..., Recipe], network: Callable[..., Network]
) -> None:
    """The share changes from step to step, which a recorded update must find on the device."""
    followed = network(recipe())
    plain, recorded = (Average(followed, decay=0.2) for _ in range(2))
    recorded.share_on_device(torch.device("cpu"))
    for number in range(4):
        with torch.no_grad():
            followed.head.classifier.weight.add_(number)
        for average in (plain, recorded):
            step(average)
    mine, theirs = (average.network.head.classifier.weight for average in (recorded, plain))
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
    assert not torch.equal(mine, followed.head.classifier.weight)
