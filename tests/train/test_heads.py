"""Heads trained on what a frozen trunk said once end as if it had been asked again in every epoch."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import models
from bench.data.images import Development
from bench.models import frozen
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train import loop
from bench.train.loop import Fit, Hooks, fit, training
from bench.train.turns import together

Make = Callable[..., Recipe]
Build = Callable[..., Network]

HEAD = [{"train": "head", "epochs": 4}]
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "a smaller last batch": {"batch_size": 24},
    "fewer images than a batch": {"batch_size": 100},
    "average": {"ema": 0.9, "clip_norm": 1.0, "optimizer": "adamw"},
    "bf16": {"precision": "bf16"},
    "by steps": {"stages": [{"train": "head", "steps": 18, "eval_every": 5}]},
    "then more": {"stages": [*HEAD, {"train": "top:1", "epochs": 2}, *HEAD]},
    "static": {"augment": [{"name": "flip", "params": {}}], "augment_mode": "static"},
    "copies": {"balance": "upsample-static", "batch_size": 12},
    "sampler": {"balance": "sqrt-sampler", "loss": "focal"},
    "augmented": {"augment": [{"name": "flip", "params": {}}]},
    "views": {"augment": [{"name": "augmix", "params": {"jsd": True}}]},
    "compiled": {"compile": True},
}
KEPT = set(CASES) - {"augmented", "views", "compiled"}
"""Those whose training images are seen once."""


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_kept", OrderedDict())


def course(done: Fit) -> list[dict[str, Any]]:
    untimed = [{k: v for k, v in e.items() if k not in ("seconds", "images_per_s")} for e in done.history]
    return untimed + done.stages


def live(trained: Network, development: Development, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Train without keeping anything."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "frozen", lambda *_: None)
        return fit(trained, development, recipe, 3, "cpu")


def images_seen(network: Network) -> list[int]:
    """Sizes of the batches that go through the backbone from now on."""
    sizes: list[int] = []
    network.backbone.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    return sizes


def equal(one: Network, other: Network) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize("case", CASES)
def test_heads_end_bit_for_bit_as_without_anything_kept(
    case: str, development: Development, recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch, "compile", lambda network, dynamic: network
    )  # what decides is the recipe's word
    chosen = recipe(**({"stages": HEAD, "optimizer": {"name": "adam", "lr": 0.01}} | CASES[case]))
    expected, found = network(chosen), network(chosen)
    asked, kept = (
        live(expected, development, chosen, monkeypatch),
        fit(found, development, chosen, 3, "cpu"),
    )
    assert course(kept) == course(asked)
    assert equal(found, expected)
    assert (kept.features_bytes > 0) == (case in KEPT)


@pytest.mark.parametrize(
    ("name", "size"), [("mobilenetv2_035", 20), ("resnet10t", 16), ("efficientnet_b0", 31)]
)
def test_models_of_timm_end_alike_too(
    name: str, size: int, development: Development, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one's features depend on places, for a few images."""
    chosen = recipe(model={"name": name, "dropout": 0.2}, stages=HEAD, batch_size=size)
    ends = []
    for train in (lambda *given: live(*given, monkeypatch), lambda *given: fit(*given, 3, "cpu")):
        torch.manual_seed(0)
        trained = models.build(chosen.model, models.Task(8, 3, 32))
        ends.append((course(train(trained, development, chosen)), trained))
    assert ends[0][0] == ends[1][0]
    assert equal(ends[0][1], ends[1][1])


def test_each_image_goes_through_the_trunk_twice(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(stages=[{"train": "head", "epochs": 9}, {"train": "head", "epochs": 9}])
    trained = network(chosen)
    sizes = images_seen(trained)
    fit(trained, development, chosen, 0, "cpu")
    again = 4
    assert sizes == [16] * (4 + again) + [32]


def test_another_head_on_the_same_trunk_finds_its_features(
    development: Development, recipe: Make, network: Build
) -> None:
    first = recipe(stages=HEAD)
    fit(network(first), development, first, 0, "cpu")
    other = recipe(
        model=first.model.model_dump() | {"dense": 8, "dropout": 0.5},
        stages=[{"train": "head", "epochs": 1}],
        optimizer={"name": "sgd", "lr": 0.1},
    )
    second = network(other)
    second.backbone.load_state_dict(network(first).backbone.state_dict())
    sizes = images_seen(second)
    done = fit(second, development, other, 5, "cpu")
    assert sizes == []
    assert done.features_bytes > 0


def test_a_trial_owes_what_others_spent_on_features_that_it_finds(
    development: Development, recipe: Make, network: Build
) -> None:
    """So that its seconds are what it would take alone, whoever came before it."""
    long, short = recipe(stages=[*HEAD, *HEAD]), recipe(stages=[{"train": "head", "steps": 4}])
    assert fit(network(long), development, long, 0, "cpu").owed_s == 0, "its second stage finds its own"
    spent = {key[1][0]: kept.seconds for key, kept in frozen._kept.items()}
    assert spent.keys() == {"gathered", "evaluated"}
    found = fit(network(long), development, long, 1, "cpu")
    assert found.owed_s == pytest.approx(sum(spent.values()))
    assert min(spent.values()) > 0
    found = fit(network(short), development, short, 0, "cpu")
    assert found.owed_s == pytest.approx(spent["gathered"] / 2 + spent["evaluated"])


@pytest.mark.parametrize("change", ["weight", "statistic", "normalisation", "precision", "model"])
def test_another_trunk_finds_none(
    change: str, development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(stages=HEAD)
    fit(network(chosen), development, chosen, 0, "cpu")
    second = network(chosen)
    with torch.no_grad():
        if change == "weight":
            second.backbone[1][0].weight[0, 0, 0, 0] += 1e-3
        if change == "statistic":
            second.backbone[0][1].running_mean[0] += 1e-3
        if change == "normalisation":
            second.std[0] += 1e-3
    if change == "precision":
        chosen = chosen.model_copy(update={"precision": "bf16"})
    if change == "model":
        model = chosen.model.model_copy(update={"params": chosen.model.params | {"mine": 1}})
        chosen = chosen.model_copy(update={"model": model})
    sizes = images_seen(second)
    fit(second, development, chosen, 0, "cpu")
    assert sum(sizes) > len(development.train)


class OfItsBatch(nn.Module):
    """Features that depend on the other images of a batch, or on a generator."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if self.kind == "draws":
            images = images + torch.rand(())
        elif self.kind == "company":
            images = images - images.mean(0)
        elif self.kind == "place":
            images = images + torch.arange(len(images))[:, None, None, None]
        elif self.kind == "place of a few":  # as kernels do it whose last rows are less than their width
            moved = (torch.arange(len(images)) >= 14) & (images.mean((1, 2, 3)) > 0.9)
            images = images + 1e-6 * moved[:, None, None, None]
        return (images * self.weight).flatten(1)


@pytest.mark.parametrize("kind", ["draws", "company", "place", "place of a few", "none of these"])
def test_a_trunk_that_says_more_than_of_an_image_is_asked_each_time(
    kind: str, development: Development, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(stages=HEAD)

    def built() -> Network:
        torch.manual_seed(0)
        head = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3 * 16 * 16, 8))
        return Network(OfItsBatch(kind), head, [["weight"]], ((0.5,) * 3, (0.5,) * 3))

    expected, found = built(), built()
    assert course(live(expected, development, chosen, monkeypatch)) == course(
        done := fit(found, development, chosen, 3, "cpu")
    )
    assert equal(expected, found)
    assert (done.features_bytes > 0) == (kind == "none of these")


def test_what_there_is_no_room_for_is_not_kept(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(stages=HEAD)
    there = development.train.images.nbytes + development.val.images.nbytes
    done = fit(network(chosen), development, chosen, 3, "cpu", Hooks(resident_bytes=there + 64 * 32 * 4 - 1))
    assert done.features_bytes == 0
    done = fit(network(chosen), development, chosen, 3, "cpu", Hooks(resident_bytes=there + 64 * 32 * 4))
    assert done.features_bytes == 64 * 32 * 4
    assert sum(part.nbytes for kept in frozen._kept.values() for part in kept.features) <= 64 * 32 * 4


def test_features_of_images_that_are_streamed_are_kept(
    development: Development, recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of 64 images fit where their pixels do not; the last batch is computed from the stream."""
    chosen = recipe(stages=HEAD, batch_size=24)
    expected, found = network(chosen), network(chosen)
    asked = live(expected, development, chosen, monkeypatch)
    gc.collect()  # whoever has these images on the device already would lend them
    kept = fit(found, development, chosen, 3, "cpu", Hooks(resident_bytes=64 * 32 * 4))
    assert kept.placing is not None
    assert kept.placing.streamed == ("training", "validation")
    assert kept.features_bytes == 64 * 32 * 4
    assert course(kept) == course(asked)
    assert equal(found, expected)


def test_trials_that_take_turns_keep_for_each_other(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = [
        recipe(stages=HEAD, optimizer={"name": "adam", "lr": rate}, model=MODEL) for rate in (0.01, 0.003)
    ]
    alone = []
    for each in chosen:
        trained = network(each)
        alone.append(course(fit(trained, development, each, 3, "cpu")))
    frozen._kept.clear()
    found = together([training(network(each), development, each, 3, "cpu", Hooks()) for each in chosen])
    assert [course(done) for done in found] == alone


MODEL = {"name": "custom_cnn", "widths": [8, 8, 8], "dense": 16, "dropout": 0.0}
"""Without dropout: who takes the turns keeps torch's generators apart, and nobody does here."""


def test_a_stage_too_short_for_a_pass_makes_none(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(stages=[{"train": "head", "steps": 7, "eval_every": 7}])
    trained = network(chosen)
    sizes = images_seen(trained)
    done = fit(trained, development, chosen, 0, "cpu")
    assert done.features_bytes == 0
    assert sizes == [16] * 7 + [32]
    assert np.isfinite(done.history[-1]["val_loss"])
