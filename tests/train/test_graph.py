"""Recorded steps. What surrounds a recording is tested anywhere: its recorder remembers Python calls."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.data.images import Development
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train.device import computing
from bench.train.graph import CANNOT_RECORD, WARM_UP, CudaRecorder, Graphed, Step
from bench.train.loop import Fit, Hooks, fit
from bench.train.stepper import Stepper

Make = Callable[..., Recipe]
Build = Callable[..., Network]
EXACT = 2.0**-7
"""A learning rate that float32 holds exactly, as it does on the device."""


class Remembering:
    """Records by remembering what to call; a replay calls it, on the recording's own buffers."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.done: list[str] = []

    def aside(self, step: Step, images: Tensor, targets: Tensor) -> Tensor:
        self.done.append("aside")
        return step(images, targets)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.done.append("record")
        if self.problem:
            raise RuntimeError(self.problem + "\na second line")

        def replay() -> None:
            self.done.append("replay")
            work()

        return replay


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> Remembering:
    recorder = Remembering()
    monkeypatch.setattr("bench.train.stepper.recorder_for", lambda device, note: recorder)
    return recorder


def trained(
    network: Network, development: Development, recipe: Recipe, notes: list[str] | None = None
) -> Fit:
    hooks = Hooks(on_note=notes.append if notes is not None else None)
    return fit(network, development, recipe, 3, "cpu", hooks)


def course(done: Fit) -> list[tuple[float, float]]:
    return [(entry["train_loss"], entry["val_loss"]) for entry in done.history]


def test_the_first_steps_and_smaller_batches_are_ordinary_and_the_others_replays() -> None:
    weight = torch.nn.Parameter(torch.zeros(()))
    recorder, seen = Remembering(), []

    def step(images: Tensor, targets: Tensor) -> Tensor:
        seen.append((images.sum().item(), len(targets)))
        return images.sum()

    graphed = Graphed(recorder, torch.optim.SGD([weight]), batch_size=2, note=pytest.fail)
    batches = [(float(n), size) for n, size in enumerate([1, 2, 2, 2, 1, 2, 2, 1])]
    losses = []
    for value, size in batches:
        images = torch.zeros(size, 1, 1, 1)
        images[0] = value
        losses.append(graphed(step, images, torch.ones(size, 3)).item())
    assert seen == batches, "each batch once, in order"
    assert losses == [value for value, _ in batches]
    assert recorder.done == ["aside"] * WARM_UP + ["record", "replay", "replay"]
    assert graphed.replays


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lion", "sgd"])
def test_recorded_training_equals_ordinary_training(
    optimizer: str, remembering: Remembering, development: Development, recipe: Make, network: Build
) -> None:
    """Bit for bit: at a rate that is exact in float32, and without decay, nothing else can differ."""
    chosen = {"name": optimizer, "lr": EXACT, "weight_decay": 0.0}
    stages = [{"train": "head", "epochs": 2}, {"train": "all", "epochs": 2}]
    plain = recipe(optimizer=chosen, clip_norm=1.0, batch_size=12, augment=["flip"], stages=stages)
    ends, courses = [], []
    for one in (plain, plain.model_copy(update={"graph": True})):
        ends.append(network(one))
        courses.append(course(trained(ends[-1], development, one)))
    assert courses[0] == courses[1]
    states = [end.state_dict() for end in ends]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert remembering.done.count("replay") == 2 * (2 * 5 - WARM_UP)


def test_each_stage_is_recorded_anew(
    remembering: Remembering, development: Development, recipe: Make, network: Build
) -> None:
    stages = [{"train": "head", "steps": 5}, {"train": "top:1", "steps": 5}, {"train": "all", "steps": 3}]
    done = trained(network(recipe()), development, recipe(graph=True, stages=stages))
    assert remembering.done.count("record") == 2, "the last stage is over before anything is recorded"
    assert [stage["graphed"] for stage in done.stages] == [True, True, False]


def test_the_schedule_and_the_average_reach_a_recorded_step(
    remembering: Remembering, development: Development, recipe: Make, network: Build
) -> None:
    settings: dict[str, Any] = {"schedule": "cosine", "ema": 0.5, "stages": [{"train": "all", "epochs": 4}]}
    plain, recorded = recipe(**settings), recipe(graph=True, **settings)
    ends = [network(plain) for _ in range(2)]
    courses = [
        course(trained(end, development, one)) for end, one in zip(ends, (plain, recorded), strict=True)
    ]
    assert remembering.done.count("replay") == 4 * 4 - WARM_UP
    torch.testing.assert_close(torch.tensor(courses[0]), torch.tensor(courses[1]), rtol=1e-3, atol=1e-4)


def test_where_recording_fails_training_goes_on_without_and_says_so_once(
    remembering: Remembering, development: Development, recipe: Make, network: Build
) -> None:
    remembering.problem = "operation not permitted when stream is capturing"
    stages = [{"train": "head", "epochs": 2}, {"train": "all", "epochs": 2}]
    settings: dict[str, Any] = {"optimizer": {"name": "adam", "lr": EXACT}, "stages": stages}
    notes: list[str] = []
    done = trained(network(recipe()), development, recipe(graph=True, **settings), notes)
    assert notes == [f"graph = true: the step cannot be recorded, trains without ({remembering.problem})"]
    assert remembering.done == (["aside"] * WARM_UP + ["record"]) * 2
    assert course(done) == course(trained(network(recipe()), development, recipe(**settings)))
    assert [stage["graphed"] for stage in done.stages] == [False, False]


def test_a_bug_in_a_step_is_not_taken_for_a_failed_recording() -> None:
    class Broken(Remembering):
        def record(self, work: Callable[[], None]) -> Callable[[], None]:
            raise TypeError("a bug")

    weight = torch.nn.Parameter(torch.zeros(()))
    graphed = Graphed(Broken(), torch.optim.SGD([weight]), batch_size=1, note=pytest.fail)
    batch = torch.zeros(1, 1, 1, 1), torch.ones(1, 3)
    for _ in range(WARM_UP):
        graphed(lambda images, targets: images.sum(), *batch)
    with pytest.raises(TypeError, match="a bug"):
        graphed(lambda images, targets: images.sum(), *batch)


def test_on_a_cpu_a_graph_changes_nothing_and_is_noted_once(
    development: Development, recipe: Make, network: Build
) -> None:
    stages = [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}]
    notes: list[str] = []
    plain, graph = recipe(stages=stages, ema=0.9), recipe(stages=stages, ema=0.9, graph=True)
    done = trained(network(graph), development, graph, notes)
    assert course(done) == course(trained(network(plain), development, plain))
    assert notes == ["graph = true has no effect on a CPU: steps are recorded on CUDA devices only"]
    assert not any(stage["graphed"] for stage in done.stages)


def test_adam_is_told_that_it_is_recorded_and_only_then(
    remembering: Remembering, recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(graph=True)
    stepper = Stepper(network(chosen), chosen, chosen.stages[0], total=9)
    flags = []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        flags.append([group["capturable"] for group in stepper._optimizer.param_groups])
        return work

    monkeypatch.setattr(remembering, "record", record)
    for _ in range(WARM_UP + 1):
        stepper(torch.rand(16, 3, 16, 16), torch.ones(16, 8) / 8)
    assert flags == [[True]]
    assert not any(group["capturable"] for group in stepper._optimizer.param_groups)


def test_a_stage_that_is_taken_up_again_keeps_its_rates_on_the_device(
    remembering: Remembering, recipe: Make, network: Build
) -> None:
    plain, recorded = recipe(), recipe(graph=True)
    before = Stepper(network(plain), plain, plain.stages[0], total=9)
    before(torch.rand(16, 3, 16, 16), torch.ones(16, 8) / 8)
    after = Stepper(network(recorded), recorded, recorded.stages[0], total=9)
    after.load(before.state())
    assert all(isinstance(group["lr"], Tensor) for group in after._optimizer.param_groups)
    assert after.done == 1


def test_a_recording_that_breaks_off_leaves_the_stream_and_the_generator_and_tells_the_first_cause(
    recipe: Make, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch 2.11 does it: ending the recording fails as well, and its stream stays current."""
    streams, restored = ["ordinary"], []

    class Recording:
        def __init__(self, graph: object, stream: str) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            streams.append(self.stream)

        def __exit__(self, *args: object) -> None:
            raise RuntimeError("operation failed due to a previous error during capture")

    class Generator:
        def clone_state(self) -> str:
            return "before"

        def graphsafe_set_state(self, state: str) -> None:
            restored.append(state)

    fakes = {
        "Stream": lambda device: "recorded",
        "current_stream": lambda device: streams[-1],
        "default_stream": lambda device: "ordinary",
        "set_stream": streams.append,
        "device": lambda device: contextlib.nullcontext(),
        "CUDAGraph": object,
        "graph": Recording,
        "default_generators": [Generator()],
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    recorder, notes = CudaRecorder(torch.device("cuda", 0)), list[str]()
    monkeypatch.setattr(recorder, "aside", lambda step, images, targets: step(images, targets))
    weight = torch.nn.Parameter(torch.zeros(()))
    graphed = Graphed(recorder, torch.optim.SGD([weight]), batch_size=1, note=notes.append)

    def step(images: Tensor, targets: Tensor) -> Tensor:
        if streams[-1] == "recorded":
            assert not gc.isenabled()
            raise RuntimeError("Cannot copy between CPU and CUDA tensors during CUDA graph capture")
        return images.sum()

    for _ in range(WARM_UP + 2):
        graphed(step, torch.zeros(1, 1, 1, 1), torch.ones(1, 3))
    assert streams == ["ordinary", "recorded", "ordinary"]
    assert restored == ["before"]
    assert gc.isenabled()
    assert notes == [f"{CANNOT_RECORD} (Cannot copy between CPU and CUDA tensors during CUDA graph capture)"]


def test_steps_are_recorded_on_the_stream_of_their_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "of the stance")
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: "ordinary")
    monkeypatch.setattr(torch.cuda, "Stream", pytest.fail)
    assert CudaRecorder(torch.device("cuda", 0))._stream == "of the stance"


on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class TestOnAGpu:
    pytestmark = on_a_gpu

    @pytest.mark.parametrize("optimizer", ["adam", "lion", "sgd"])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_recorded_steps_lose_what_ordinary_ones_do_with_the_same_dropout(
        self, optimizer: str, precision: str, development: Development, recipe: Make, network: Build
    ) -> None:
        """Half of all units drop out: other draws would show in every loss."""
        model = {"name": "custom_cnn", "widths": [8, 8], "dense": 64, "dropout": 0.5}
        stages = [{"train": "head", "epochs": 3}, {"train": "all", "epochs": 3}]
        settings = {"model": model, "stages": stages, "precision": precision, "batch_size": 12}
        settings |= {"deterministic": True}  # else two ordinary runs part too, more with every step
        settings |= {"optimizer": {"name": optimizer, "lr": 1e-3}, "ema": 0.9, "clip_norm": 1.0}
        courses = []
        for graph in (False, True):
            chosen = recipe(graph=graph, **settings)
            with computing(chosen, "cuda"):
                done = fit_on_gpu(network(chosen), development, chosen)
            courses.append([entry["train_loss"] for entry in done.history])
        assert all(stage["graphed"] for stage in done.stages)
        assert courses[1] == pytest.approx(courses[0], rel=1e-3 if precision == "fp32" else 2e-2)

    def test_a_replay_waits_for_nothing(self, recipe: Make, network: Build) -> None:
        chosen = recipe(graph=True, ema=0.9, clip_norm=1.0)
        stepper = Stepper(network(chosen).cuda().train(), chosen, chosen.stages[0], total=99)
        batch = torch.rand(16, 3, 16, 16, device="cuda"), torch.ones(16, 8, device="cuda") / 8
        for _ in range(WARM_UP + 1):
            stepper(*batch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                stepper(*batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert stepper.shortcuts() == {"graphed": True}

    def test_a_step_that_reads_the_device_is_not_recorded_and_training_goes_on(
        self, development: Development, recipe: Make, network: Build
    ) -> None:
        chosen, notes = recipe(graph=True), []
        reading = network(chosen)
        reading.register_forward_hook(
            lambda module, given, logits: logits * float(logits.sum().item() > -1e9)
        )
        done = fit_on_gpu(reading, development, chosen, notes)
        assert len(notes) == 1
        assert not done.stages[0]["graphed"]
        assert done.stages[0]["steps"] == 40


def fit_on_gpu(
    network: Network, development: Development, recipe: Recipe, notes: list[str] | None = None
) -> Fit:
    hooks = Hooks(on_note=notes.append if notes is not None else None)
    return fit(network, development, recipe, 3, "cuda", hooks)
