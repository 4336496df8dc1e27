"""Thousands of studies that a night ends: does it cost anything that time decides how many seeds there are?

    python tests/simulation_hours.py --studies 4000

One arm or seven beside a baseline, the worlds of ``simulation_shared``; what is begun is asked of
``bench.run.hours`` itself. *By hours* has as many seeds as fitted, *drawn*: the same studies with the numbers
of seeds of other ones, which no duration of theirs decided.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from simulation_shared import (
    Counts,
    Doubles,
    Flags,
    Luck,
    World,
    beyond,
    certainty,
    draw,
    half_width,
    holm,
    look,
    met,
    share_of,
    spelled,
)

from bench import stats
from bench.run.hours import HOUR_S, Budget

IMAGES = 10_000
"""So many that seeds decide, not images."""
MOST = 16
"""Seeds, more than fit."""
FEWEST = 3
"""Seeds with which there is a verdict."""
SD = 0.4
"""Of the logarithm of how long a trial takes."""
SHARE = 0.2
"""Of its time that a trial takes until it diverges."""
EFFECT = 3.0
"""Points that the first arm is ahead, in half of the studies."""


@dataclass(frozen=True)
class Durations:
    """How long trials take, in units of what one takes on average."""

    name: str
    apart: float = 1.0
    """Times that the slowest arm takes the fastest one's."""
    with_score: float = 0.0
    """Correlation of a trial's time with the luck of its seed, in every arm but the baseline."""
    diverging: float = 0.0
    """Share of trials that diverge, and end early."""


KINDS = (
    Durations("all alike, by chance"),
    Durations("arms up to 4 times apart", apart=4.0),
    Durations("longer with luck", with_score=0.9),
    Durations("shorter with luck", with_score=-0.9),
    Durations("1 in 10 diverges early", diverging=0.1),
)


def durations(kind: Durations, luck: Doubles, rng: np.random.Generator) -> tuple[Doubles, Flags]:
    """(studies, arms + 1, S) seconds of each trial, and whether it diverged."""
    score = luck / luck.std()
    r = np.where(np.arange(luck.shape[1]) > 0, kind.with_score, 0.0)[:, None]
    log = SD * (r * score + np.sqrt(1 - r * r) * rng.standard_normal(luck.shape))
    arms = np.geomspace(1, kind.apart, luck.shape[1])
    seconds = np.exp(log - SD**2 / 2) * (arms / arms.mean())[:, None]
    diverged = rng.random(luck.shape) < kind.diverging
    return np.where(diverged, SHARE * seconds, seconds), diverged


def begun(seconds: Doubles, diverged: Flags, budget_s: float) -> Counts:
    """(arms + 1,) seeds of each arm of one study that a budget begins, on one worker."""
    now = [0.0]
    budget = Budget(budget_s / HOUR_S, clock=lambda: now[0])
    arms = range(len(seconds))
    jobs = [[_job(arm) for arm in arms] for _ in range(seconds.shape[1])]
    parts = [frozenset({"0", str(arm)}) for arm in arms[1:]]
    count = np.zeros(len(seconds), dtype=np.int64)
    took: dict[str, list[float]] = {}
    while True:
        waiting = [[job for job in group if count[int(job.run.arm)] <= s] for s, group in enumerate(jobs)]
        batch = budget.next(filter(None, waiting), parts, took, 1)
        if not batch:
            return count
        spent = []
        for job in batch:
            arm = int(job.run.arm)
            spent.append(float(seconds[arm, count[arm]]))
            if not diverged[arm, count[arm]]:
                took.setdefault(job.run.arm, []).append(spent[-1])
            count[arm] += 1
        now[0] += sum(spent)
        budget.ended(spent)


def _job(arm: int) -> Any:
    return SimpleNamespace(run=SimpleNamespace(arm=str(arm)), missing=())


@dataclass(frozen=True)
class Judged:
    """What studies came to, (studies, arms) each."""

    covered: Flags
    told: Flags
    """It has an interval."""
    wrong: Flags
    """A verdict against the truth."""
    off: Doubles
    """Mean less truth."""


def judge(world: World, luck: Luck, truth: Doubles, n: Counts, rng: np.random.Generator) -> Judged:
    """Every comparison of (studies, arms) with its seeds ``n``; under three it has no verdict."""
    told = n >= FEWEST
    n = np.maximum(n, 2)
    extra = np.zeros(n.shape)
    for seeds in np.unique(n):
        extra = np.where(n == seeds, met(world, len(n), int(seeds), rng), extra)
    seen = look(world, luck, truth, n, extra)
    sure = certainty(seen, shared=world.arms > 1)
    three, more = (beyond(np.abs(seen.mean), sure, stats.level(seeds)) for seeds in (FEWEST, FEWEST + 1))
    rejected = holm(np.where(told, np.where(n == FEWEST, three, more), 0), world.arms)
    covered = np.abs(seen.mean - truth) <= half_width(seen, shared=world.arms > 1)
    return Judged(covered, told, rejected & (np.sign(seen.mean) != np.sign(truth)), seen.mean - truth)


def row(kind: Durations, arms: int, seeds: float, studies: int, seed: int) -> str:
    """Of studies that a night ends, and of the same with others' numbers of seeds."""
    rng = np.random.default_rng(seed)
    world = World(5, arms, IMAGES)
    luck = draw(world, studies, rng, MOST)
    took, diverged = durations(kind, luck.seeds, rng)
    budget_s = seeds * (arms + 1) * (1 - kind.diverging * (1 - SHARE))
    counts = np.array([begun(a, b, budget_s) for a, b in zip(took, diverged, strict=True)])
    used = np.minimum(counts[:, 1:], counts[:, :1])
    # A seed in which either arm diverged is in no interval of the finished pairs, and leaves no verdict.
    pairs = diverged[:, 1:] | diverged[:, :1]
    cells = []
    for n in (used, used[rng.permutation(studies)]):
        lost = (pairs & (np.arange(MOST) < n[..., None])).sum(axis=-1)
        wrong = []
        for effect in (0.0, EFFECT):
            truth = np.zeros(arms)
            truth[0] = effect
            found = judge(world, _without(luck, pairs), truth, n - lost, rng)
            wrong.append(share_of(np.asarray((found.wrong & (lost == 0)).any(axis=1))))
        coverage, off = found.covered[found.told], found.off[found.told]
        cells.append(f"{spelled(*share_of(coverage))} | {spelled(*max(wrong))} | {off.mean():+.3f}")
    return f"| {kind.name} | {arms} | {used.mean():.1f} | " + " | ".join(cells) + " |"


def _without(luck: Luck, pairs: Flags) -> Luck:
    """The same differences, those of pairs that diverged put last."""
    d = luck.seeds[:, 1:] - luck.seeds[:, :1]
    order = np.argsort(pairs, axis=-1, kind="stable")
    moved = np.take_along_axis(d, order, axis=-1)
    return luck._replace(seeds=np.concatenate([np.zeros_like(moved[:, :1]), moved], axis=1))


def continued(arms: int, nights: Sequence[int], studies: int, seed: int) -> str:
    """False studies of whoever goes on, and judges each night as if it were the last."""
    rng = np.random.default_rng(seed)
    world, truth = World(5, arms, IMAGES), np.zeros(arms)
    luck = draw(world, studies, rng, MOST)
    wrong = np.zeros((studies, arms), dtype=bool)
    cells = []
    for seeds in nights:
        wrong |= judge(world, luck, truth, np.full((studies, arms), seeds), rng).wrong
        cells.append(spelled(*share_of(np.asarray(wrong.any(axis=1)))))
    return f"| {arms} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables of docs/method.md in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=4000, help="studies per row  [default: 4000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends = " | ".join(f"{rule}: coverage | false studies | off by" for rule in ("by hours", "drawn"))
    print(f"| how long trials take | arms | seeds | {ends} |\n| :-- |" + " --: |" * 8)
    for seeds, kind, arms in itertools.product((4.6, 7.6), KINDS, (1, 7)):
        print(row(kind, arms, seeds, options.studies, options.seed), flush=True)
    print("\n| arms | after 5 seeds | or after 10 | or after 15 |\n|" + " --: |" * 4)
    for arms in (1, 7):
        print(continued(arms, (5, 10, 15), options.studies, options.seed), flush=True)


if __name__ == "__main__":
    main()
