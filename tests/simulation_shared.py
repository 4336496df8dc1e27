"""Thousands of studies at once, drawn from what formulas rest on: is shared variance safe, and worth it?

    python tests/simulation_shared.py --studies 4000

An arm's score on a seed and an item is the seed's luck (any distribution), the arm's own trouble with the
item, and noise of their meeting, normal; so sums of squares over items are Wishart and need no images. Every
study is judged twice: *before*, each comparison by its own seeds, *after*, by the variance all share.
``tests/stats/test_simulation_shared.py`` judges some of the same studies by ``bench.stats``, one at a time.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench import stats

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]

OWN, MET, PATIENT = 12.2, 20.0, 5.0
"""Sds in points: of an arm's own trouble with an image, of seed and image, of an arm's own with a patient."""
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
    """``two-fold``, ``ten-fold`` apart; ``noisy`` (3), ``steady baseline`` (.2); ``one wild arm`` (5)."""
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
        elif self.sds == "steady baseline":  # else equally skewed arms have differences that are not
            scales[0] = 0.2
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
    seeds: Counts
    """Of each comparison."""
    items: int

    @property
    def freedom(self) -> Counts:
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


def look(world: World, luck: Luck, truth: Doubles, seeds: Counts | int, extra: Doubles) -> Seen:
    """Every comparison with so many of its seeds. extra: (studies, arms) what ``met`` draws."""
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
        prior = stats.prior(seed * seen.seeds, freedom)
        common = prior.variance[:, None] / seen.seeds
        weight = np.square(common / variance_of(seen, common))
        s2, freedom = prior.shrink(seed * seen.seeds, freedom, weight)
        seed = s2 / seen.seeds
    V = variance_of(seen, seed)
    return Sure(np.sqrt(V), seed / V, freedom, seen.items)


def variance_of(seen: Seen, seed: Doubles) -> Doubles:
    """V, with this V_seed."""
    return np.asarray(np.maximum(seed + seen.item - seen.both, np.maximum(seed, seen.item)))


def half_width(seen: Seen, shared: bool, alpha: float = 0.05) -> Doubles:
    """Of the printed interval: the wider one."""
    own = certainty(seen, shared=False)
    width = own.quantile(alpha) * own.error
    if not shared:
        return width
    sure = certainty(seen, shared=True)
    return np.maximum(width, sure.quantile(alpha) * sure.error)


def beyond(apart: Doubles, sure: Sure, level: float) -> Counts:
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


def holm(found: Counts, members: Counts | int, among: Flags | bool = True) -> Flags:
    """(studies, arms) what Holm rejects of ``beyond``, the smallest p at level/members; among: those left."""
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
    more: tuple[float, float]
    """False studies that the first rule has not, less those that it alone has: of the same studies."""


RULES = (False, True)
"""Before, after."""


def simulate(world: World, studies: int, seed: int, effect: float | None = None) -> tuple[Found, Found]:
    """The same studies by both rules; half without any effect, then one arm with the one that is planted.

    effect  in points; None: what the rule before finds about half the time among these arms
    """
    rng = np.random.default_rng(seed)
    if effect is None:
        critical = -special.stdtrit(world.seeds - 1, world.level / world.arms / 2)
        effect = float(critical * np.sqrt(world.variance()[0]))
    parts: list[dict[bool, tuple[Doubles, Doubles, Flags]]] = []
    for planted in (0.0, effect):
        truth = np.zeros(world.arms)
        truth[0] = planted
        luck = draw(world, studies, rng)
        seen = look(world, luck, truth, world.seeds, met(world, studies, world.seeds, rng))
        rules = {}
        for shared in RULES:
            far = beyond(np.abs(seen.mean), certainty(seen, shared), world.level)
            rejected = holm(far, world.arms)
            rules[shared] = (np.abs(seen.mean - truth) <= half_width(seen, shared), seen.mean, rejected)
        parts.append(rules)
    return _told(parts, False), _told(parts, True)


def _told(parts: list[dict[bool, tuple[Doubles, Doubles, Flags]]], shared: bool) -> Found:
    (covered, _, _), (also, mean, found) = (rules[shared] for rules in parts)
    each = np.concatenate([covered, also])
    wrong, before = _wrong(parts, shared), _wrong(parts, False)
    apart = [share_of(now.astype(float) - then) for now, then in zip(wrong, before, strict=True)]
    return Found(
        coverage=share_of(each.mean(axis=-1)),
        least=float(each.mean(axis=0).min()),
        false=max(map(share_of, wrong)),
        power=share_of(found[:, 0] & (mean[:, 0] > 0)),
        more=max(apart, key=in_errors),
    )


def _wrong(parts: list[dict[bool, tuple[Doubles, Doubles, Flags]]], shared: bool) -> list[Flags]:
    """Of studies without an effect, and of those with one: whether anything is called wrongly."""
    (_, _, rejected), (_, mean, found) = (rules[shared] for rules in parts)
    planted = found[:, 1:].any(axis=-1) | (found[:, 0] & (mean[:, 0] < 0))
    return [rejected.any(axis=-1), planted]


def in_errors(estimate: tuple[float, float]) -> float:
    """A mean in its standard errors."""
    value, error = estimate
    return value / error if error else 0.0


def share_of(values: NDArray[np.generic]) -> tuple[float, float]:
    """Mean and standard error over studies."""
    numbers = values.astype(float)
    return float(numbers.mean()), float(numbers.std(ddof=1) / math.sqrt(len(numbers)))


def promised() -> Iterator[tuple[str, list[World]]]:
    """Worlds that the rules are to hold in; of several together the worst is told."""
    for noise, seeds, arms in itertools.product(("normal", "t3"), (3, 5, 10), (3, 8, 20)):
        images = [World(seeds, arms, items, noise) for items in (60, 1000, 10_000)]
        yield f"{noise} | {seeds} | {arms} | 60 to 10,000 images", images
    for seeds in (3, 5, 10):
        yield f"normal, pairs .5 | {seeds} | 8 | 1,000 images", [World(seeds, 8, correlation=0.5)]
    for items in (30, 100):
        yield f"normal | 5 | 8 | {items} patients", [World(5, 8, items, patients=True)]
    yield f"normal | {FOLDS} folds | 8 | inside folds", [World(FOLDS, 8, 0)]


def reported() -> Iterator[tuple[str, list[World]]]:
    """Worlds in which no t interval promises anything: what becomes of them."""
    kinds = [("normal", sds) for sds in ("two-fold", "ten-fold", "noisy baseline", "one wild arm")]
    for (noise, sds), seeds in itertools.product([("skewed", "steady baseline"), *kinds], (3, 5, 10)):
        images = [World(seeds, 8, items, noise, sds) for items in (1000, 10_000)]
        yield f"{noise}, {sds} | {seeds} | 8 | 1,000, 10,000 images", images
    for seeds in (3, 5):
        yield f"normal | {seeds} | 8 | 10 patients", [World(seeds, 8, 10, patients=True)]


def row(name: str, worlds: list[World], studies: int, seed: int) -> str:
    """Least coverage, most false studies and mean power of some worlds, before → after.

    Last how many more false studies there are after, of the same studies, where that is most in its errors.
    """
    both = [simulate(world, studies, seed + place) for place, world in enumerate(worlds)]
    cells = []
    for rule in zip(*both, strict=True):
        covered, false = min(one.coverage for one in rule), max(one.false for one in rule)
        power = float(np.mean([one.power[0] for one in rule]))
        cells.append((spelled(*covered), spelled(*false), f"{power:.2f}"))
    more, error = max((after.more for _, after in both), key=in_errors)
    paired = f"{more:+.3f} ± {error:.4f}"
    return f"| {name} | {' | '.join(' → '.join(pair) for pair in zip(*cells, strict=True))} | {paired} |"


def spelled(value: float, error: float) -> str:
    """With its standard error."""
    return f"{value:.3f} ± {error:.3f}"


def seeds_needed(world: World, effect: float, studies: int, seed: int) -> tuple[float, float]:
    """Seeds that find an effect four times in five, before and after; between whole ones, by power."""
    found, last = [math.nan, math.nan], [0.0, 0.0]
    for seeds in range(3, 60):
        powers = [one.power[0] for one in simulate(replace(world, seeds=seeds), studies, seed, effect)]
        for rule, power in enumerate(powers):
            if math.isnan(found[rule]) and power >= 0.8:
                step = (0.8 - last[rule]) / (power - last[rule]) if seeds > 3 else 1.0
                found[rule] = seeds - 1 + step
        last = powers
        if not any(map(math.isnan, found)):
            break
    return found[0], found[1]


def main() -> None:
    """Print the tables of docs/method.md in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=4000, help="studies per world  [default: 4000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n, seed = options.studies, options.seed
    for kind in (promised, reported):
        print("\n| seeds drawn from | seeds | arms | items | coverage | false studies | found | more false |")
        print("| :-- | --: | --: | :-- | --: | --: | --: | --: |")
        for name, worlds in kind():
            print(row(name, worlds, n, seed), flush=True)
    print("\n| effect, points | images | seeds before | after | trials after / before |")
    print("| --: | --: | --: | --: | --: |")
    for effect, images in itertools.product((6.0, 4.0, 3.0, 2.0), (1000, 10_000)):
        before, after = seeds_needed(World(3, 7, images), effect, n, seed)
        told = f"{before:.1f} | {after:.1f} | {after / before:.2f}".replace("nan", "more images")
        print(f"| {effect:.0f} | {images:,} | {told} |", flush=True)


if __name__ == "__main__":
    main()
