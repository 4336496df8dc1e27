from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data.images import Development
from bench.models.frozen import generators
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train import checkpoint as module
from bench.train.checkpoint import Checkpoint, restore_generators
from bench.train.loop import Fit, Hooks, Progress, fit

Make = Callable[..., Recipe]
Build = Callable[..., Network]
IDENTITY = {"trial": "a" * 16, "versions": {"train": 1}, "device": "cpu"}


class Stopped(Exception):  # noqa: N818 - stands in for a killed process
    pass


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every evaluation, whatever it costs."""
    monkeypatch.setattr(module, "SHARE", math.inf)


def run(
    network: Network,
    development: Development,
    recipe: Recipe,
    path: Path | None = None,
    stop_at: int = -1,
) -> Fit:
    """Train; with ``stop_at``, until just before that evaluation's checkpoint would be offered."""
    told: list[Progress] = []

    def on_progress(news: Progress) -> None:
        told.append(news)
        if len(told) == stop_at:
            raise Stopped

    hooks = Hooks(on_progress, Checkpoint(path, IDENTITY) if path else None)
    return fit(network, development, recipe, 3, "cpu", hooks)


def course(done: Fit) -> list[dict[str, Any]]:
    """The history without what a clock says."""
    return [{k: v for k, v in e.items() if k not in ("seconds", "images_per_s")} for e in done.history]


ADAM = {"name": "adam", "lr": 0.01}
TWO = [{"train": "head", "epochs": 3}, {"train": "all", "epochs": 4}]
AMID = [{"train": "head", "steps": 5, "eval_every": 3}, {"train": "all", "steps": 14, "eval_every": 3}]
"""An epoch has four steps: most evaluations fall into one."""
CASES: dict[str, dict[str, Any]] = {
    "stages": {"stages": TWO},
    "amid epochs": {"stages": AMID},
    "average, clipping, augmentation": {"stages": AMID, "ema": 0.9, "clip_norm": 1.0, "augment": ["rotate"]},
    "views": {"stages": AMID, "augment": [{"name": "augmix", "jsd": True}]},
    "patience": {
        "stages": [{"train": "all", "epochs": 6, "patience": 2}, {"train": "all", "epochs": 2}],
        "optimizer": {"name": "sgd", "lr": 1e-30},
    },
    "plateau": {
        "stages": [{"train": "all", "epochs": 7}],
        "schedule": {"name": "plateau", "patience": 2},
        "optimizer": {"name": "sgd", "lr": 1e-30},
    },
    "lion, cosine": {
        "stages": AMID,
        "optimizer": {"name": "lion", "lr": 1e-3},
        "schedule": {"name": "cosine", "warmup": 0.3},
    },
    "momentum, bf16": {"stages": AMID, "optimizer": {"name": "sgd", "lr": 0.1}, "precision": "bf16"},
    "skipped stage": {"stages": [{"train": "none"}, *TWO]},
    "copies": {"stages": TWO, "balance": "upsample", "batch_size": 6},
}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", CASES)
def test_a_run_stopped_at_any_evaluation_ends_as_if_it_had_not_been(
    case: str, development: Development, recipe: Make, network: Build, tmp_path: Path
) -> None:
    chosen = recipe(**({"optimizer": ADAM} | CASES[case]))
    whole = network(chosen)
    expected = run(whole, development, chosen)
    for stop_at in range(1, len(expected.history) + 1):
        path = tmp_path / str(stop_at) / "checkpoint.pt"
        with pytest.raises(Stopped):
            run(network(chosen), development, chosen, path, stop_at)
        assert path.exists() == (stop_at > 1)
        continued = network(chosen, seed=99)  # its own weights must not matter, unless nothing was kept
        found = run(continued if stop_at > 1 else network(chosen), development, chosen, path)
        assert course(found) == course(expected)
        assert found.stages == expected.stages
        if stop_at > 1:
            ends = whole.state_dict(), continued.state_dict()
            assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.usefixtures("always")
def test_a_run_may_be_stopped_again_and_again(
    development: Development, recipe: Make, network: Build, tmp_path: Path
) -> None:
    chosen = recipe(optimizer=ADAM, stages=AMID, ema=0.9)
    expected = run(network(chosen), development, chosen)
    for _ in range(len(expected.history) - 1):  # each attempt gets one evaluation further
        with pytest.raises(Stopped):
            run(network(chosen), development, chosen, tmp_path / "checkpoint.pt", 2)
    found = run(network(chosen), development, chosen, tmp_path / "checkpoint.pt")
    assert course(found) == course(expected)


@pytest.mark.usefixtures("always")
def test_seconds_go_on_from_those_of_the_stopped_run(
    development: Development, recipe: Make, network: Build, tmp_path: Path
) -> None:
    chosen = recipe(optimizer=ADAM, stages=TWO)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        run(network(chosen), development, chosen, path, 4)
    kept = torch.load(path, weights_only=True)
    kept["history"][-1]["seconds"] = 1000.0
    torch.save(kept, path)
    found = run(network(chosen), development, chosen, path)
    assert found.earlier_s == 1000.0
    assert 1000 < found.history[3]["seconds"] < found.history[-1]["seconds"] < 1060


@pytest.mark.usefixtures("always")
def test_a_checkpoint_changes_nothing_of_a_run_that_is_not_stopped(
    development: Development, recipe: Make, network: Build, tmp_path: Path
) -> None:
    chosen = recipe(optimizer=ADAM, stages=AMID, ema=0.9)
    plain = run(network(chosen), development, chosen)
    assert course(run(network(chosen), development, chosen, tmp_path / "checkpoint.pt")) == course(plain)
    assert plain.earlier_s == 0


STATE: dict[str, Any] = {"weights": torch.arange(500.0), "history": [{"val_loss": 0.1, "epoch": 1}]}


@pytest.fixture
def written(tmp_path: Path, always: None) -> Path:
    path = tmp_path / "trial" / "checkpoint.pt"
    assert Checkpoint(path, IDENTITY).offer(STATE)
    return path


def test_what_was_written_is_read(written: Path) -> None:
    notes: list[str] = []
    found = Checkpoint(written, IDENTITY, notes.append).read("cpu")
    assert found is not None
    assert torch.equal(found["weights"], STATE["weights"])
    assert found["history"] == STATE["history"]
    assert found["identity"] == IDENTITY
    assert notes == [f"continues from {written}"]
    assert [file.name for file in written.parent.iterdir()] == ["checkpoint.pt"]


def test_no_file_is_nothing_to_continue_from_and_nothing_to_say(tmp_path: Path) -> None:
    notes: list[str] = []
    assert Checkpoint(tmp_path / "checkpoint.pt", IDENTITY, notes.append).read("cpu") is None
    assert notes == []


@pytest.mark.parametrize(
    ("key", "value"), [("trial", "b" * 16), ("versions", {"train": 2}), ("device", "cuda")]
)
def test_a_checkpoint_of_something_else_is_left_alone_and_named(
    written: Path, key: str, value: object
) -> None:
    notes: list[str] = []
    assert Checkpoint(written, IDENTITY | {key: value}, notes.append).read("cpu") is None
    assert f"is of another {key}" in notes[0]
    assert notes[0].endswith("the trial starts again")


def test_another_format_is_not_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "FORMAT", 2)
    assert Checkpoint(written, IDENTITY, notes.append).read("cpu") is None
    assert "has format 1, this bench reads 2" in notes[0]


def test_a_damaged_checkpoint_is_noted_and_never_believed(written: Path) -> None:
    """Cut anywhere, or a byte changed anywhere: the file is refused, or holds what was written."""
    sound = written.read_bytes()
    refused = 0
    for position in range(0, len(sound), 37):
        for broken in (
            sound[:position],
            sound[:position] + bytes([sound[position] ^ 0xFF]) + sound[position + 1 :],
        ):
            written.write_bytes(broken)
            found = Checkpoint(written, IDENTITY).read("cpu")
            refused += found is None
            if found is not None:
                assert torch.equal(found["weights"], STATE["weights"])
                assert found["history"] == STATE["history"]
    assert refused > 100


@pytest.mark.parametrize("content", [[1, 2], {"format": 1}, torch.zeros(3)])
def test_a_sound_file_of_another_kind_is_damaged_too(written: Path, content: object) -> None:
    torch.save(content, written)
    notes: list[str] = []
    assert Checkpoint(written, IDENTITY, notes.append).read("cpu") is None
    assert "is damaged" in notes[0]


def test_a_file_that_would_execute_something_is_not_read(written: Path) -> None:
    torch.save({"format": 1, "identity": IDENTITY, "network": print}, written)
    notes: list[str] = []
    assert Checkpoint(written, IDENTITY, notes.append).read("cpu") is None
    assert "damaged (UnpicklingError" in notes[0]


def test_writing_waits_until_it_costs_a_fiftieth_of_the_time_since_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def slowly(path: Path, fill: object) -> None:
        clock[0] += 3.0

    monkeypatch.setattr(module, "write_whole", slowly)
    kept = Checkpoint(tmp_path / "checkpoint.pt", IDENTITY, now=lambda: clock[0])
    state = {"weights": torch.empty(50_000_000)}  # 200 MB: a second, as long as nothing is known
    offered = {}
    for now in (1.0, 49.9, 50.1, 100.0, 203.0, 203.2):
        clock[0] = now
        offered[now] = kept.offer(state)
    # written from 50.1 to 53.1: three seconds, so the next waits until 53.1 + 150
    assert offered == {1.0: False, 49.9: False, 50.1: True, 100.0: False, 203.0: False, 203.2: True}


@pytest.mark.usefixtures("always")
def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, fill: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    notes: list[str] = []
    assert not Checkpoint(tmp_path / "checkpoint.pt", IDENTITY, notes.append).offer(STATE)
    assert "No space left on device" in notes[0]


def test_generators_go_on_where_they_were() -> None:
    with torch.random.fork_rng():
        kept = generators("cpu")
        first = torch.rand(3)
        restore_generators(kept, "cpu")
        assert torch.equal(torch.rand(3), first)
