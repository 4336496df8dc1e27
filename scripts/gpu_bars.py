"""Ratios of training costs on a GPU, side by side in one run, against the project's bars; prints a table.

    python scripts/gpu_bars.py                           EfficientNet-B0 at 96 px, batches of 64
    python scripts/gpu_bars.py --device cpu --tiny       the same code in seconds, to see that it runs

Each figure is a median over rounds taken in turns. A time ends when the device is done. Exits with 1 when a
bar is missed; on a CPU the bars are not this script's to judge, and it exits with 0.
"""

from __future__ import annotations

import argparse
import operator
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench import models, registry
from bench.augment import pipeline
from bench.data.images import Development, Samples
from bench.evaluate import predict
from bench.recipe import Choice, Recipe
from bench.streams import stream
from bench.train.batches import Batches, block_steps
from bench.train.device import computing
from bench.train.loop import Fit, Hooks, training
from bench.train.stages import set_modes
from bench.train.stances import Stances
from bench.train.stepper import Stepper
from bench.train.turns import Turns, together

CLASSES = 8
RAND = [{"name": "randaugment", "n": 2}]
Run = Callable[[], object]


@dataclass(frozen=True)
class Bench:
    """What is trained, where, and how often each thing is timed."""

    device: str
    model: str
    size_px: int
    batch: int
    images: int
    rounds: int

    def recipe(self, augment: list[dict[str, Any]] | None = None, train: str = "all", **given: Any) -> Recipe:
        tables: dict[str, Any] = {"model": {"name": self.model}, "optimizer": {"name": "adam"}}
        for slot, known in (("model", registry.models), ("optimizer", registry.optimizers)):
            tables[slot] |= known[self.model if slot == "model" else "adam"].parameters({})
        chosen = [{"name": a["name"], **filled(a)} for a in augment or []]
        stages = [{"train": train, "epochs": 1}]
        tables |= {"augment": chosen, "stages": stages, "batch_size": self.batch, "precision": "bf16"}
        return Recipe.model_validate(tables | given)

    def samples(self) -> Samples:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (self.images, self.size_px, self.size_px, 3), np.uint8)
        return Samples(pixels, np.arange(self.images) % CLASSES, np.arange(self.images, dtype=np.uint64))

    def epoch(self, recipe: Recipe, *, ready: bool = False, validate: bool = False) -> Run:
        """An epoch as the loop trains it; with ``ready`` its steps alone, on batches made before."""
        samples = self.samples()
        network = models.build(recipe.model, models.Task(CLASSES, 3, self.size_px))
        network.to(device=self.device, memory_format=torch.channels_last)
        stepper = Stepper(network, recipe, recipe.stages[0], 10**9, note=complain)
        source = Batches(samples, CLASSES, recipe, 0, self.device)
        steps, batches = source.per_epoch, source.of_stage(0)
        kept = [next(batches) for _ in range(steps)] if ready else None
        development = Development(samples, samples.take(np.arange(self.images // 8)), tuple("abcdefgh"))

        def run() -> None:
            set_modes(network)
            these: Iterator[Any] = iter(kept) if kept else batches
            losses = torch.empty(steps, 2, device=self.device)
            for i in range(steps):
                losses[i] = stepper(*next(these))
            losses.tolist()
            if validate:
                predict(network, development.val, self.device, precision=recipe.precision)

        return run

    def ratio(self, one: Run, other: Run) -> float:
        """Median time of ``one`` over that of ``other``, taken in turns; the first turn is warm-up."""
        found = []
        for _ in range(self.rounds + 1):
            seconds = []
            for run in (one, other):
                self.wait()
                begun = time.perf_counter()
                run()
                self.wait()
                seconds.append(time.perf_counter() - begun)
            found.append(seconds[0] / seconds[1])
        return statistics.median(found[1:])

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


def complain(text: str) -> None:
    """What training has to say, apart from the table."""
    print(text, file=sys.stderr)


def filled(choice: dict[str, Any]) -> dict[str, Any]:
    """Parameters of an augmentation, with their defaults."""
    given = {key: value for key, value in choice.items() if key != "name"}
    return registry.augmentations[choice["name"]].parameters(given)


def augmenting(b: Bench, choice: dict[str, Any]) -> Run:
    """One block of batches through an augmentation, as training calls it on this device."""
    made = pipeline.build([Choice.model_validate(choice)], size_px=b.size_px, channels=3, device=b.device)
    steps = block_steps(b.device, b.batch, b.size_px) if made.leading else 8
    images, targets = pictures(b, steps * b.batch)
    count = iter(range(10**9))

    def run() -> None:
        rngs = [stream(0, "augment", next(count)) for _ in range(steps)]
        if made.leading:
            list(made.many(images, targets.split(b.batch), rngs))
        else:
            for part, rows, rng in zip(images.split(b.batch), targets.split(b.batch), rngs, strict=True):
                made(part, rows, rng)

    return run


def kornias(b: Bench, name: str) -> Run:
    """As many batches through Kornia's own class."""
    import kornia.augmentation as K
    from kornia.augmentation.auto import RandAugment

    if name == "randaugment":
        policy, steps = RandAugment(n=2, m=10), block_steps(b.device, b.batch, b.size_px)
    else:
        policy, steps = K.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True, p=1.0), 8
    images, targets = pictures(b, steps * b.batch)
    given = [(part,) if name == "randaugment" else (part, labels.argmax(1))
             for part, labels in zip(images.split(b.batch), targets.split(b.batch), strict=True)]  # fmt: skip
    return lambda: [policy(*batch) for batch in given]


def pictures(b: Bench, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, C, H, W), channels last, and targets (count, K), on the device."""
    images = torch.rand(count, 3, b.size_px, b.size_px, device=b.device)
    targets = torch.eye(CLASSES, device=b.device)[torch.arange(count, device=b.device) % CLASSES]
    return images.contiguous(memory_format=torch.channels_last), targets


def waits(b: Bench, graph: bool) -> float:
    """Whether a step with augmentation made the host wait: 0 or 1. Found out on a GPU only."""
    recipe = b.recipe([*RAND, {"name": "cutmix"}], graph=graph)
    network = models.build(recipe.model, models.Task(CLASSES, 3, b.size_px)).to(b.device).train()
    stepper = Stepper(network, recipe, recipe.stages[0], 10**9, note=complain)
    batches = Batches(b.samples(), CLASSES, recipe, 0, b.device).of_stage(0)
    for _ in range(5):  # kernels are chosen, the graph is recorded
        stepper(*next(batches))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2 * block_steps(b.device, b.batch, b.size_px)):
            stepper(*next(batches))
    except RuntimeError as error:
        complain(str(error).partition("\n")[0])
        return 1.0
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return 0.0


def workers(b: Bench, count: int, graph: bool, epochs: int) -> float:
    """Epochs a second of ``count`` processes that train at the same time."""
    command = [sys.executable, __file__, "--serve", str(epochs), *(["--graph"] if graph else [])]
    for name in ("device", "model", "size_px", "batch", "images"):
        command += [f"--{name.replace('_', '-')}", str(getattr(b, name))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    crew: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(count)]
    try:
        for worker in crew:
            worker.stdout.readline()  # it is warm
        begun = time.perf_counter()
        for worker in crew:
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in crew:
            worker.stdout.readline()  # it is done
        seconds = time.perf_counter() - begun
    finally:
        for worker in crew:
            worker.kill()
    return count * epochs / seconds


def gang(b: Bench, count: int, graph: bool, epochs: int) -> float:
    """Epochs a second of ``count`` trainings that take turns in this process, all together.

    Timed from when the last has ended its first leg, in which kernels are chosen and steps are recorded, to
    when the last has ended its second; a leg has ``epochs`` epochs and ends with a look at eight images.
    """
    steps = epochs * (b.images // b.batch)
    stages = [{"train": "all", "steps": 2 * steps, "eval_every": steps}]
    recipe, stances, legs = b.recipe(RAND, graph=graph, stages=stages), Stances(b.device, beside=True), []
    samples = b.samples()
    development = Development(samples, samples.take(np.arange(CLASSES)), tuple("abcdefgh"))
    members: list[Turns[Fit]] = []
    for seed in range(count):
        network = models.build(recipe.model, models.Task(CLASSES, 3, b.size_px))
        hooks = Hooks(lambda news: legs.append(time.perf_counter()), on_note=complain)
        turns = training(network, development, recipe, seed, b.device, hooks)
        members.append(stances.steps(recipe, turns))
    together(members)
    return count * epochs / (max(legs) - sorted(legs)[count - 1])


def serve(b: Bench, epochs: int, graph: bool) -> None:
    """Be one of those processes."""
    recipe = b.recipe(RAND, graph=graph)
    with computing(recipe, b.device):
        run = b.epoch(recipe)
        run()
        print("warm", flush=True)
        sys.stdin.readline()
        for _ in range(epochs):
            run()
        print("done", flush=True)


def figures(b: Bench) -> Iterator[tuple[str, float, str]]:
    """What, found, bar; what is worth most comes first, for the time may end."""
    bare = {graph: b.epoch(b.recipe(graph=graph), ready=True) for graph in (False, True)}
    yield "bare steps, eager / graphed", b.ratio(bare[False], bare[True]), ">= 2.50"
    for graph, name in ((False, "eager"), (True, "graphed")):
        plain = b.epoch(b.recipe(graph=graph))
        yield f"loop / bare steps, {name}", b.ratio(plain, bare[graph]), "<= 1.05"
        rand = b.epoch(b.recipe(RAND, graph=graph))
        yield f"with RandAugment, {name}", b.ratio(rand, bare[graph]), "<= 1.15" if graph else "<= 1.05"
    for name, bar in (("cutmix", "<= 1.03"), ("mixup", "<= 1.03"), ("augmix", "<= 1.25")):
        yield f"with {name}, eager", b.ratio(b.epoch(b.recipe([{"name": name}])), bare[False]), bar
    validated = b.epoch(b.recipe(), validate=True)
    yield "epoch and validation / bare steps", b.ratio(validated, bare[False]), "<= 1.20"
    head = b.epoch(b.recipe(train="head"), ready=True)
    yield "full step / head-only step", b.ratio(bare[False], head), ">= 2.50"
    rand = augmenting(b, {"name": "randaugment", "ops": "kornia", "m": 10})
    yield "RandAugment, Kornia's class / ours", b.ratio(kornias(b, "randaugment"), rand), ">= 2.00"
    cut = augmenting(b, {"name": "cutmix"})
    yield "CutMix, Kornia's class / ours", b.ratio(kornias(b, "cutmix"), cut), ">= 3.00"
    if b.device != "cpu":
        for graph, name in ((False, "eager"), (True, "graphed")):
            yield f"steps that make the host wait, {name}", waits(b, graph), "<= 0.00"


def judged(b: Bench) -> Iterator[dict[str, Any]]:
    """The same as rows, with whether each bar is missed; on a CPU none is."""
    for what, found, bar in figures(b):
        compare = operator.le if bar.startswith("<=") else operator.ge
        missed = b.device != "cpu" and not compare(found, float(bar[3:]))
        yield {"what": what, "found": found, "bar": bar, "missed": missed}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a bar is missed on a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default="efficientnet_b0", help="custom_cnn or a timm name")
    parser.add_argument("--size-px", type=int, default=96)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=4096, help="in an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="custom_cnn, 16 px, one round")
    parser.add_argument("--serve", type=int, metavar="EPOCHS", help=argparse.SUPPRESS)
    parser.add_argument("--graph", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; --device cpu runs the same code and judges nothing")
    settings = (given.model, given.size_px, given.batch, given.images, given.rounds)
    b = Bench(given.device, *(("custom_cnn", 16, 16, 64, 1) if given.tiny else settings))
    if given.serve:
        serve(b, given.serve, given.graph)
        return 0
    where = torch.cuda.get_device_name() if b.device == "cuda" else "CPU (bars are for a GPU)"
    print(f"{b.model}, {b.size_px} px, batches of {b.batch}, {b.images} images an epoch, bf16, on {where}\n")
    print(f"{'':48s} {'found':>8s}  bar\n{'-' * 68}")
    missed = 0
    with computing(b.recipe(), b.device):
        for row in judged(b):
            missed += row["missed"]
            tail = "  missed" if row["missed"] else ""
            print(f"{row['what']:48s} {row['found']:8.2f}  {row['bar']}{tail}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
