"""What a probe found: costs of stages and arms, as values and as text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.progress.screen import duration

if TYPE_CHECKING:
    from bench.models.cost import Block

LEGS = 3
"""Stretches of steps that each stage is tried for; the first is warm-up and not timed."""
STEPS = {"cpu": 1, "cuda": 32}
"""Steps of a stretch. A GPU's are short, and augmented up to 32 batches at a time."""


@dataclass(frozen=True)
class StageCost:
    """What one stage trains and takes, unless it stops early."""

    train: str
    parameters: int
    """Weights that train."""
    steps: int
    evaluations: int
    seconds_per_step: float
    images_per_s: float
    kept: bool = False
    """Its head is trained on features that the rest of the network gives once: see ``train.heads``."""


@dataclass(frozen=True)
class ArmCost:
    """What one distinct arm takes."""

    arms: tuple[str, ...]
    """Labels; arms that train the same are probed once."""
    to_run: int
    """Trials without a record."""
    model: str
    size_px: int
    batch_size: int
    flops: int
    """Operations of one image's way through the network; a multiply-accumulate counts as two."""
    blocks: tuple[Block, ...]
    stages: tuple[StageCost, ...]
    seconds: float
    """Of one trial's building, training and validating; without reading images and scoring held-out sets."""
    peak_mb: float
    problem: str = ""
    """Why the probe came to no end: out of memory, or a loss that is not finite."""
    cpu_threads: int = 1
    reserved_mb: float = 0.0
    """On a GPU, what a worker must have: tensors, the gaps between them, pools of recordings."""
    graph: bool = False
    """Steps are recorded where they can be."""
    train_mb: float = 0.0
    """Training images, as bytes; ``val_mb`` the validation images."""
    val_mb: float = 0.0
    streamed: tuple[str, ...] = ()
    """``training``, ``validation``: which of these the device does not keep."""

    @property
    def parameters(self) -> int:
        """Weights of the network."""
        return sum(block.parameters for block in self.blocks)


def as_data(costs: Sequence[ArmCost]) -> list[dict[str, Any]]:
    """The same as plain values; a time that could not be measured is null."""
    table = [dataclasses.asdict(cost) | {"parameters": cost.parameters} for cost in costs]
    for row in table:
        row["seconds"] = None if math.isnan(row["seconds"]) else row["seconds"]
    return table


def as_text(costs: Sequence[ArmCost], device: str, workers: int = 1) -> str:
    """Models with their blocks, what each stage trains, then every arm's times and the sum.

    workers   trials that the local executor would run at once
    """
    lines = [f"probe     {LEGS * STEPS[device]} steps of each stage on {device}; nothing is recorded"]
    seen = set()
    for cost in costs:
        what = cost.model, cost.size_px, cost.blocks, tuple((s.train, s.parameters) for s in cost.stages)
        if what not in seen:
            seen.add(what)
            lines += ["", *_model(cost)]
    return "\n".join([*lines, "", *_arms(costs), "", *_placed(costs, device), _total(costs, workers)])


def _placed(costs: Sequence[ArmCost], device: str) -> list[str]:
    """Where training and validation images are, for each of the ways in which arms differ in that."""
    where = "on the device" if device != "cpu" else "in each worker's memory"
    ways: dict[str, list[str]] = {}
    for cost in costs:
        sizes = {"training": cost.train_mb, "validation": cost.val_mb}
        parts = [
            f"{name} {size:,.1f} MB {'streamed' if name in cost.streamed else f'kept {where}'}"
            for name, size in sizes.items()
            if size
        ]
        ways.setdefault(", ".join(parts), []).extend(cost.arms)
    ways.pop("", None)
    return [
        f"images    {way}" + (f" ({', '.join(arms)})" if len(ways) > 1 else "") for way, arms in ways.items()
    ]


def _model(cost: ArmCost) -> list[str]:
    width = max(len("parameters"), *(len(block.name) for block in cost.blocks))
    lines = [
        f"{cost.model} at {cost.size_px} px: {cost.parameters:,} parameters, "
        f"{cost.flops / 1e6:,.1f} M operations an image forward (a multiply-accumulate is two)",
    ]
    for number, block in enumerate(cost.blocks, 1):
        depth = len(cost.blocks) - number
        place = f"top:{depth}" if depth else "head"
        lines.append(f"  {place:<7} {block.name:<{width}}  {block.parameters:>12,}")
    for number, stage in enumerate(cost.stages, 1):
        share = 100 * stage.parameters / cost.parameters
        lines.append(
            f"  stage {number} trains {stage.train}: {stage.parameters:,} parameters ({share:.1f} %), "
            f"{stage.steps:,} steps, {stage.evaluations} evaluation{'s' * (stage.evaluations > 1)}"
            f"{', on kept features' * stage.kept}"
        )
    return lines


def _arms(costs: Sequence[ArmCost]) -> list[str]:
    """One line per distinct arm; where stages differ in speed, one number each, in their order."""
    rows = [("arm", "batch", "ms/step", "images/s", "a trial", "peak MB", "to run")]
    for cost in costs:
        speeds = " / ".join(f"{stage.images_per_s:,.0f}" for stage in cost.stages)
        steps = " / ".join(f"{1000 * stage.seconds_per_step:,.1f}" for stage in cost.stages)
        taken = cost.problem or _duration(cost.seconds)
        label = ", ".join(cost.arms)
        label = label if len(label) <= 48 else label[:47] + "…"
        rows.append(
            (label, str(cost.batch_size), steps, speeds, taken, f"{cost.peak_mb:,.0f}", str(cost.to_run))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _duration(seconds: float) -> str:
    """A tenth of a second where it can be told."""
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def _total(costs: Sequence[ArmCost], workers: int) -> str:
    known = [cost for cost in costs if not cost.problem]
    seconds = sum(cost.to_run * cost.seconds for cost in known)
    trials = sum(cost.to_run for cost in known)
    left_out = sum(cost.to_run for cost in costs) - trials
    return (
        f"total     {trials} trials to run: about {_duration(seconds)} of one worker's time "
        "if no stage stops early,\n          without reading images and scoring held-out sets"
        + (f"; {left_out} more of arms that could not be probed" if left_out else "")
        + f"\n          inline {_duration(seconds)} · local, {workers} worker{'s' * (workers > 1)} "
        f"{_duration(seconds / workers)} · ray {_duration(seconds)} divided by its workers"
    )
