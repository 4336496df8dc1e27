"""Ratios of training costs, side by side in one run: process CPU time, interleaved, medians.

Absolute times mean little on shared machines. A ratio is printed and kept with pytest-benchmark's record; a
test fails only far from its bar.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import models, registry
from bench.data.images import Development, Samples
from bench.evaluate import predict
from bench.models import frozen
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train import loop
from bench.train.batches import Batches
from bench.train.device import computing
from bench.train.loop import Hooks, _Loop, fit
from bench.train.stages import set_modes
from bench.train.stepper import Stepper
from bench.train.turns import finish

BATCH = 64


def recipe(name: str, train: str = "all", **given: Any) -> Recipe:
    kinds = {"model": registry.models, "optimizer": registry.optimizers}
    chosen = {"model": name, "optimizer": "adam"}
    filled = {k: {"name": v, **kinds[k][v].parameters({})} for k, v in chosen.items()}
    return Recipe.model_validate(
        {**filled, "batch_size": BATCH, "stages": [{"train": train, "epochs": 1}], **given}
    )


def development(size_px: int, count: int) -> Development:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    samples = Samples(images, np.arange(count) % 8, np.arange(count, dtype=np.uint64))
    return Development(samples, samples.take(np.arange(count // 8)), tuple("abcdefgh"))


def network(chosen: Recipe, size_px: int) -> Network:
    torch.manual_seed(0)
    built = models.build(chosen.model, models.Task(8, 3, size_px))
    return built.to(memory_format=torch.channels_last)


def bare_steps(chosen: Recipe, data: Development, size_px: int) -> Callable[[], None]:
    """An epoch of steps on ready batches: nothing but forward, backward and the optimizer."""
    built = network(chosen, size_px)
    stepper = Stepper(built, chosen, chosen.stages[0], 10**9)
    source = Batches(data.train, 8, chosen, 0, "cpu")
    batches = [batch for batch, _ in zip(source.of_stage(0), range(source.per_epoch), strict=False)]
    set_modes(built)

    def run() -> None:
        for images, targets in batches:
            stepper(images, targets)

    return run


def loop_epoch(chosen: Recipe, data: Development, size_px: int) -> Callable[[], None]:
    """What the training loop does between two evaluations."""
    built = network(chosen, size_px)
    loop = _Loop(built, data, chosen, 0, "cpu", Hooks())
    stepper = Stepper(built, chosen, chosen.stages[0], 10**9)
    batches = loop.batches.of_stage(0)
    return lambda: finish(loop._leg(stepper, batches, loop.batches.per_epoch, 0)) and None


def ratio(one: Callable[[], None], other: Callable[[], None], rounds: int) -> float:
    """Median of CPU time of ``one`` over that of ``other``, taken in turns; the first turn is warm-up."""
    ratios = []
    for _ in range(rounds + 1):
        times = []
        for run in (one, other):
            begun = time.process_time()
            run()
            times.append(time.process_time() - begun)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios[1:])


def report(benchmark: Any, name: str, value: float, bar: str) -> None:
    benchmark.extra_info[name] = value
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n{name}: {value:.3f} (bar {bar})")


@pytest.mark.parametrize("size_px", [32, 96])
def test_the_training_loop_costs_little_more_than_its_steps(benchmark: Any, size_px: int) -> None:
    chosen = recipe("custom_cnn")
    data = development(size_px, 1024 if size_px == 32 else 256)
    with computing(chosen, "cpu"):
        value = ratio(loop_epoch(chosen, data, size_px), bare_steps(chosen, data, size_px), 9)
    report(benchmark, f"loop / bare steps at {size_px} px", value, "≤ 1.05")
    assert value < 1.15


def test_a_head_only_step_is_far_cheaper_than_a_full_one(benchmark: Any) -> None:
    full, head = recipe("efficientnet_b0"), recipe("efficientnet_b0", "head")
    data = development(32, 256)
    with computing(full, "cpu"):
        value = ratio(bare_steps(full, data, 32), bare_steps(head, data, 32), 5)
    report(benchmark, "full / head-only step", value, "≥ 3.5")
    assert value > 2.5


def test_six_epochs_of_a_head_take_little_more_than_two_looks_at_each_image(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe("efficientnet_b0", stages=[{"train": "head", "epochs": 6}])
    data = development(32, 512)

    def trained(keeping: Callable[..., frozen.Trunk | None]) -> Callable[[], None]:
        def run() -> None:
            frozen._kept.clear()
            monkeypatch.setattr(loop, "frozen", keeping)
            fit(network(chosen, 32), data, chosen, 0, "cpu")

        return run

    with computing(chosen, "cpu"):
        value = ratio(trained(lambda *_: None), trained(frozen.frozen), 3)
    report(benchmark, "six epochs of a head, computed each time / kept", value, "≥ 2.5")
    assert value > 1.8


def test_an_epoch_with_its_evaluation_stays_near_its_steps(benchmark: Any) -> None:
    chosen, size_px = recipe("custom_cnn"), 32
    data = development(size_px, 1024)
    with computing(chosen, "cpu"):
        steps, epoch = bare_steps(chosen, data, size_px), loop_epoch(chosen, data, size_px)
        judged = network(chosen, size_px)

        def whole() -> None:
            epoch()
            predict(judged, data.val, "cpu")

        value = ratio(whole, steps, 7)
    report(benchmark, "epoch with evaluation / bare steps", value, "≤ 1.25")
    assert value < 1.4


def test_lion_costs_about_what_lion_pytorch_does_on_a_cpu(benchmark: Any) -> None:
    from lion_pytorch import Lion as PerParameter

    from bench.train.lion import Lion

    def stepping(kind: Any) -> Callable[[], None]:
        parameters = list(models.build(recipe("efficientnet_b0").model, models.Task(8, 3, 32)).parameters())
        optimizer = kind(parameters, lr=1e-6)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        return lambda: [optimizer.step() for _ in range(10)] and None

    with computing(recipe("efficientnet_b0"), "cpu"):  # freed memory is kept, as in every trial
        value = ratio(stepping(PerParameter), stepping(Lion), 7)
    report(benchmark, "lion-pytorch / ours, a step of EfficientNet-B0", value, "≥ 0.85")
    assert value > 0.7


def epochs(kind: str, images: int) -> subprocess.Popen[str]:
    """A process of ``epochs.py``, after its first epoch."""
    script = Path(__file__).with_name("epochs.py")
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(script), kind, str(images)], **pipes)
    epoch(process)
    return process


def epoch(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Seconds and CPU seconds of one more epoch."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    seconds, cpu = map(float, process.stdout.readline().split())
    return seconds, cpu


def test_an_epoch_with_randaugment_beats_a_plain_loop_with_a_dataloader(benchmark: Any) -> None:
    """Measured 2.85 by CPU time, where bare steps without any augmentation would reach 2.95: those bound it.

    Two workers give the plain loop a second and a third core; ours uses one. Its wall-clock figure therefore
    depends on how many cores are free, its CPU figure does not.
    """
    images = 512
    processes = [epochs(kind, images) for kind in ("plain", "ours")]
    try:
        turns = [[epoch(process) for process in processes] for _ in range(5)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    wall, cpu = (statistics.median(plain[i] / ours[i] for plain, ours in turns) for i in (0, 1))
    speeds = [images / statistics.median(turn[i][1] for turn in turns) for i in (0, 1)]
    benchmark.extra_info["wall"] = wall
    print(
        f"\nimages per CPU second: plain {speeds[0]:.0f}, ours {speeds[1]:.0f}; wall-clock ratio {wall:.2f}"
    )
    report(benchmark, "plain loop with PIL and DataLoader / ours, CPU of an epoch at 96 px", cpu, "≥ 3")
    assert cpu > 1.8


def in_file(folder: Path, size_px: int, count: int) -> Samples:
    """Images (count, S, S, 3) as the cache maps them."""
    images = np.random.default_rng(0).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    np.save(folder / "images.npy", images)
    mapped = np.load(folder / "images.npy", mmap_mode="r")
    return Samples(mapped, np.arange(count) % 8, np.arange(count, dtype=np.uint64))


@pytest.mark.parametrize(
    ("size_px", "count", "augment"), [(32, 2048, []), (96, 256, []), (96, 256, ["flip"])]
)
def test_a_streamed_epoch_costs_little_more_than_a_resident_one(
    benchmark: Any, tmp_path: Path, size_px: int, count: int, augment: list[str]
) -> None:
    chosen, source = recipe("custom_cnn", augment=augment), in_file(tmp_path, size_px, count)
    runs, wall = [], {}
    for name, most in (("streamed", 1), ("resident", 1 << 40)):
        samples = source.take(np.arange(count), most)
        data = Development(samples, samples.take(np.arange(count // 8), most), tuple("abcdefgh"))
        loop = _Loop(network(chosen, size_px), data, chosen, 0, "cpu", Hooks(resident_bytes=most))
        assert bool(loop.placing.streamed) == (name == "streamed")
        stepper = Stepper(loop.network, chosen, chosen.stages[0], 10**9)
        batches, times = loop.batches.of_stage(0), wall.setdefault(name, [])

        def epoch(
            loop: Any = loop, stepper: Any = stepper, batches: Any = batches, times: Any = times
        ) -> None:
            begun = time.perf_counter()
            finish(loop._leg(stepper, batches, loop.batches.per_epoch, 0))
            predict(loop.network, loop.val, "cpu")
            times.append(time.perf_counter() - begun)

        runs.append(epoch)
    with computing(chosen, "cpu"):
        value = ratio(runs[0], runs[1], 15)
    told = np.median(np.divide(wall["streamed"][1:], wall["resident"][1:]))
    report(benchmark, f"streamed / resident, {size_px} px {augment}, wall {told:.3f}", value, "≤ 1.05")
    assert value < 1.15
