from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from bench.data.images import Development
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train.compiled import Compiled
from bench.train.loop import Fit, Hooks, fit

Make = Callable[..., Recipe]
Build = Callable[..., Network]
SMALL = {"name": "custom_cnn", "widths": [4], "dense": 8, "dropout": 0.0}
STAGES = [{"train": "all", "epochs": 2}]


def trained(network: Network, development: Development, recipe: Recipe, notes: list[str]) -> Fit:
    return fit(network, development, recipe, 0, "cpu", Hooks(on_note=notes.append))


@pytest.fixture
def without_compiling(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """``torch.compile`` that returns the network itself, and lists how many images each call brings."""
    sizes: list[int] = []

    def pretend(network: Network, **_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def call(images: torch.Tensor) -> torch.Tensor:
            sizes.append(len(images))
            return network(images)

        return call

    monkeypatch.setattr("torch.compile", pretend)
    return sizes


def test_full_batches_run_compiled_and_the_last_smaller_one_as_written(
    without_compiling: list[int], development: Development, recipe: Make, network: Build
) -> None:
    """Another size would be compiled anew, for one step in an epoch."""
    chosen = recipe(model=SMALL, batch_size=24, compile=True, stages=STAGES)  # 64 images: 24, 24, 16
    done = trained(network(chosen), development, chosen, [])
    assert without_compiling == [24] * 4
    assert done.stages[0]["compiled"]
    assert "graphed" not in done.stages[0]


def test_where_compiling_fails_the_network_runs_as_written_and_that_is_said_once(
    development: Development, recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: Network, **_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def call(images: torch.Tensor) -> torch.Tensor:
            raise torch._dynamo.exc.TorchDynamoException("\nno compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

        return call

    monkeypatch.setattr("torch.compile", broken)
    stages = [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 1}]
    plain = recipe(model=SMALL, stages=stages)
    notes: list[str] = []
    done = trained(network(plain), development, plain.model_copy(update={"compile": True}), notes)
    assert notes == ["compile = true: the network cannot be compiled, trains without (no compiler)"]
    assert [stage["compiled"] for stage in done.stages] == [False, False]
    expected = trained(network(plain), development, plain, [])
    assert [e["train_loss"] for e in done.history] == [e["train_loss"] for e in expected.history]


def test_an_error_of_the_network_itself_is_not_taken_for_one_of_compiling(
    recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(network: Network, **_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def call(images: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no memory")

        return call

    monkeypatch.setattr("torch.compile", full)
    with pytest.raises(torch.OutOfMemoryError):
        Compiled(network(recipe()), pytest.fail)(torch.rand(2, 3, 16, 16))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler (g++)")
def test_compiled_training_stays_near_training_as_written_and_repeats_itself_bit_for_bit(
    development: Development, recipe: Make, network: Build
) -> None:
    """The second trial runs what the first one compiled: a worker pays once per set of trainable blocks."""
    plain = recipe(model=SMALL, stages=STAGES, optimizer={"name": "sgd", "lr": 0.05})
    courses = []
    for compile in (False, True, True):
        chosen, notes = plain.model_copy(update={"compile": compile}), []
        done = trained(network(chosen), development, chosen, notes)
        assert notes == []
        courses.append([(e["train_loss"], e["val_loss"]) for e in done.history])
    assert done.stages[0]["compiled"]
    assert courses[1] == courses[2]
    torch.testing.assert_close(torch.tensor(courses[1]), torch.tensor(courses[0]), rtol=1e-4, atol=1e-5)
