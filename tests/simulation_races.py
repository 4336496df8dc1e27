"""Thousands of studies that are looked at several times: what a race costs, finds and gets wrong.

    python tests/simulation_races.py --studies 4000

Seven arms beside a baseline, the worlds of ``simulation_shared``. *Before*: every comparison by its own
seeds, all that are undecided go on; *shared*: by the variance that all share; *now*: arms stop too that more
seeds would hardly decide.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import special
from simulation_shared import (
    Counts,
    Doubles,
    Flags,
    Seen,
    Sure,
    World,
    beyond,
    certainty,
    draw,
    holm,
    look,
    met,
    share_of,
    spelled,
)

from bench import stats


@dataclass(frozen=True)
class Raced:
    """What many studies came to that were looked at several times, (studies, …)."""

    sides: Counts
    """(studies, arms, 3) of 0, δ and −δ, where told."""
    seeds: Counts
    """(studies, arms + 1) trained, the baseline's first."""
    stopped: Counts
    """(studies, arms) the look after which a comparison was decided; −1: never, −2: given up."""
    seen: Seen
    """As each comparison was last looked at."""
    sure: Sure

    @property
    def decided(self) -> Flags:
        """(studies, arms) comparisons with a verdict."""
        return (self.sides[..., 0] != 0) | (self.sides[..., 1] < 0)


LOOKS = (5, 8, 12)
DELTA = 1.0
"""Points that matter."""


def race(world: World, truth: Doubles, studies: int, seed: int, *, shared: bool, futile: float) -> Raced:
    """``--until decided``: truth (arms,) in points, δ one point.

    futile  chance of a verdict under which an arm gets no further seeds; 0: it always does
    """
    rng = np.random.default_rng(seed)
    luck = draw(world, studies, rng, LOOKS[-1])
    K = world.arms
    sides = np.zeros((studies, K, 3), dtype=np.int64)
    stopped = np.full((studies, K), -1)
    running = np.ones((studies, K), dtype=bool)
    n, extra = np.full((studies, K), LOOKS[0]), np.zeros((studies, K))
    for place, (S, level) in enumerate(zip(LOOKS, stats.levels(len(LOOKS)), strict=True)):
        n, extra = np.where(running, S, n), np.where(running, met(world, studies, S, rng), extra)
        seen = look(world, luck, truth, n, extra)
        sure = certainty(seen, shared)
        left = K - (sides != 0).sum(axis=1)
        for j, cut in enumerate((0.0, DELTA, -DELTA)):
            before = sides[..., j] != 0
            far = beyond(np.abs(seen.mean - cut), sure, level)
            now = holm(far, left[:, j], running & ~before)
            sides[..., j] = np.where(now, np.sign(seen.mean - cut), sides[..., j])
        decided = running & ((sides[..., 0] != 0) | (sides[..., 1] < 0))
        stopped[decided] = place
        running &= ~decided
        if place + 1 < len(LOOKS) and futile:
            left = K - (sides[..., 0] != 0).sum(axis=-1)
            level = stats.levels(len(LOOKS))[-1]
            hopeless = running & (chance(seen, sure, LOOKS[-1], level / np.maximum(left, 1)) < futile)
            stopped[hopeless] = -2
            running &= ~hopeless
    return Raced(sides, np.concatenate([n.max(axis=1, keepdims=True), n], axis=1), stopped, seen, sure)


def chance(seen: Seen, sure: Sure, seeds: int, alpha: Doubles) -> Doubles:
    """``stats.chance_of_verdict`` of many comparisons."""
    seed = sure.error**2 * sure.share
    later, item = seed * seen.seeds / seeds, np.maximum(0, seen.item - seen.both)
    V = later + item
    then = Sure(np.sqrt(V), later / V, sure.freedom + seeds - seen.seeds, seen.items)
    reach = then.quantile(np.broadcast_to(alpha[:, None], V.shape)) * then.error
    spread = np.sqrt(seed * (1 - seen.seeds / seeds))
    with np.errstate(divide="ignore", invalid="ignore"):
        above = special.stdtr(sure.freedom, (seen.mean - reach) / spread)
        below = special.stdtr(sure.freedom, (np.maximum(-reach, DELTA - reach) - seen.mean) / spread)
    return np.asarray(above + below)


RACES = {
    "equal": (0,) * 7,
    "one 3 ahead": (3, 0, 0, 0, 0, 0, 0),
    "one 6 ahead": (6, 0, 0, 0, 0, 0, 0),
    "6 ahead to 6 behind": (6, 3, 1, 0, -1, -3, -6),
    "most behind": (3, -4, -5, -6, -8, -10, -14),
}
"""True effects of seven arms, in points."""
RULES = ((False, 0.0), (True, 0.0), (True, stats.FUTILE))
"""Before, shared, now."""


def wrong(found: Raced, truth: Doubles) -> Flags:
    """(studies,) with a verdict on the wrong side of 0, δ or −δ."""
    side = found.sides
    false = (side[..., 0] != 0) & (side[..., 0] != np.sign(truth))
    false |= (side[..., 1] < 0) & (truth > DELTA)
    false |= (side[..., 1] > 0) & (truth < DELTA)
    false |= (side[..., 2] > 0) & (truth < -DELTA)
    return np.asarray(false.any(axis=-1))


def raced(name: str, world: World, studies: int, seed: int) -> str:
    """By each rule: seeds of an arm, comparisons decided, trials for each decision, false studies."""
    truth, cells = np.array(RACES[name], dtype=float), []
    for shared, futile in RULES:
        found = race(world, truth, studies, seed, shared=shared, futile=futile)
        decided = found.decided
        each = found.seeds.sum() / max(1, int(decided.sum()))
        false = spelled(*share_of(wrong(found, truth)))
        cells.append(f"{found.seeds.mean():.1f} | {decided.mean():.2f} | {each:.1f} | {false}")
    return f"| {name} | {world.noise} | {world.items:,} | " + " | ".join(cells) + " |"


def drawn_back(name: str, world: World, studies: int, seed: int) -> str:
    """Of effects that an early look told from 0: how far they seem too large, and when drawn back."""
    truth = np.array(RACES[name], dtype=float)
    found = race(world, truth, studies, seed, shared=True, futile=stats.FUTILE)
    early = (found.stopped >= 0) & (found.stopped + 1 < len(LOOKS)) & (found.sides[..., 0] != 0)
    d, V = found.seen.mean, found.sure.error**2
    true = np.maximum(0, (d**2 - V).mean(axis=-1, keepdims=True))
    cells = []
    for estimate in (d, d * true / (true + V)):
        off = ((estimate - truth) * np.sign(d))[early]
        some = f"{off.mean():+.2f} | {math.sqrt((off**2).mean()):.2f}" if len(off) else "– | –"
        cells.append(some)
    return f"| {name} | {world.items:,} | {early.mean():.2f} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables of docs/method.md in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=4000, help="studies per world  [default: 4000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n, seed = options.studies, options.seed
    rules = ("before", "shared", "now")
    ends = " | ".join(
        f"{rule}: seeds of an arm | decided | trials for each | false studies" for rule in rules
    )
    print(f"| truth | seeds drawn from | images | {ends} |\n| :-- | :-- |" + " --: |" * 13)
    for name, noise, images in itertools.product(RACES, ("normal", "t3"), (1000, 10_000)):
        print(raced(name, World(LOOKS[0], 7, images, noise), n, seed), flush=True)
    print("\n| truth | images | decided early | too large by | rms error | drawn back by | rms error |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for name, images in itertools.product(RACES, (1000, 10_000)):
        print(drawn_back(name, World(LOOKS[0], 7, images), n, seed), flush=True)


if __name__ == "__main__":
    main()
