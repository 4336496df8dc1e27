from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.data.images import Development, Samples
from bench.errors import UserError
from bench.evaluate import predict
from bench.models.network import Network
from bench.recipe import Recipe, Stage
from bench.train.device import computing
from bench.train.loop import Diverged, Hooks, Progress, _legs, fit, training
from bench.train.outcome import Best
from bench.train.turns import Clock

Make = Callable[..., Recipe]
Build = Callable[..., Network]
FAST = {"name": "adam", "lr": 0.01}


def accuracy(network: Network, samples: Samples) -> float:
    return float((predict(network, samples, "cpu").argmax(1) == samples.labels).mean())


def test_a_learnable_task_is_learned(development: Development, recipe: Make, network: Build) -> None:
    chosen = recipe(optimizer=FAST, stages=[{"train": "all", "epochs": 12}])
    trained = network(chosen)
    done = fit(trained, development, chosen, 0, "cpu")
    assert accuracy(trained, development.val) > 0.9
    assert done.history[-1]["train_loss"] < 0.5 * done.history[0]["train_loss"]
    assert done.history[-1]["step"] == 12 * 4
    assert [entry["epoch"] for entry in done.history] == list(range(1, 13))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"augment": ["flip"], "ema": 0.9, "clip_norm": 1.0},
        {"stages": [{"train": "head", "epochs": 2}, {"train": "top:2", "steps": 10}]},
    ],
)
def test_the_same_trial_twice_is_bit_identical(
    extra: dict, development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(**({"optimizer": FAST, "stages": [{"train": "all", "epochs": 8}]} | extra))
    ends = []
    for _ in range(2):
        torch.rand(17)  # a global generator somewhere else must not matter
        trained = network(chosen, seed=3)
        fit(trained, development, chosen, 3, "cpu")
        ends.append(predict(trained, development.val, "cpu"))
    assert np.array_equal(*ends)


def test_another_seed_gives_another_result(development: Development, recipe: Make, network: Build) -> None:
    chosen = recipe(optimizer=FAST, stages=[{"train": "all", "epochs": 8}])
    ends = []
    for seed in (0, 1):
        trained = network(chosen, seed=7)  # the same initial weights: order and dropout alone differ
        fit(trained, development, chosen, seed, "cpu")
        ends.append(predict(trained, development.val, "cpu"))
    assert not np.array_equal(*ends)


def test_training_puts_the_global_generator_back(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(optimizer=FAST, stages=[{"train": "all", "epochs": 8}])
    trained = network(chosen)
    before = torch.random.get_rng_state()
    fit(trained, development, chosen, 0, "cpu")
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_best_weights_are_kept_and_carried_into_the_next_stage(
    development: Development, recipe: Make, network: Build
) -> None:
    """The second stage's rate ruins the network at once; what the first one reached must come back."""
    stages = [{"train": "all", "epochs": 10}, {"train": "all", "epochs": 2, "lr_scale": 1000.0}]
    chosen = recipe(optimizer=FAST, stages=stages)
    trained = network(chosen)
    done = fit(trained, development, chosen, 0, "cpu")
    best = max(done.history, key=lambda entry: (entry["val_accuracy"], -entry["val_loss"]))
    assert best["stage"] == 1
    assert done.history[-1]["val_accuracy"] < best["val_accuracy"]
    assert accuracy(trained, development.val) == best["val_accuracy"]
    assert done.stages[0]["best_val_accuracy"] == best["val_accuracy"]


def test_at_equal_accuracy_the_lower_loss_is_kept() -> None:
    best = Best()
    assert best.take({"val_accuracy": 0.5, "val_loss": 2.0})
    assert best.take({"val_accuracy": 0.5, "val_loss": 1.0})
    assert not best.take({"val_accuracy": 0.5, "val_loss": 1.0})
    assert not best.take({"val_accuracy": 0.4, "val_loss": 0.1})
    assert best.entry["val_loss"] == 1.0


def test_a_stage_stops_after_patience_evaluations_without_a_better_one(
    development: Development, recipe: Make, network: Build
) -> None:
    """A rate too small to change anything: only the first evaluation of a stage is its best."""
    stages = [{"train": "head", "epochs": 9, "patience": 3}, {"train": "head", "epochs": 4, "patience": 1}]
    chosen = recipe(optimizer={"name": "sgd", "lr": 1e-30}, stages=stages)
    done = fit(network(chosen), development, chosen, 0, "cpu")
    assert [entry["stage"] for entry in done.history] == [1, 1, 1, 1, 2, 2]
    assert [stage["best_epoch"] for stage in done.stages] == [1, 1]
    assert [stage["epochs"] for stage in done.stages] == [4, 2]
    assert all(stage["stopped_early"] for stage in done.stages)


def test_without_patience_a_stage_runs_to_its_end(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(optimizer={"name": "sgd", "lr": 1e-30}, stages=[{"train": "head", "epochs": 5}])
    done = fit(network(chosen), development, chosen, 0, "cpu")
    assert len(done.history) == 5
    assert not done.stages[0]["stopped_early"]


def test_a_stage_that_trains_none_is_skipped(development: Development, recipe: Make, network: Build) -> None:
    stages = [{"train": "none"}, {"train": "all", "epochs": 10}]
    chosen = recipe(optimizer=FAST, stages=stages)
    done = fit(network(chosen), development, chosen, 0, "cpu")
    assert {entry["stage"] for entry in done.history} == {2}
    assert [stage["train"] for stage in done.stages] == ["all"]


def test_a_recipe_that_trains_nothing_is_refused(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(stages=[{"train": "none"}])
    with pytest.raises(UserError, match='train is "none" in all 1'):
        fit(network(chosen), development, chosen, 0, "cpu")


@pytest.mark.parametrize("optimizer", ["adam", "lion", "sgd"])
def test_a_loss_that_is_not_finite_stops_with_step_stage_and_rate(
    optimizer: str, development: Development, recipe: Make, network: Build
) -> None:
    stages = [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 3, "lr_scale": 1e30}]
    chosen = recipe(optimizer={"name": optimizer, "lr": 1e-3}, stages=stages)
    with pytest.raises(Diverged) as caught:
        fit(network(chosen), development, chosen, 0, "cpu")
    diverged = caught.value
    assert diverged.cause == "not finite"
    assert (diverged.stage, diverged.learning_rate) == (2, pytest.approx(1e27))
    # the head took steps 1 to 4; step 5 still sees sound weights
    assert 5 < diverged.step <= 8
    assert f"step {diverged.step}, stage 2, learning rate 1e+27" in str(diverged)
    assert [entry["stage"] for entry in diverged.fit.history] == [1]


def test_progress_is_told_once_per_evaluation(development: Development, recipe: Make, network: Build) -> None:
    told: list[Progress] = []
    stages = [{"train": "all", "epochs": 6}, {"train": "head", "steps": 6, "eval_every": 4}]
    chosen = recipe(optimizer=FAST, stages=stages)
    done = fit(network(chosen), development, chosen, 0, "cpu", Hooks(told.append))
    assert [(p.stage, p.epoch, p.epochs) for p in told] == [
        *((1, e, 6) for e in range(1, 7)),
        (2, 1, 2),
        (2, 2, 2),
    ]
    assert [p.val_accuracy for p in told] == [entry["val_accuracy"] for entry in done.history]
    assert done.history[-1]["step"] == 6 * 4 + 6


def test_the_average_of_the_weights_is_what_is_kept(
    development: Development, recipe: Make, network: Build
) -> None:
    plain = recipe(optimizer=FAST, stages=[{"train": "all", "epochs": 12}])
    averaged = plain.model_copy(update={"ema": 0.5})
    losses = []
    for chosen in (plain, averaged):
        done = fit(network(chosen), development, chosen, 0, "cpu")
        losses.append([entry["train_loss"] for entry in done.history])
        last = done.history[-1]["val_loss"]
        losses[-1].append(last)
    assert losses[0][:-1] == losses[1][:-1]  # training itself is the same
    assert losses[0][-1] != losses[1][-1]


def test_frozen_blocks_keep_weights_and_statistics_bit_for_bit(
    development: Development, recipe: Make, network: Build
) -> None:
    chosen = recipe(optimizer=FAST, ema=0.9, stages=[{"train": "top:1", "epochs": 3}])
    trained = network(chosen)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    fit(trained, development, chosen, 0, "cpu")
    after = trained.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(("backbone.0.", "backbone.1.", "mean", "std"))}
    assert any("running_var" in name for name in frozen)
    assert same == frozen


def test_plateau_lowers_the_rate_after_evaluations_without_gain_and_anew_in_each_stage(
    development: Development, recipe: Make, network: Build
) -> None:
    """Nothing moves, so only the first evaluation of a stage is a gain; the rate falls after two others."""
    stages = [{"train": "head", "epochs": 6}, {"train": "head", "epochs": 4, "lr_scale": 0.5}]
    schedule = {"name": "plateau", "patience": 2, "factor": 0.1}
    chosen = recipe(optimizer={"name": "sgd", "lr": 1e-30}, schedule=schedule, stages=stages)
    rates = [entry["lr"] for entry in fit(network(chosen), development, chosen, 0, "cpu").history]
    assert rates[:6] == pytest.approx([1e-30, 1e-30, 1e-30, 1e-31, 1e-31, 1e-32], rel=1e-6, abs=0)
    assert rates[6:] == pytest.approx([5e-31, 5e-31, 5e-31, 5e-32], rel=1e-6, abs=0)


def test_bf16_learns_repeats_itself_bit_for_bit_and_differs_from_fp32(
    development: Development, recipe: Make, network: Build
) -> None:
    plain = recipe(optimizer=FAST, stages=[{"train": "head", "epochs": 1}, {"train": "all", "epochs": 12}])
    low = plain.model_copy(update={"precision": "bf16"})
    ends, losses = [], []
    for chosen in (low, low, plain):
        trained = network(chosen)
        losses.append([e["train_loss"] for e in fit(trained, development, chosen, 0, "cpu").history])
        ends.append(predict(trained, development.val, "cpu", precision=chosen.precision))
    assert np.array_equal(ends[0], ends[1])
    assert losses[0] == losses[1] != losses[2]
    assert losses[0][0] == pytest.approx(losses[2][0], rel=0.01)  # the same task, more coarsely computed
    assert (ends[0].argmax(1) == development.val.labels).mean() > 0.9


def test_tf32_changes_nothing_on_a_cpu(development: Development, recipe: Make, network: Build) -> None:
    plain = recipe(stages=[{"train": "all", "epochs": 2}])
    fits = []
    for chosen in (plain, plain.model_copy(update={"precision": "tf32"})):
        with computing(chosen, "cpu"):
            fits.append(fit(network(chosen), development, chosen, 0, "cpu"))
    assert fits[0].history[-1]["val_loss"] == fits[1].history[-1]["val_loss"]


def test_legs_cover_a_stages_steps_exactly() -> None:
    assert _legs(Stage(train="all", epochs=3), 7) == [7, 7, 7]
    assert _legs(Stage(train="all", steps=10, eval_every=4), 7) == [4, 4, 2]
    assert _legs(Stage(train="all", steps=100), 7) == [10] * 10
    assert _legs(Stage(train="all", steps=2), 7) == [1, 1]


@pytest.fixture(scope="module")
def lopsided(development: Development) -> Development:
    """Training images of two classes, 8 of one and 24 of the other (each of 8 images three times)."""
    labels = development.train.labels
    first, last = (np.flatnonzero(labels == k) for k in (0, 7))
    return Development(
        development.train.take(np.concatenate([first, last, last, last])),
        development.val,
        development.classes,
    )


@pytest.mark.parametrize(
    ("balance", "steps"),
    [
        ("none", 4),
        ("upsample", 6),
        ("upsample-static", 6),
        ("downsample", 2),
        ("class-weights", 4),
        ("sqrt-sampler", 4),
    ],
)
def test_a_stage_in_epochs_follows_the_balance_and_one_in_steps_does_not(
    lopsided: Development, recipe: Make, network: Build, balance: str, steps: int
) -> None:
    stages = [{"train": "head", "epochs": 2}, {"train": "head", "steps": 4, "eval_every": 2}]
    chosen = recipe(batch_size=8, balance=balance, stages=stages)
    done = fit(network(chosen), lopsided, chosen, 0, "cpu")
    assert [stage["steps"] for stage in done.stages] == [2 * steps, 4]
    assert [stage["epochs"] for stage in done.stages] == [2, round(4 / steps, 3)]
    assert done.history[-1]["step"] == 2 * steps + 4


@pytest.mark.parametrize(
    "given",
    [
        {"balance": "upsample-static"},
        {"balance": "sqrt-sampler"},
        {"balance": "class-weights"},
        {"augment_mode": "static", "augment": ["rotate"]},
    ],
)
def test_balanced_and_static_training_is_bit_identical_when_repeated(
    lopsided: Development, recipe: Make, network: Build, given: dict[str, object]
) -> None:
    chosen = recipe(batch_size=8, stages=[{"train": "all", "epochs": 2}], **given)
    plain = recipe(batch_size=8, stages=[{"train": "all", "epochs": 2}])
    losses = []
    for one in (chosen, chosen, plain):
        losses.append([e["train_loss"] for e in fit(network(one), lopsided, one, 0, "cpu").history])
    assert losses[0] == losses[1] != losses[2]


def test_class_weights_reach_the_loss_that_training_lowers(
    lopsided: Development, recipe: Make, network: Build
) -> None:
    """One batch holds everything: the first loss is that of the initial weights."""
    model = {"name": "custom_cnn", "widths": [8, 8, 8], "dense": 16, "dropout": 0.0}
    chosen = recipe(
        model=model, balance="class-weights", batch_size=32, stages=[{"train": "head", "steps": 1}]
    )
    trained = network(chosen).eval()  # as a head-only step computes without dropout
    trained.head.classifier.bias.data = torch.arange(8.0)  # class 0 costs more than class 7
    images = torch.from_numpy(lopsided.train.images).permute(0, 3, 1, 2).float().div(255)
    labels = torch.from_numpy(lopsided.train.labels)
    with torch.no_grad():
        each = torch.nn.functional.cross_entropy(trained(images), labels, reduction="none")
    weight = torch.where(labels == 0, 32 / (2 * 8), 32 / (2 * 24))
    found = fit(trained, lopsided, chosen, 0, "cpu").history[0]["train_loss"]
    assert found == pytest.approx((weight * each).mean().item(), rel=1e-4)
    assert found > 1.5 * each.mean().item()


JSD = {"name": "augmix", "jsd": True}


def test_training_on_views_is_bit_identical_when_repeated_and_takes_the_same_steps(
    development: Development, recipe: Make, network: Build
) -> None:
    stages = [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 3}]
    ends, fits = [], []
    for augment in ([JSD], [JSD], ["augmix"]):
        chosen = recipe(optimizer=FAST, augment=augment, stages=stages)
        trained = network(chosen, seed=3)
        fits.append(fit(trained, development, chosen, 0, "cpu"))
        ends.append(predict(trained, development.val, "cpu"))
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
    assert [s["steps"] for s in fits[0].stages] == [s["steps"] for s in fits[2].stages] == [4, 12]
    # the loss that is recorded has the disagreement in it
    assert fits[0].history[0]["train_loss"] == fits[1].history[0]["train_loss"]


def test_a_task_is_learned_from_views(development: Development, recipe: Make, network: Build) -> None:
    chosen = recipe(optimizer=FAST, augment=[JSD], stages=[{"train": "all", "epochs": 20}])
    trained = network(chosen)
    done = fit(trained, development, chosen, 0, "cpu")
    assert accuracy(trained, development.val) > 0.9
    assert done.history[-1]["train_loss"] < 0.7 * done.history[0]["train_loss"]


def test_images_per_second_counts_images_and_not_their_views(
    development: Development, recipe: Make, network: Build
) -> None:
    """A clock that runs a second per reading: 64 images between two readings, whatever is made of them."""

    class Ticking(Clock):
        ticks = itertools.count()

        def now(self) -> float:
            return float(next(self.ticks))

    for augment in ([], [JSD]):
        chosen = recipe(augment=augment, stages=[{"train": "all", "epochs": 1}])
        done = fit(network(chosen), development, chosen, 0, "cpu", Hooks(clock=Ticking()))
        assert done.history[0]["images_per_s"] == 64


def test_others_get_their_turn_after_each_block_of_steps_and_before_this_one_waits(
    development: Development, recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.train.batches.block_steps", lambda *given: 3)
    chosen = recipe(stages=[{"train": "all", "epochs": 2}])
    turns = training(network(chosen), development, chosen, 0, "cpu", Hooks())
    # 64 images, batches of 16: after three steps, after the fourth, and once validation is asked for
    assert sum(1 for _ in turns) == 2 * 3
