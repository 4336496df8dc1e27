"""A process that trains one epoch for every line it reads: as this suite does it, or as a plain loop does.

    python epochs.py ours | plain IMAGES

Answers each line with "SECONDS CPU_SECONDS". Two processes, because the memory settings of one would help the
other. Both train the same layers on the same images at 96 px, in batches of 64; every image gets RandAugment
with n = 2 and m = 9.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bench import models, registry
from bench.data.images import Development, Samples
from bench.models.network import Network
from bench.recipe import Recipe
from bench.train.device import computing
from bench.train.loop import Hooks, _Loop
from bench.train.stepper import Stepper
from bench.train.turns import finish

SIZE_PX, BATCH, WORKERS = 96, 64, 2


def recipe() -> Recipe:
    kinds = {"model": ("custom_cnn", registry.models), "optimizer": ("adam", registry.optimizers)}
    chosen = {key: {"name": name, **known[name].parameters({})} for key, (name, known) in kinds.items()}
    augment = [{"name": "randaugment", **registry.augmentations["randaugment"].parameters({})}]
    stages = [{"train": "all", "epochs": 1}]
    return Recipe.model_validate(chosen | {"augment": augment, "batch_size": BATCH, "stages": stages})


def samples(count: int) -> Samples:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), np.uint8)
    return Samples(images, np.arange(count) % 8, np.arange(count, dtype=np.uint64))


def network() -> Network:
    torch.manual_seed(0)
    return models.build(recipe().model, models.Task(8, 3, SIZE_PX))


def ours(train: Samples) -> Callable[[], None]:
    """What the training loop does between two evaluations."""
    chosen, built = recipe(), network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    development = Development(train, train.take(np.arange(64)), tuple("abcdefgh"))
    loop = _Loop(built, development, chosen, 0, "cpu", Hooks())
    stepper = Stepper(built, chosen, chosen.stages[0], 10**9)
    batches = loop.batches.of_stage(0)
    return lambda: finish(loop._leg(stepper, batches, loop.batches.per_epoch, 0)) and None


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Images in memory, made PIL images, transformed and made tensors one by one. No file is decoded."""

    def __init__(self, train: Samples) -> None:
        from timm.data import create_transform

        self.train = train
        self.transform = create_transform(
            (3, SIZE_PX, SIZE_PX),
            is_training=True,
            auto_augment="rand-m9-n2-p1",
            hflip=0.0,
            scale=(1.0, 1.0),
            ratio=(1.0, 1.0),
            color_jitter=None,
            interpolation="bilinear",
            mean=(0.0,) * 3,  # the network normalises
            std=(1.0,) * 3,
        )

    def __len__(self) -> int:
        return len(self.train.labels)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.train.images[position])
        return self.transform(picture), int(self.train.labels[position])


def plain(train: Samples) -> Callable[[], None]:
    """A loop as tutorials have it: DataLoader with workers, Adam, cross-entropy, the running loss read."""
    built = network().train()
    optimizer = torch.optim.Adam(built.parameters(), lr=1e-3)
    criterion = torch.nn.CrossEntropyLoss()
    loader = DataLoader(Pictures(train), BATCH, shuffle=True, num_workers=WORKERS)

    def epoch() -> None:
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(built(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def cpu_seconds() -> float:
    """Of this process and of its workers that have ended, as they do after every epoch."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def serve(epoch: Callable[[], None]) -> None:
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), cpu_seconds()
        epoch()
        print(time.perf_counter() - wall, cpu_seconds() - cpu, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train = samples(int(sys.argv[2]))
    if sys.argv[1] == "plain":
        serve(plain(train))
    else:
        with computing(recipe(), "cpu"):
            serve(ours(train))
