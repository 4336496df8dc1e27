"""``bench plan --hours``: six ways to spend a night on a study, and the one to take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import detectable
from bench.errors import UserError
from bench.execute import look, slots
from bench.machine import Machine
from bench.plan import Plan
from bench.progress.screen import duration
from bench.recipe import Recipe
from bench.run.hours import HOUR_S, candidates_took, took
from bench.run.planning import Planning
from bench.store import Store
from bench.study.file import Tune
from bench.study.read import Study

if TYPE_CHECKING:
    from bench.commands.probed import ArmCost

WAYS = 6
USUAL = 5
"""Seeds with which comparisons are judged at 5 %."""
MOST = 12
"""Seeds, as many as the last look has; more say little where images are what is uncertain."""


@dataclass(frozen=True)
class Probed:
    """What a probe told."""

    costs: Sequence[ArmCost]
    workers: int


@dataclass(frozen=True)
class Seconds:
    """What trials of a study take."""

    trial: Mapping[str, float]
    """Arm → seconds of a replicate."""
    candidate: Mapping[str, float]
    """Arm → seconds of a candidate's training run; empty where nothing is tuned."""
    workers: int
    """Trials at once."""
    whence: str


@dataclass(frozen=True)
class Allocation:
    """One way to spend the time."""

    what: str
    arms: int
    seeds: int
    candidates: int
    """Of each arm; 0: nothing is tuned."""
    size_px: int
    hours: float
    """Of the whole study, from nothing."""
    detects: float | None
    """Smallest effect found 4 times in 5, a fraction; None: no verdict, or it cannot be told."""
    takes: bool = False
    """The one to take."""


def added(
    plan: str, path: Path, machine: Machine, hours: float, probe: Probed | None = None, *, smoked: bool
) -> str:
    """``plan``, as ``bench plan`` prints it, with allocations of so many hours; data where it is data.

    probe   None: finished trials tell

    Raises UserError where nobody knows what a trial takes.
    """
    planning = Planning(path, machine, smoked=smoked)
    made = planning.plan()
    seconds = _probed(made, probe) if probe else _finished(made, planning.store, machine)
    ways = allocations(made, planning.store, seconds, hours)
    if plan.startswith("{"):
        return json.dumps(
            json.loads(plan) | {"allocations": [asdict(way) for way in ways]}, indent=1, ensure_ascii=False
        )
    return "\n".join([plan, "", *_table(ways, seconds, hours, detectable.noise(made, planning.store))])


def _probed(plan: Plan, probe: Probed) -> Seconds:
    broken = [arm for cost in probe.costs if cost.problem for arm in cost.arms]
    if broken:
        raise UserError(f"--hours: {', '.join(broken)} could not be probed, so nobody knows what they take")
    trial = {arm: cost.seconds for cost in probe.costs for arm in cost.arms}
    return _seconds(plan, trial, {}, probe.workers, "a probe")


def _finished(plan: Plan, store: Store, machine: Machine) -> Seconds:
    trials = {arm: sum(of) / len(of) for arm, of in took(plan, store.brief).items()}
    if not trials:
        raise UserError(
            "--hours: no trial of this study has finished, so nobody knows what one takes\n"
            "    add --probe, which trains a few steps of every arm"
        )
    tried = {arm: sum(of) / len(of) for arm, of in candidates_took(plan, store.brief).items()}
    threads = max(arm.recipe.cpu_threads for arm in plan.study.arms)
    gpus = len(look.gpus()) if machine.device != "cpu" else 0
    workers = machine.workers or gpus or len(slots.of_cpu(machine, threads))
    workers = 1 if machine.executor == "inline" else workers
    return _seconds(plan, trials, tried, workers, "finished trials")


def _seconds(
    plan: Plan, trial: Mapping[str, float], tried: Mapping[str, float], workers: int, whence: str
) -> Seconds:
    """An arm of which nothing is known takes as long as the slowest that is known."""
    tune, longest = plan.study.tune, max(trial.values())
    every = {arm.label: trial.get(arm.label, longest) for arm in plan.study.arms}
    short = {
        arm.label: tried.get(arm.label, every[arm.label] * _share(tune, arm.recipe))
        for arm in plan.study.arms
        if tune is not None
    }
    return Seconds(every, short, workers, whence)


def _share(tune: Tune | None, recipe: Recipe) -> float:
    """Of a replicate's epochs, those of a candidate."""
    epochs = [stage.epochs for stage in recipe.stages if stage.epochs]
    if tune is None or tune.epochs is None or not epochs:
        return 1.0
    return sum(min(each, tune.epochs) for each in epochs) / sum(epochs)


def allocations(plan: Plan, store: Store, seconds: Seconds, hours: float) -> list[Allocation]:
    """Six different ones, that which the study is written as first; one of those that fit is to take."""
    noise = detectable.noise(plan, store)
    ways: dict[tuple[int, int, int, int], Allocation] = {}
    for what, part, seeds, candidates, size in _ways(plan.study, seconds, hours):
        key = len(part), seeds, candidates, size
        if key not in ways and len(ways) < WAYS:
            took_h = _hours(plan.study, seconds, part, seeds, candidates)
            took_h *= (size / plan.study.data.size_px) ** 2
            share = (len(part) - 1) / max(1, len(plan.study.arms) - 1)
            smallest = noise.smallest(seeds, share) if noise else None
            ways[key] = Allocation(what, *key, took_h, smallest)
    found = list(ways.values())
    fits = [way for way in found if way.hours <= hours and way.seeds >= detectable.FEWEST_SEEDS]
    best = min(fits, key=lambda way: _worth(way, found[0]), default=None)
    return [replace(way, takes=way is best) for way in found]


def _worth(way: Allocation, written: Allocation) -> tuple[bool, bool, bool, bool, float, float]:
    """What keeps the question first, then what is judged at 5 %, searches in full, what detects least."""
    return (
        way.size_px != written.size_px,
        way.arms != written.arms,
        way.seeds < min(USUAL, written.seeds),
        way.candidates != written.candidates,
        1.0 if way.detects is None else way.detects,
        -way.seeds,
    )


def _ways(
    study: Study, seconds: Seconds, hours: float
) -> Iterator[tuple[str, tuple[str, ...], int, int, int]]:
    """(what, arms, seeds, candidates, size) of more than six, since some may be the same."""
    every, tune, size = tuple(arm.label for arm in study.arms), study.tune, study.data.size_px
    candidates, written = tune.candidates if tune else 0, len(study.seeds)
    few = max(1, candidates // 2) if candidates else 0
    half = _fewer(study, (len(every) - 1) // 2)

    def fitting(part: tuple[str, ...], candidates: int, share: float = 1.0) -> int:
        return max(
            (n for n in range(1, MOST + 1) if _hours(study, seconds, part, n, candidates) * share <= hours),
            default=detectable.FEWEST_SEEDS,
        )

    yield "as written", every, written, candidates, size
    most = fitting(every, candidates)
    yield f"{most} seeds, more fit" if most == MOST else "as many seeds as fit", every, most, candidates, size
    if few != candidates:
        yield "half the candidates", every, fitting(every, few), few, size
    if study.design != "screen":
        yield "half the arms", half, fitting(half, candidates), candidates, size
    smaller = max(16, size // 2)
    share = (smaller / size) ** 2
    yield "smaller images", every, fitting(every, candidates, share), candidates, smaller
    for seeds in (USUAL, detectable.MORE_SEEDS, detectable.FEWEST_SEEDS, MOST, 4, 6, 10):
        yield f"{seeds} seeds", every, seeds, candidates, size


def _fewer(study: Study, count: int) -> tuple[str, ...]:
    """The baseline and the first others."""
    others = [arm.label for arm in study.arms if arm.label != study.baseline]
    return (study.baseline, *others[: max(1, count)])


def _hours(study: Study, seconds: Seconds, part: Sequence[str], seeds: int, candidates: int) -> float:
    """Of the whole study with these arms, from nothing."""
    tune, total = study.tune, 0.0
    again = seconds.trial[study.baseline] * study.aa
    if tune is not None and candidates:
        best = min(tune.finalists, candidates)
        runs = candidates * tune.seeds + (best * tune.final_seeds if best > 1 else 0)
        total += runs * sum(seconds.candidate[arm] for arm in part)
        again += tune.shared * sum(seconds.trial[arm] for arm in part if arm != study.baseline)
    total += seeds * (sum(seconds.trial[arm] for arm in part) + again)
    return total / seconds.workers / HOUR_S


def _table(
    ways: Sequence[Allocation], seconds: Seconds, hours: float, noise: detectable.Noise | None
) -> Iterator[str]:
    low, high = min(seconds.trial.values()), max(seconds.trial.values())
    each = duration(low) if duration(low) == duration(high) else f"{duration(low)} to {duration(high)}"
    workers = f"{seconds.workers} worker{'s' * (seconds.workers > 1)}"
    yield f"hours     {hours:g} on {workers}; a trial takes {each}, by {seconds.whence}; done ones count too"
    if noise:
        yield f"          seed sd {detectable.points(noise.sigma)}, {noise.whence}"
    rows = [("", "arms", "seeds", "candidates", "size px", "takes", "detects")]
    rows += [
        (
            way.what,
            str(way.arms),
            str(way.seeds),
            str(way.candidates or "–"),
            str(way.size_px),
            duration(way.hours * HOUR_S),
            detectable.points(way.detects) if way.detects else "no verdict" if way.seeds < 3 else "–",
        )
        for way in ways
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for place, row in enumerate(rows):
        mark = "▸" if place and ways[place - 1].takes else " "
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([f"        {mark} {row[0]:<{widths[0]}}", *cells])
    yield from _why(ways, hours)


def _why(ways: Sequence[Allocation], hours: float) -> Iterator[str]:
    """What is marked and what that rests on; what to do where nothing fits."""
    best, written = next((way for way in ways if way.takes), None), ways[0]
    if best is None:
        least = min(way.hours for way in ways if way.seeds >= detectable.FEWEST_SEEDS)
        yield f"          none with 3 seeds or more fits: the shortest takes {duration(least * HOUR_S)}; give"
        yield "          more hours, or drop arms, epochs or candidates"
        return
    pairs = {"arms": "arms", "candidates": "candidates", "size_px": "px"}
    lost = [
        f"{getattr(written, key)} → {getattr(best, key)} {word}"
        for key, word in pairs.items()
        if getattr(best, key) != getattr(written, key)
    ]
    kept = f"{', '.join(lost)}, as nothing that keeps more fits" if lost else "arms, size and searches stay"
    few = "; fewer than 5 seeds are for screening" if best.seeds < USUAL else ""
    yield f"        ▸ {best.what}: {kept}; of all such that fit it detects least{few}"
    if best.size_px != written.size_px:
        yield "          smaller images: time by their pixels, and the same noise, are assumed"
    yield "          choose before the first score: seeds, arms and candidates stand in the study's file"
    yield f"          bench run --hours {hours:g} begins no seed that is not expected to end in time"
