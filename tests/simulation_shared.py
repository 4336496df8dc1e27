"""Thousands of studies at once, drawn from what their formulas rest on: is shared variance safe, and worth it?

    python tests/simulation_shared.py --studies 4000

An arm's score on a seed and an item is the seed's luck (any distribution), the arm's own trouble with the item, and
noise of their meeting, normal; so the sums of squares over items are Wishart and need no table of images. Every
study is judged twice: *before*, each comparison by its own seeds, and *after*, by the variance that all share.
``test_simulation_shared`` draws whole tables of the same worlds and judges them with ``bench.stats``.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench import stats

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

OWN, MET, PATIENT = 12.2, 20.0, 5.0
"""Sds in points: of an arm's own trouble with an image, of seed and image meeting, of an arm's own with a patient."""
PER_PATIENT = 33
"""Images of a patient."""
SKEW = 1.0
"""Sd of the logarithm of skewed seeds; the long tail is that of bad ones."""
FOLDS = 5


@dataclass(frozen=True)
class World:
    """One kind of study. The luck of a seed has sd 1 point, unless ``sds`` says otherwise."""

    seeds: int
    arms: int
    """Compared with the baseline, which they do not count."""
    items: int = 1000
    """Images, or patients; 0: folds, whose images are inside their means."""
    noise: str = "normal"
    """``normal``, ``t3`` or ``skewed``: what seeds are drawn from."""
    sds: str = "equal"
    """``two-fold``, ``ten-fold`` apart, ``noisy baseline`` (three times), ``one wild arm`` (five times)."""
    correlation: float = 0.0
    """Of paired seeds."""
    patients: bool = False
    """Items are patients of 33 images."""

    @property
    def scales(self) -> Doubles:
        """(arms + 1,) sd over seeds of each arm, the baseline's first."""
        scales = np.ones(self.arms + 1)
        if self.sds in ("two-fold", "ten-fold"):
            apart = np.geomspace(1, 2 if self.sds == "two-fold" else 10, self.arms + 1)
            return apart[np.random.default_rng(3).permutation(self.arms + 1)]
        if self.sds == "noisy baseline":
            scales[0] = 3
        elif self.sds == "one wild arm":
            scales[-1] = 5
        else:
            assert self.sds == "equal"
        return scales

    @property
    def own(self) -> float:
        """Sd of an arm's own trouble with an item."""
        return PATIENT if self.patients else OWN

    @property
    def met(self) -> float:
        """Sd of the noise of a seed and an item."""
        return MET / math.sqrt(PER_PATIENT) if self.patients else MET

    @property
    def level(self) -> float:
        """Of a comparison, before Holm."""
        return stats.level(self.seeds)

    def variance(self) -> Doubles:
        """(arms,) the true variance of each difference."""
        scales, r = self.scales, self.correlation
        seeds = scales[1:] ** 2 + scales[0] ** 2 - 2 * r * scales[1:] * scales[0]
        if not self.items:
            return seeds * (1 - 1 / FOLDS) * (1 / self.seeds + 1 / (FOLDS - 1))
        return seeds / self.seeds + 2 * self.own**2 / self.items + 2 * self.met**2 / (self.seeds * self.items)


class Seen(NamedTuple):
    """What the comparisons of many studies were seen to be, (studies, arms) each."""

    mean: Doubles
    seed: Doubles
    """V_seed."""
    item: Doubles
    both: Doubles
    """V_int."""
    seeds: NDArray[np.int64]
    """Of each comparison."""
    items: int

    @property
    def freedom(self) -> NDArray[np.int64]:
        """Of V_seed."""
        return self.seeds - 1


class Luck(NamedTuple):
    """All that is drawn of many studies, so that they can be looked at with any number of seeds."""

    seeds: Doubles
    """(studies, arms + 1, S) scores of seeds."""
    items: Doubles
    """(studies, arms + 1) what the choice of items adds to an arm's mean."""
    apart: Doubles
    """(studies, arms) sums of squares over items of a difference of sd 1."""


def draw(world: World, studies: int, rng: np.random.Generator, most: int = 0) -> Luck:
    """most: seeds to draw, where a study may be looked at with more than it begins with"""
    A, S = world.arms + 1, most or world.seeds
    luck = _noise(world.noise, (studies, A, S), rng)
    if world.correlation:
        common = _noise(world.noise, (studies, 1, S), rng)
        luck = math.sqrt(world.correlation) * common + math.sqrt(1 - world.correlation) * luck
    luck = luck * world.scales[:, None]
    if not world.items:
        # Folds share most of their training images: correlated by 1/k, as their correction supposes.
        shared = world.scales * rng.standard_normal((studies, A))
        luck = math.sqrt(1 - 1 / FOLDS) * luck + math.sqrt(1 / FOLDS) * shared[:, :, None]
        return Luck(luck, np.zeros((studies, A)), np.zeros((studies, A - 1)))
    luck = luck + world.met / math.sqrt(world.items) * rng.standard_normal((studies, A, S))
    items = world.own / math.sqrt(world.items) * rng.standard_normal((studies, A))
    return Luck(luck, items, _squares(world.items - 1, studies, A, rng))


def _noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Doubles:
    """Mean 0, sd 1."""
    if kind == "t3":
        return rng.standard_t(3, shape) / math.sqrt(3)
    if kind == "skewed":
        middle = math.exp(SKEW**2 / 2)
        return (middle - rng.lognormal(0, SKEW, shape)) / (middle * math.sqrt(math.exp(SKEW**2) - 1))
    assert kind == "normal"
    return rng.standard_normal(shape)


def _squares(freedom: int, studies: int, arms: int, rng: np.random.Generator) -> Doubles:
    """(studies, arms − 1) sums of squares of each arm's difference to the first, of normal rows of sd 1.

    Source: the triangular root of a Wishart matrix, Bartlett 1933.
    """
    root = np.tril(rng.standard_normal((studies, arms, arms)), -1)
    place = np.arange(arms)
    root[:, place, place] = np.sqrt(rng.chisquare(freedom - place, (studies, arms)))
    return np.asarray(np.square(root[:, 1:] - root[:, :1]).sum(axis=-1))


def look(world: World, luck: Luck, truth: Doubles, seeds: NDArray[np.int64] | int, extra: Doubles) -> Seen:
    """Every comparison with so many of its seeds. extra: (studies, arms) sums of squares of what meets, sd 1."""
    n = np.broadcast_to(seeds, luck.apart.shape)
    d = luck.seeds[:, 1:] - luck.seeds[:, :1]
    used = np.arange(d.shape[-1]) < n[..., None]
    mean = np.where(used, d, 0).sum(axis=-1) / n
    spread = np.where(used, np.square(d - mean[..., None]), 0).sum(axis=-1) / (n - 1)
    mean = mean + luck.items[:, 1:] - luck.items[:, :1] + truth
    if not world.items:
        nothing = np.zeros_like(mean)
        return Seen(mean, spread * (1 / n + 1 / (FOLDS - 1)), nothing, nothing, n, 1)
    N = world.items
    item = luck.apart * (world.own**2 + world.met**2 / n) / (N * (N - 1))
    both = extra * world.met**2 / ((n - 1) * (N - 1) * n * N)
    return Seen(mean, spread / n, item, both, n, N)


def met(world: World, studies: int, seeds: int, rng: np.random.Generator) -> Doubles:
    """What ``look`` takes for ``extra``."""
    if not world.items:
        return np.zeros((studies, world.arms))
    return _squares((seeds - 1) * (world.items - 1), studies, world.arms + 1, rng)


class Sure(NamedTuple):
    """By what comparisons are decided, (studies, arms) each."""

    error: Doubles
    """√V."""
    share: Doubles
    """w = V_seed / V."""
    freedom: Doubles
    """Of V_seed."""
    items: int

    def quantile(self, alpha: Doubles | float, at: Flags | None = None) -> Doubles:
        """Cochran and Cox's q, of some of them."""
        w, d = (self.share, self.freedom) if at is None else (self.share[at], self.freedom[at])
        of_items = -special.stdtrit(self.items - 1, np.asarray(alpha) / 2) if self.items > 1 else 0.0
        return np.asarray(-w * special.stdtrit(d, np.asarray(alpha) / 2) + (1 - w) * of_items)


def certainty(seen: Seen, shared: bool) -> Sure:
    """By one's own seeds, or by what all comparisons of a study share."""
    seed, freedom = seen.seed, seen.freedom.astype(float)
    if shared:
        s2, freedom = stats.prior(seed * seen.seeds, freedom).shrink(seed * seen.seeds, freedom)
        seed = s2 / seen.seeds
    V = np.maximum(seed + seen.item - seen.both, np.maximum(seed, seen.item))
    return Sure(np.sqrt(V), seed / V, freedom, seen.items)


def half_width(seen: Seen, shared: bool, alpha: float = 0.05) -> Doubles:
    """Of the printed interval: the wider one."""
    own = certainty(seen, shared=False)
    width = own.quantile(alpha) * own.error
    if not shared:
        return width
    sure = certainty(seen, shared=True)
    return np.maximum(width, sure.quantile(alpha) * sure.error)


def beyond(apart: Doubles, sure: Sure, level: float) -> NDArray[np.int64]:
    """(studies, arms) the largest k with p < level/k, up to their number, of "the difference is 0 apart"."""
    K = apart.shape[-1]
    found = np.zeros(apart.shape, dtype=np.int64)
    ratio = apart / sure.error
    for k in range(1, K + 1):
        at = found == k - 1
        at[at] = ratio[at] > sure.quantile(level / k, at)
        if not at.any():
            break
        found[at] = k
    return found


def holm(found: NDArray[np.int64], members: NDArray[np.int64] | int, among: Flags | bool = True) -> Flags:
    """Which comparisons Holm rejects: of as many members as a study has, the smallest p at level/members, …"""
    rejected = np.zeros(found.shape, dtype=bool)
    while True:
        left = np.maximum(np.asarray(members) - rejected.sum(axis=-1), 1)
        now = (found >= np.broadcast_to(left, rejected.shape[:1])[:, None]) & among
        if (now == rejected).all():
            return rejected
        rejected = now | rejected


@dataclass(frozen=True)
class Found:
    """What many studies of a world found, by one rule. Each with its standard error over studies."""

    coverage: tuple[float, float]
    """Of 95 % intervals."""
    least: float
    """Coverage of the arm that has the least."""
    false: tuple[float, float]
    """Share of studies that call any equal arm better or worse, or a planted effect's sign wrongly."""
    power: tuple[float, float]
    """Share that find a planted effect, in one arm."""


RULES = (False, True)
"""Before, after."""


def simulate(world: World, studies: int, seed: int, effect: float | None = None) -> tuple[Found, Found]:
    """The same studies by both rules; half without any effect, then one arm with the one that is planted.

    effect  in points; None: what the rule before finds about half the time among these arms
    """
    rng = np.random.default_rng(seed)
    if effect is None:
        plain = Sure(
            np.sqrt(world.variance()), np.ones(world.arms), np.full(world.arms, world.seeds - 1.0), 2
        )
        effect = float(plain.quantile(world.level / world.arms)[0] * plain.error[0])
    parts: list[dict[bool, tuple[Doubles, Doubles, Flags]]] = []
    for planted in (0.0, effect):
        truth = np.zeros(world.arms)
        truth[0] = planted
        luck = draw(world, studies, rng)
        seen = look(world, luck, truth, world.seeds, met(world, studies, world.seeds, rng))
        rules = {}
        for shared in RULES:
            rejected = holm(
                beyond(np.abs(seen.mean), certainty(seen, shared), world.level), world.arms
            ) & np.ones(1, bool)
            rules[shared] = (np.abs(seen.mean - truth) <= half_width(seen, shared), seen.mean, rejected)
        parts.append(rules)
    return _told(parts, False), _told(parts, True)


def _told(parts: list[dict[bool, tuple[Doubles, Doubles, Flags]]], shared: bool) -> Found:
    (covered, _, rejected), (also, mean, found) = (rules[shared] for rules in parts)
    each = np.concatenate([covered, also])
    hit = found[:, 0] & (mean[:, 0] > 0)
    wrong = found[:, 1:].any(axis=-1) | (found[:, 0] & (mean[:, 0] < 0))
    worst = max(_share(rejected.any(axis=-1)), _share(wrong))
    return Found(_share(each.mean(axis=-1)), float(each.mean(axis=0).min()), worst, _share(hit))


def _share(values: NDArray[np.generic]) -> tuple[float, float]:
    """Mean and standard error over studies."""
    numbers = values.astype(float)
    return float(numbers.mean()), float(numbers.std(ddof=1) / math.sqrt(len(numbers)))


@dataclass(frozen=True)
class Raced:
    """What many studies came to that were looked at several times, (studies, …)."""

    sides: NDArray[np.int64]
    """(studies, arms, 3) of 0, δ and −δ, where told."""
    seeds: NDArray[np.int64]
    """(studies, arms + 1) trained, the baseline's first."""
    stopped: NDArray[np.int64]
    """(studies, arms) the look after which a comparison was decided; −1: never, −2: given up."""
    seen: Seen
    """As each comparison was last looked at."""
    sure: Sure

    @property
    def decided(self) -> Flags:
        """(studies, arms) comparisons with a verdict."""
        return (self.sides[..., 0] != 0) | (self.sides[..., 1] < 0)


LOOKS = (5, 8, 12)


def race(
    world: World, truth: Doubles, studies: int, seed: int, *, shared: bool, futile: float, delta: float = 1.0
) -> Raced:
    """``--until decided``: (arms,) truth and delta in points; futile: chance of a verdict below which an arm stops."""
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
        for j, cut in enumerate((0.0, delta, -delta)):
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
            hopeless = running & (chance(seen, sure, delta, LOOKS[-1], level / np.maximum(left, 1)) < futile)
            stopped[hopeless] = -2
            running &= ~hopeless
    return Raced(sides, np.concatenate([n.max(axis=1, keepdims=True), n], axis=1), stopped, seen, sure)


def chance(seen: Seen, sure: Sure, delta: float, seeds: int, alpha: Doubles) -> Doubles:
    """``stats.chance_of_verdict`` of many comparisons."""
    seed = sure.error**2 * sure.share
    later, item = seed * seen.seeds / seeds, np.maximum(0, seen.item - seen.both)
    V = later + item
    then = Sure(np.sqrt(V), later / V, sure.freedom + seeds - seen.seeds, seen.items)
    reach = then.quantile(np.broadcast_to(alpha[:, None], V.shape)) * then.error
    spread = np.sqrt(seed * (1 - seen.seeds / seeds))
    with np.errstate(divide="ignore", invalid="ignore"):
        above = special.stdtr(sure.freedom, (seen.mean - reach) / spread)
        below = special.stdtr(sure.freedom, (np.maximum(-reach, delta - reach) - seen.mean) / spread)
    return np.asarray(above + below)
