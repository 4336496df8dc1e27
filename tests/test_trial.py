from __future__ import annotations

import math
import pickle
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import metrics, registry
from bench.data import provide
from bench.errors import UserError
from bench.models import frozen
from bench.models.network import Network
from bench.models.weights import save
from bench.plan import TEST, Replicate, ScoredSet, Source, Trial
from bench.recipe import Corrupted, Data, External, Recipe
from bench.store import VALIDATION
from bench.train import checkpoint
from bench.train.loop import Progress
from bench.trial import Result, Surroundings, run_trial, score_from_weights

CLASSES = ("blue", "green", "red")
LOCAL = ScoredSet(TEST, "key-of-test")


def coloured(path: Path, count: int, classes: int, seed: int) -> Source:
    """An npz of 16 px images, bright in the colour of their class, with a coarse pattern of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = np.kron(rng.integers(0, 120, (count, 4, 4, 3)), np.ones((1, 4, 4, 1)))
    images[np.arange(count), :, :, labels] += 120
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return Source("npz", path, f"{seed:064d}")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trial]:
    """``make(seed=1, role="tune", stages=…)``: a trial on 120 images of three colours."""
    folder = tmp_path_factory.mktemp("images")
    source = coloured(folder / "local.npz", 120, 3, 0)

    def trial(seed: int = 0, role: Any = "final", **given: Any) -> Trial:
        tables: dict[str, Any] = {
            "model": {
                "name": "custom_cnn",
                **registry.models["custom_cnn"].parameters({"widths": [8, 8], "dense": 8}),
            },
            "optimizer": {"name": "adam", **registry.optimizers["adam"].parameters({"lr": 0.01})},
            "batch_size": 16,
            "stages": [{"train": "all", "epochs": 8}],
        }
        data = Data(source="npz:local.npz", size_px=16, classes=CLASSES)
        recipe = Recipe.model_validate(tables | given)
        return Trial("a" * 16, "b" * 16, recipe, data, "f", source, Replicate(seed), {}, role)

    return trial


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    return Surroundings("cpu", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> ScoredSet:
    """Images of another laboratory, which knows two of the three classes."""
    source = coloured(tmp_path_factory.mktemp("hidden") / "other.npz", 20, 2, 1)
    names = {"class 0": "blue", "class 1": "green"}
    return ScoredSet(
        "other", "key-of-other", External(kind="external", source="npz:other.npz", classes=names), source
    )


def test_a_trial_is_trained_and_scored_on_every_set(
    make: Callable[..., Trial], setting: Surroundings, hidden: ScoredSet
) -> None:
    told: list[Progress] = []
    result = run_trial(make(), [LOCAL, hidden], replace(setting, on_progress=told.append))
    assert (result.status, result.classes) == ("done", CLASSES)
    assert result.scores.keys() == {"key-of-test", "key-of-other"}
    assert result.scores["key-of-test"]["accuracy"] > 0.8
    assert len(told) == len(result.history) == 8
    assert result.recalls["key-of-other"].keys() == {"blue", "green"}
    assert result.predictions["key-of-other"].probabilities.shape == (20, 3)
    assert result.timings.keys() == {"data", "build", "train", "evaluate", "images_per_s"}
    # two per multiply-accumulate: 16 px 3 → 8 channels, 8 px 8 → 8, dense 8 · 4² → 8, three classes
    assert result.flops == 2 * (16**2 * 8 * 3 * 9 + 8**2 * 8 * 8 * 9 + 8 * 16 * 8 + 8 * 3)
    assert (
        result.parameters
        == result.trainable_parameters
        == sum(
            t.numel()
            for n, t in result.weights.items()
            if "running" not in n and "num_" not in n and n not in ("mean", "std")
        )
    )
    assert result.memory["peak_mb"] > 100


def test_a_corrupted_set_is_scored_as_a_whole_and_per_condition(
    make: Callable[..., Trial], setting: Surroundings
) -> None:
    micro = Corrupted(
        kind="corrupted", profile="micro-c", families=("brightness-down", "hue"), severities=(1, 5)
    )
    sets = [ScoredSet("micro", "key-of-micro", micro), ScoredSet("heavy", "h", Corrupted(kind="corrupted"))]
    result = run_trial(make(), sets, setting)
    stored, by_condition = result.predictions["key-of-micro"], result.conditions["key-of-micro"]
    assert list(by_condition) == ["brightness-down/1", "brightness-down/5", "hue/1", "hue/5"]
    hits = stored.probabilities.argmax(1) == stored.labels
    for number, scores in enumerate(by_condition.values()):
        mine = stored.conditions == number
        assert scores["accuracy"] == hits[mine].mean()
        recalls = [hits[mine & (stored.labels == k)].mean() for k in range(3)]
        assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    mean = np.mean([scores["accuracy"] for scores in by_condition.values()])
    assert mean == pytest.approx(result.scores["key-of-micro"]["accuracy"])
    assert "h" in result.scores
    assert "h" not in result.conditions


def test_scores_are_those_of_the_stored_probabilities(
    make: Callable[..., Trial], setting: Surroundings
) -> None:
    result = run_trial(make(), [LOCAL], setting)
    stored = result.predictions["key-of-test"]
    assert metrics.score_all(stored.probabilities, stored.labels) == result.scores["key-of-test"]
    kept = max(entry["val_accuracy"] for entry in result.history)
    assert result.validation["accuracy"] == pytest.approx(kept, abs=1e-9)


def test_the_same_trial_twice_is_bit_identical(make: Callable[..., Trial], setting: Surroundings) -> None:
    first, second = (run_trial(make(seed=4), [LOCAL], setting) for _ in range(2))
    one, two = (r.predictions["key-of-test"].probabilities for r in (first, second))
    assert np.array_equal(one, two)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    other = run_trial(make(seed=5), [LOCAL], setting)
    assert not np.array_equal(one, other.predictions["key-of-test"].probabilities)


def test_a_trial_after_another_is_bit_identical_to_one_in_a_fresh_process(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path
) -> None:
    """The other one shares its images and its model, and changes those images for itself."""
    augment = [{"name": "flip", **registry.augmentations["flip"].parameters({})}]
    trial = make(seed=6, stages=[{"train": "head", "epochs": 2}, {"train": "all", "epochs": 6}])
    other = make(seed=6, augment=augment, augment_mode="static", balance="upsample-static")
    job, answer = tmp_path / "job", tmp_path / "answer"
    job.write_bytes(pickle.dumps((trial, [LOCAL], setting)))
    subprocess.run([sys.executable, "-c", ALONE, str(job), str(answer)], check=True)
    expected = pickle.loads(answer.read_bytes())
    run_trial(other, [LOCAL], setting)
    found = run_trial(trial, [LOCAL], setting)
    assert np.array_equal(*(r.predictions["key-of-test"].probabilities for r in (found, expected)))
    assert all(torch.equal(found.weights[name], expected.weights[name]) for name in found.weights)
    assert (found.flops, found.scores) == (expected.flops, expected.scores)


ALONE = """
import pickle, sys
from bench.trial import run_trial
with open(sys.argv[1], "rb") as job, open(sys.argv[2], "wb") as answer:
    pickle.dump(run_trial(*pickle.load(job)), answer)
"""


def test_a_tuning_trial_opens_no_held_out_set(
    make: Callable[..., Trial], setting: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a held-out set was opened")

    monkeypatch.setattr(provide, "held_out", never)
    result = run_trial(make(role="tune"), [], setting)
    assert result.status == "done"
    assert (result.scores, list(result.predictions)) == ({}, ["val"])
    assert result.validation["accuracy"] > 0.5
    with pytest.raises(ValueError, match="never scored on test"):
        run_trial(make(role="tune"), [LOCAL], setting)


def test_held_out_sets_are_opened_after_training_only(
    make: Callable[..., Trial], setting: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    opened_at = []
    door = provide.held_out
    monkeypatch.setattr(provide, "held_out", lambda *a: (opened_at.append(len(told)), door(*a))[1])
    run_trial(make(), [LOCAL], replace(setting, on_progress=told.append))
    assert opened_at == [8]


def rare(path: Path) -> Source:
    """An npz of 400 images, 12 % of them a little redder, which their noise mostly hides."""
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 25 < 3).astype(np.int64)
    images = rng.integers(60, 140, (400, 16, 16, 3)) + rng.integers(-30, 30, (400, 1, 1, 1))
    images[..., 0] += 25 * labels[:, None, None]
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return Source("npz", path, "9" * 64)


def test_a_network_that_never_names_a_rare_class_but_ranks_it_is_scored_as_it_is(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path
) -> None:
    """Balanced accuracy stays at chance: a bound on it called this diverged, and gave it an AUC of 0.5."""
    shares = {"train": 0.4, "val": 0.3, "test": 0.3}
    data = Data(source="npz:rare.npz", size_px=16, split=shares, classes=("no", "yes"))
    slow = {"name": "sgd", **registry.optimizers["sgd"].parameters({"lr": 0.003})}
    trial = make(optimizer=slow, stages=[{"train": "all", "epochs": 8}])
    result = run_trial(replace(trial, data=data, source=rare(tmp_path / "rare.npz")), [LOCAL], setting)
    assert max(entry["val_balanced_accuracy"] for entry in result.history) < 0.6, "the bound of old"
    assert (result.status, result.little_learned) == ("done", "")
    assert result.scores[LOCAL.key]["auc"] > 0.75
    assert result.history[-1]["val_loss"] < 0.8 * result.history[0]["val_loss"]


def test_little_learned_is_a_mark_on_a_trial_that_is_scored(
    make: Callable[..., Trial], setting: Surroundings
) -> None:
    still = {"name": "sgd", **registry.optimizers["sgd"].parameters({"lr": 1e-30})}
    for role in ("final", "tune"):
        sets = [LOCAL] if role == "final" else []
        result = run_trial(make(role=role, optimizer=still), sets, setting)
        assert result.status == "done"
        assert result.scores.keys() == {scored.key for scored in sets}
        assert result.little_learned.startswith("validation loss")
        assert result.little_learned.endswith("try another learning rate")
        assert result.weights is not None


def test_divergence_is_a_result_without_scores(make: Callable[..., Trial], setting: Surroundings) -> None:
    stages = [{"train": "all", "epochs": 2}, {"train": "all", "epochs": 2, "lr_scale": 1e30}]
    result = run_trial(make(stages=stages), [LOCAL], setting)
    assert (result.status, result.cause) == ("diverged", "not finite")
    assert "stage 2, learning rate 1e+28" in result.message
    assert len(result.history) == 2
    assert [stage["stage"] for stage in result.training] == [1]
    assert result.scores == result.predictions == {}
    assert result.weights is None


def test_a_set_added_later_is_scored_from_the_weights_as_training_would_have(
    make: Callable[..., Trial], setting: Surroundings, hidden: ScoredSet, tmp_path: Path
) -> None:
    trial = make(tta="flips")
    result = run_trial(trial, [LOCAL, hidden], setting)
    save(result.weights, tmp_path / "weights.safetensors")
    later = score_from_weights(trial, [hidden], tmp_path / "weights.safetensors", setting)
    assert later.scores == {"key-of-other": result.scores["key-of-other"]}
    assert later.recalls == {"key-of-other": result.recalls["key-of-other"]}
    before, after = (s.predictions["key-of-other"].probabilities for s in (result, later))
    assert np.array_equal(before, after)


def test_heads_of_one_trunk_have_it_look_at_every_set_once(
    make: Callable[..., Trial],
    setting: Surroundings,
    hidden: ScoredSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    sets = [LOCAL, hidden, ScoredSet("heavy", "h", Corrupted(kind="corrupted"))]
    model = {"name": "custom_cnn", "widths": [8, 8], "dense": 8}
    stages = [{"train": "head", "epochs": 3}]
    first, other = (make(stages=stages, model=model | {"dropout": rate}) for rate in (0.1, 0.4))
    seen: list[int] = []

    def features(network: Network, images: torch.Tensor) -> torch.Tensor:
        seen.extend([len(images)] * (not images.is_meta))
        return network.backbone((images - network.mean) / network.std)

    monkeypatch.setattr(frozen, "_kept", OrderedDict())
    monkeypatch.setattr(Network, "features", features)
    run_trial(first, sets, setting)
    assert sum(seen) > 120
    seen.clear()
    found = run_trial(other, sets, setting)
    assert seen == []
    assert found.memory["features_mb"] > 0
    save(found.weights, tmp_path / "weights.safetensors")
    later = score_from_weights(other, sets, tmp_path / "weights.safetensors", setting)
    assert seen == []
    for room in ("bench.trial", "bench.train.loop"):
        monkeypatch.setattr(f"{room}.frozen", lambda *_: None)
    expected = run_trial(other, sets, setting)
    assert "features_mb" not in expected.memory
    assert sum(seen) > 3 * 96
    assert untimed(found) == untimed(expected)
    for key, one in expected.predictions.items():
        assert np.array_equal(one.probabilities, found.predictions[key].probabilities)
        assert key == VALIDATION or np.array_equal(one.probabilities, later.predictions[key].probabilities)


def test_weights_of_another_recipe_do_not_score(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path
) -> None:
    trial = make(stages=[{"train": "all", "epochs": 3}])
    result = run_trial(trial, [], setting)
    save(result.weights, tmp_path / "weights.safetensors")
    wider = {"name": "custom_cnn", "widths": [8, 16], "dense": 8, "dropout": 0.3}
    with pytest.raises(UserError, match="another shape"):
        score_from_weights(make(model=wider), [LOCAL], tmp_path / "weights.safetensors", setting)
    save({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="holds 1 tensors, but not those of a trained trial"):
        score_from_weights(trial, [LOCAL], tmp_path / "foreign.safetensors", setting)


def test_a_trial_is_scored_in_the_precision_it_was_trained_in(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path
) -> None:
    trial = make(precision="bf16", stages=[{"train": "all", "epochs": 3}])
    result = run_trial(trial, [LOCAL], setting)
    save(result.weights, tmp_path / "weights.safetensors")
    stored = result.predictions["key-of-test"].probabilities
    found = []
    for precision in ("bf16", "fp32"):
        recipe = trial.recipe.model_copy(update={"precision": precision})
        again = score_from_weights(
            replace(trial, recipe=recipe), [LOCAL], tmp_path / "weights.safetensors", setting
        )
        found.append(again.predictions["key-of-test"].probabilities)
    assert np.array_equal(stored, found[0])
    assert not np.array_equal(stored, found[1])


KILLED = """
import math, os, pickle, signal, sys
from bench.train import checkpoint, stepper
from bench.trial import run_trial

steps = int(sys.argv[2])
checkpoint.SHARE = math.inf  # after every evaluation
step = stepper.Stepper.__call__

def until(self, images, targets):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, images, targets)

stepper.Stepper.__call__ = until
with open(sys.argv[1], "rb") as file:
    run_trial(*pickle.load(file))
"""
MOBILENET = {
    "name": "mobilenetv2_035",
    **registry.models["mobilenetv2_035"].parameters({"pretrained": False}),
}
STAGES = [{"train": "head", "epochs": 1}, {"train": "all", "steps": 14, "eval_every": 4}]
"""96 training images are six steps of an epoch; evaluations after 6, 10, 14, 18 and 20 steps."""


@pytest.mark.parametrize("timm", [False, True])
def test_a_killed_trial_continues_and_ends_bit_for_bit_as_if_it_had_not_been(
    timm: bool, make: Callable[..., Trial], setting: Surroundings, tmp_path: Path
) -> None:
    given = {"stages": STAGES, "ema": 0.9, "augment": ["rotate"]}
    trial = make(**given, model=MOBILENET) if timm else make(**given)
    if timm:
        trial = replace(trial, data=trial.data.model_copy(update={"size_px": 32}))
    kept = tmp_path / "results" / "checkpoint.pt"
    job = tmp_path / "job.pkl"
    job.write_bytes(pickle.dumps((trial, [LOCAL], replace(setting, checkpoint=kept))))
    # amid the second epoch of the second stage: the evaluation after step 14 was the last
    ended = subprocess.run([sys.executable, "-c", KILLED, str(job), "17"], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [entry["step"] for entry in torch.load(kept, weights_only=True)["history"]] == [6, 10, 14]

    notes: list[str] = []
    continued = run_trial(trial, [LOCAL], replace(setting, checkpoint=kept, on_note=notes.append))
    whole = run_trial(trial, [LOCAL], setting)
    assert notes == [f"continues from {kept}"]
    assert [entry["step"] for entry in whole.history] == [6, 10, 14, 18, 20]
    assert untimed(continued) == untimed(whole)
    assert all(torch.equal(continued.weights[name], whole.weights[name]) for name in whole.weights)
    found, expected = (r.predictions["key-of-test"].probabilities for r in (continued, whole))
    assert np.array_equal(found, expected)


def untimed(result: Result) -> tuple[object, ...]:
    """Scores, course and stages of a trial, without what a clock says."""
    course = [{k: v for k, v in e.items() if k not in ("seconds", "images_per_s")} for e in result.history]
    return result.status, result.scores, result.validation, course, result.training


def test_a_checkpoint_of_another_trial_device_or_library_is_ignored_with_a_note(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    trial, kept = make(stages=[{"train": "all", "epochs": 4}]), tmp_path / "checkpoint.pt"
    first = run_trial(trial, [LOCAL], replace(setting, checkpoint=kept))
    notes: list[str] = []
    noting = replace(setting, checkpoint=kept, on_note=notes.append)
    other = run_trial(replace(trial, id="c" * 16, replicate=Replicate(5)), [LOCAL], noting)
    assert "is of another trial" in notes[0]
    assert untimed(other) == untimed(
        run_trial(make(5, stages=[{"train": "all", "epochs": 4}]), [LOCAL], setting)
    )
    for key, value in (("device", "cuda"), ("libraries", {"torch": "1.0"}), ("versions", {"train": 0})):
        content = torch.load(kept, weights_only=True)
        content["identity"] |= {"trial": trial.id, "device": "cpu", key: value}
        torch.save(content, kept)
        notes.clear()
        assert untimed(run_trial(trial, [LOCAL], noting)) == untimed(first)
        assert f"is of another {key}" in notes[0]


def test_seconds_of_training_hold_those_before_the_checkpoint(
    make: Callable[..., Trial], setting: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    trial, kept = make(stages=[{"train": "all", "epochs": 4}]), tmp_path / "checkpoint.pt"
    run_trial(trial, [LOCAL], replace(setting, checkpoint=kept))
    content = torch.load(kept, weights_only=True)
    content["history"][-1]["seconds"] = 500.0
    torch.save(content, kept)
    result = run_trial(trial, [LOCAL], replace(setting, checkpoint=kept))
    assert 500 < result.timings["train"] < 520


def test_a_trial_whose_images_are_streamed_is_the_same_bit_for_bit(
    make: Callable[..., Trial], setting: Surroundings, hidden: ScoredSet
) -> None:
    """Dropout, augmentation, validation, test, a hidden set and one of corrupted images."""
    model = registry.models["custom_cnn"].parameters({"widths": [8], "dense": 8, "dropout": 0.2})
    trial = make(
        model={"name": "custom_cnn", **model},
        augment=["flip", "randaugment", "cutmix"],
        stages=[{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}],
    )
    sets = [LOCAL, hidden, ScoredSet("heavy", "h", Corrupted(kind="corrupted"))]
    here, away = (run_trial(trial, sets, replace(setting, resident_bytes=room)) for room in (1 << 30, 1))
    assert "streamed_mb" not in here.memory
    assert away.memory["streamed_mb"] == pytest.approx(108 * 16 * 16 * 3 / 1e6), "80 % and 10 % of 120 images"
    assert untimed(here) == untimed(away)
    assert here.weights is not None
    assert away.weights is not None
    assert all(torch.equal(tensor, away.weights[name]) for name, tensor in here.weights.items())
    for key, one in here.predictions.items():
        assert np.array_equal(one.probabilities, away.predictions[key].probabilities)
        assert np.array_equal(one.ids, away.predictions[key].ids)
