"""Steps of scripts/gpu.sh: each appends lines of JSON to a results file. Several run one after the other.

python scripts/gpu_steps.py table identity --results results.jsonl
python scripts/gpu_steps.py table --results results.jsonl --tiny        the same code in small, on a CPU
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from gpu_bars import CLASSES, RAND, Bench, complain, gang, judged, workers

from bench import models, provenance
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.recipe import Recipe
from bench.run.conductor import Options, run_study
from bench.run.crew import Patience
from bench.store import Store
from bench.train.batches import Batches
from bench.train.device import computing
from bench.train.stages import set_modes
from bench.train.stances import Stances
from bench.train.stepper import Stepper
from bench.train.turns import Turns, together

Rows = Iterator[dict[str, Any]]
ROOT = Path(__file__).resolve().parent.parent
TESTS = ("gpu/test_on_a_gpu.py", "gpu/test_streaming.py", "train/test_graph.py", "data/test_resident.py")
STUDY = """\
question = "Which augmentation helps, as a first real study on this device?"
baseline = "none"
seeds = 2

[data]
source = "{source}"
size_px = {b.size_px}
{limit}

[hidden.heavy]
kind = "corrupted"
profile = "heavy-mix"

[recipe]
model = {{ name = "{b.model}" }}
precision = "bf16"
graph = true
batch_size = {b.batch}
stages = [{{ train = "head", steps = {steps} }}, {{ train = "all", steps = {steps}, lr_scale = 0.3 }}]

[arms]
none = {{}}
flip = {{ augment = ["flip"] }}
randaugment = {{ augment = ["flip", "randaugment"] }}
"""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the command line says."""

    b: Bench
    cells: str
    """Source of the study's images."""
    out: Path
    work: Path

    @property
    def tiny(self) -> bool:
        return self.b.device == "cpu"


def device(asked: Asked) -> Rows:
    """Device and versions."""
    found = provenance.machine(asked.b.device) | {"python": platform.python_version()}
    for name in ("torch", "timm", "kornia", "numpy"):
        found[name] = metadata.version(name)
    found |= {"cuda": torch.version.cuda or "", "commit": provenance.commit()}
    if not asked.tiny:
        about = torch.cuda.get_device_properties(0)
        found |= {"memory_mb": round(about.total_memory / 1e6), "capability": f"{about.major}.{about.minor}"}
        found["cudnn"] = torch.backends.cudnn.version() or 0
    if not asked.tiny and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found["driver"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    yield found


def smoke(asked: Asked) -> Rows:
    """The quickstart's arms through spawned workers."""
    machine = Machine(
        asked.work / "smoke", asked.work / "cache", asked.b.device, workers=1 if asked.tiny else 2
    )
    # with a limit on time even one worker on a CPU is a process of its own
    options = Options(smoke=True, patience=Patience(timeout_s=300.0))
    ending = run_study(ROOT / "ablations" / "quickstart.toml", machine, options, Terminal())
    yield {"trials": ending.ran, "failed": len(ending.failures), "wall_s": ending.seconds}
    if ending.exit_code:
        raise SystemExit("\n".join(ending.failures))


def tests(asked: Asked) -> Rows:
    """The tests marked ``gpu``, in files named here: to collect all takes longer than to run these."""
    import pytest

    files = [str(ROOT / "tests" / file) for file in TESTS]
    quiet = ["-m", "gpu", "-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "-q"]
    code = pytest.main([*files, "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *quiet])
    yield {"exit_code": int(code)}
    if code:
        raise SystemExit(f"pytest ended with {code}")


def table(asked: Asked) -> Rows:
    """Bare steps on ready batches: ordinary and recorded ones, float32 and bfloat16."""
    b = dataclasses.replace(asked.b, images=min(asked.b.images, 16 * asked.b.batch))
    steps = b.images // b.batch
    for precision in ("fp32", "bf16"):
        for graph in (False, True):
            recipe = b.recipe(graph=graph, precision=precision)
            with computing(recipe, b.device):
                _forget(b)
                run = b.epoch(recipe, ready=True)
                run()  # kernels are chosen, the step is recorded
                seconds = min(_seconds(b, run) for _ in range(b.rounds))
                row = {"precision": precision, "graph": graph, "model": b.model, "size_px": b.size_px}
                row |= {"batch": b.batch, "ms": 1000 * seconds / steps, "images_per_s": b.images / seconds}
                if not asked.tiny:
                    row["allocated_mb"] = torch.cuda.max_memory_allocated() / 1e6
                    row["reserved_mb"] = torch.cuda.max_memory_reserved() / 1e6
                    row["kernels"] = _kernels(run) / steps
            yield row


def plain(asked: Asked) -> Rows:
    """What a script per trial does: timm, Pillow's augmentation in a DataLoader, ordinary steps."""
    import timm
    from timm.data import create_transform

    b = asked.b
    begun = time.perf_counter()
    needed = "json" if asked.tiny else "torch, timm, torchvision"
    subprocess.run([sys.executable, "-c", f"import {needed}"], check=True)
    imports = time.perf_counter() - begun
    network = timm.create_model("test_efficientnet" if asked.tiny else b.model, num_classes=CLASSES)
    network.to(device=b.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    change = create_transform(b.size_px, is_training=True, auto_augment="rand-m9-n2")
    loader = torch.utils.data.DataLoader(
        Pictures(b, change),
        b.batch,
        shuffle=True,
        drop_last=True,
        num_workers=0 if asked.tiny else min(16, os.cpu_count() or 1),
        pin_memory=not asked.tiny,
        persistent_workers=not asked.tiny,
    )

    def epoch() -> None:
        for images, labels in loader:
            images = images.to(b.device, non_blocking=True, memory_format=torch.channels_last)
            with torch.autocast(b.device, torch.bfloat16):
                logits = network(images)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels.to(b.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    epoch()  # loader processes start, kernels are chosen
    seconds = _seconds(b, epoch)
    yield {"images_per_s": b.images // b.batch * b.batch / seconds, "import_s": imports}


class Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The same noise as pictures, one at a time."""

    def __init__(self, b: Bench, change: Callable[[Any], torch.Tensor]) -> None:
        self._samples, self._change = b.samples(), change

    def __len__(self) -> int:
        return len(self._samples.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """A picture (C, H, W) and its label."""
        from PIL import Image

        picture = Image.fromarray(self._samples.images[index])
        return self._change(picture), int(self._samples.labels[index])


def study(asked: Asked) -> Rows:
    """A study as a person runs one; its records are packed beside the results."""
    b, folder = asked.b, asked.work / "study"
    folder.mkdir(parents=True)
    limit = "n_images = 240" if asked.tiny else ("n_images = 4000" if asked.cells == "synthetic" else "")
    text = STUDY.format(b=b, source=asked.cells, limit=limit, steps=2 if asked.tiny else 200)
    (folder / "gpu_study.toml").write_text("keep_weights = false\n" + text)
    executor = "inline" if asked.tiny else "local"
    machine = Machine(folder / "results", asked.work / "cache", b.device, executor)
    begun = time.perf_counter()
    ending = run_study(folder / "gpu_study.toml", machine, Options(), Terminal())
    seconds = time.perf_counter() - begun
    with tarfile.open(asked.out / "records.tar.gz", "w:gz") as archive:
        archive.add(folder / "results", "results")
    records = [record for record in Store(machine.results).records() if record.role == "final"]
    for record in records:
        shortcuts = {"graphed": [stage.get("graphed", False) for stage in record.training]}
        timings = {f"{phase}_s": took for phase, took in record.timings.items() if phase != "images_per_s"}
        speed = {"images_per_s": record.timings.get("images_per_s", 0.0)}
        shortcuts["gang"] = record.machine.get("gang", 1)
        yield {"trial": record.id, "status": record.status, **timings, **speed, **record.memory, **shortcuts}
    yield {"trials": len(records), "wall_s": seconds, "cells": asked.cells.partition(":")[0]}
    if ending.exit_code or len(records) != 6:
        raise SystemExit(f"{len(records)} of 6 trials, {ending.failures}")


def concurrency(asked: Asked) -> Rows:
    """Trainings at the same time: as a gang, which takes turns in one process, and as processes."""
    b, rows = asked.b, ((1, False), (1, True), (4, True), (8, True))
    for count, graph in ((1, False), (3, False)) if asked.tiny else rows:
        _forget(b)
        found = {"together": count, "how": "gang", "graph": graph}
        found["images_per_s"] = gang(b, count, graph, b.rounds) * b.images
        if not asked.tiny:
            found["reserved_mb"] = torch.cuda.max_memory_reserved() / 1e6
        yield found
    _forget(b)
    for count, graph in ((1, False),) if asked.tiny else rows[2:]:
        epochs = workers(b, count, graph, b.rounds)
        yield {"together": count, "how": "processes", "graph": graph, "images_per_s": epochs * b.images}


def identity(asked: Asked) -> Rows:
    """How far two ways of taking the same steps are apart, in training loss; 0 is the same bits."""
    b = dataclasses.replace(asked.b, images=4 * asked.b.batch)
    plain = _losses(b, b.device)
    pairs = {"CPU and device, first step": (_losses(b, "cpu")[:1], plain[:1])}
    exact, again = (_losses(b, b.device, deterministic=True) for _ in range(2))
    recorded, turns = (_losses(b, b.device, gang, deterministic=True, graph=True) for gang in (1, 3))
    pairs |= {
        "twice, deterministic": (again, exact),
        "recorded and ordinary, deterministic": (recorded, exact),
        "one of a gang of three and alone, recorded, deterministic": (turns, recorded),
    }
    for what, (one, other) in pairs.items():
        apart = max(abs(x - y) / abs(y) for x, y in zip(one, other, strict=True))
        yield {"what": what, "relative_difference": apart}


def bars(asked: Asked) -> Rows:
    """The project's bars, as gpu_bars.py prints them."""
    with computing(asked.b.recipe(), asked.b.device):
        yield from judged(asked.b)


def _losses(b: Bench, where: str, gang: int = 1, **given: Any) -> list[float]:
    """Training losses of the first steps with RandAugment in float32; of the first of so many in turns."""
    recipe, stances = b.recipe(RAND, precision="fp32", **given), Stances(where, beside=gang > 1)
    return together([stances.steps(recipe, _steps(b, where, recipe, seed)) for seed in range(gang)])[0]


def _steps(b: Bench, where: str, recipe: Recipe, seed: int) -> Turns[list[float]]:
    torch.manual_seed(seed)
    network = models.build(recipe.model, models.Task(CLASSES, 3, b.size_px))
    network.to(device=where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_modes(network)
    stepper = Stepper(network, recipe, recipe.stages[0], 100, note=complain)
    batches = Batches(b.samples(), CLASSES, recipe, seed, where).of_stage(0)
    told = []
    for _ in range(8 if where != "cpu" else 2):
        told.append(stepper(*next(batches)).clone())
        yield
    return [float(loss) for loss in torch.stack(told)[:, 0].tolist()]


def _seconds(b: Bench, run: Callable[[], object]) -> float:
    b.wait()
    begun = time.perf_counter()
    run()
    b.wait()
    return time.perf_counter() - begun


def _forget(b: Bench) -> None:
    """Give memory back and count anew."""
    if b.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _kernels(run: Callable[[], object]) -> int:
    """Kernels that ran on the device, those of replayed recordings too."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in seen.events())


STEPS = (device, smoke, tests, table, plain, study, concurrency, identity, bars)


def main(arguments: list[str] | None = None) -> int:
    """Run the named steps; how many could not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = {step.__name__: step for step in STEPS}
    parser.add_argument("steps", nargs="+", choices=[*known, "all"])
    parser.add_argument("--results", type=Path, required=True, help="lines are appended here")
    parser.add_argument("--work", type=Path, default=Path("gpu-work"), help="folder for what may be lost")
    parser.add_argument("--cells", default="synthetic", help="source of the study's images")
    parser.add_argument("--tiny", action="store_true", help="on a CPU, a few tiny steps of everything")
    given = parser.parse_args(arguments)
    b = (
        Bench("cpu", "custom_cnn", 16, 16, 64, 1)
        if given.tiny
        else Bench("cuda", "efficientnet_b0", 96, 64, 4096, 3)
    )
    asked = Asked(b, given.cells, given.results.parent, given.work)
    failed = 0
    for name in known if "all" in given.steps else given.steps:
        try:
            for row in known[name](asked):
                with given.results.open("a") as file:
                    file.write(json.dumps({"step": name} | row) + "\n")
        except (Exception, SystemExit):  # the next step is to run all the same
            traceback.print_exc()
            failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
