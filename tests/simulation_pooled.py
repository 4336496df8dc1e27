"""Thousands of studies of several data sets: do the interval of their mean and that of a new data set hold?

    python tests/simulation_pooled.py --studies 20000

A data set's true difference is drawn around the mean with sd τ, what is seen of it around that with the noise
of seeds and images; the noise of seeds is known only as well as the seeds of one comparison tell it. Many
studies at once; ``tests/stats/test_pooled.py`` judges some of them by ``bench.stats``, one at a time.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench import stats

Doubles = NDArray[np.float64]

SEED = 1.0
"""Sd over seeds of a paired difference, points."""
IMAGES = 0.3
"""Standard error that images leave, points: an arm and its baseline disagree on one of ten of 1,000."""
UNEQUAL = (0.5, 1.0, 2.0)
"""Data sets' noise beside the usual, again and again: a large one has a quarter of a small one's."""
TAUS = (0.0, 0.5, 2.0)
"""Sd of true differences between data sets, points; the noise of a mean over five seeds is half a point."""


@dataclass(frozen=True)
class World:
    """A kind of study."""

    sets: int
    between: float
    """τ, points."""
    unequal: bool = False
    seeds: int = 5

    @property
    def scale(self) -> Doubles:
        """(K,) a data set's noise beside the usual."""
        sizes = UNEQUAL if self.unequal else (1.0,)
        return np.array(list(itertools.islice(itertools.cycle(sizes), self.sets)))


class Seen(NamedTuple):
    """What is known of many studies."""

    difference: Doubles
    """(studies, K), points; the mean over all data sets there might be is 0."""
    variance: Doubles
    """(studies, K) of each, as its seeds and images tell."""
    new: Doubles
    """(studies,) true difference on a data set that nobody has seen."""


def draw(world: World, studies: int, rng: np.random.Generator) -> Seen:
    """Studies of an ingredient that changes nothing on average."""
    shape = (studies, world.sets)
    seeds, images = SEED**2 / world.seeds * world.scale**2, (IMAGES * world.scale) ** 2
    truth = world.between * rng.standard_normal(shape)
    seen = truth + np.sqrt(seeds + images) * rng.standard_normal(shape)
    told = seeds * rng.chisquare(world.seeds - 1, shape) / (world.seeds - 1)
    return Seen(seen, told + images, world.between * rng.standard_normal(studies))


class Mean(NamedTuple):
    """(studies,) each."""

    mean: Doubles
    error: Doubles
    between: Doubles
    """τ²."""


def weighed(seen: Seen, expected: float | None = None) -> Mean:
    """As ``stats.pooled`` does; expected: see ``stats.between``."""
    tau2 = stats.between(seen.difference, seen.variance, expected)
    w = 1 / (seen.variance + tau2[:, None])
    return Mean((w * seen.difference).sum(axis=-1) / w.sum(axis=-1), np.sqrt(1 / w.sum(axis=-1)), tau2)


def equally(seen: Seen) -> Mean:
    """The plain mean, and Student's t of the differences."""
    y, K = seen.difference, seen.difference.shape[-1]
    return Mean(y.mean(axis=-1), y.std(axis=-1, ddof=1) / np.sqrt(K), stats.between(y, seen.variance))


class Found(NamedTuple):
    """Shares of studies, and widths in points."""

    covered: float
    width: float
    """Median half width of the mean's interval."""
    false: float
    """With a verdict, where there is nothing to be found."""
    new: float
    """New data sets covered by the prediction interval."""
    new_width: float
    careful: float
    """The same with K − 2 degrees of freedom."""
    careful_width: float


def judged(found: Mean, new: Doubles, sets: int) -> Found:
    """What came of many studies. new: see ``Seen``."""
    far = np.abs(found.mean)
    own, fewer = (-special.stdtrit(d, 0.025) for d in (sets - 1, sets - 2))
    p = 2 * special.stdtr(sets - 1, -far / found.error)
    around, off = np.sqrt(found.between + found.error**2), np.abs(new - found.mean)
    return Found(
        float((far <= own * found.error).mean()),
        float(np.median(own * found.error)),
        float((p < stats.level(sets)).mean()),
        float((off <= own * around).mean()),
        float(np.median(own * around)),
        float((off <= fewer * around).mean()),
        float(np.median(fewer * around)),
    )


def worlds(seeds: int = 5) -> list[World]:
    """Every kind."""
    return [
        World(sets, tau, unequal, seeds) for unequal in (False, True) for tau in TAUS for sets in (3, 5, 8)
    ]


def row(world: World, studies: int, seed: int) -> str:
    """A line of the table."""
    seen, K = draw(world, studies, np.random.default_rng(seed)), world.sets
    here, mandel, plain = (
        judged(mean, seen.new, K) for mean in (weighed(seen), weighed(seen, K - 1), equally(seen))
    )
    cells = [
        "unequal" if world.unequal else "equal", f"{world.between:g}", str(K),
        f"{here.covered:.3f} ± {here.width:.2f}", f"{here.false:.3f}",
        f"{mandel.covered:.3f} ± {mandel.width:.2f}", f"{mandel.false:.3f}",
        f"{plain.covered:.3f} ± {plain.width:.2f}",
        f"{here.new:.3f} ± {here.new_width:.1f}", f"{here.careful:.3f} ± {here.careful_width:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    print(
        "| noise | τ | data sets | mean | false verdicts | with E(Q) = K − 1 | false verdicts | plain mean | "
        "new data set | with K − 2 |"
    )
    print("| :-- |" + " --: |" * 9)
    for number, world in enumerate(worlds(asked.seeds)):
        print(row(world, asked.studies, number))


if __name__ == "__main__":
    main()
