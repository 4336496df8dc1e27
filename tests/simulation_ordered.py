"""Studies of levels in an order: how often their line, their bend and the best level are covered.

    python tests/simulation_ordered.py --studies 1000

A level scores on a seed and an image: its mean, the luck of the seed, its own trouble with the image and
noise of their meeting, normal, in points as large as real ones (sds 1, 12.2, 20; ``simulation_shared``).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import stats

Doubles = NDArray[np.float64]
LUCK, OWN, MET = 1.0, 12.2, 20.0
"""Sds in points."""
SHAPES = ("equal", "line", "peak", "two as good", "wild level")


@dataclass(frozen=True)
class World:
    """One kind of study."""

    seeds: int
    levels: int
    shape: str
    items: int = 400

    @property
    def means(self) -> Doubles:
        """(L,) true score of each level, points; the first of the best ones counts as the best."""
        at = np.linspace(-1, 1, self.levels)
        if self.shape == "line":
            return 2 * at
        if self.shape == "peak":
            return -4 * np.square(at)
        if self.shape == "two as good":
            return np.where(np.arange(self.levels) < 2, 0.0, -3.0)
        return np.zeros(self.levels)

    def draw(self, rng: np.random.Generator) -> Doubles:
        """One study: (L, S, N) scores as fractions."""
        shape = self.levels, self.seeds, self.items
        luck = np.full(self.levels, LUCK)
        if self.shape == "wild level":
            luck[0] = 5 * LUCK
        seeds = rng.normal(0, 1, shape[:2])[:, :, None] * luck[:, None, None]
        own = rng.normal(0, OWN, (self.levels, 1, self.items))
        return (self.means[:, None, None] + seeds + own + rng.normal(0, MET, shape)) / 100


@dataclass
class Found:
    """Of one kind of study."""

    line: float
    """Share of studies whose interval covers the true rise."""
    bend: float
    best: float
    """Share in which the truly best level is among those that cannot be told from the best."""
    kept: float
    """Mean number of levels that cannot."""


def simulate(world: World, studies: int, seed: int = 0) -> Found:
    """Judge so many of them."""
    rng, found = np.random.default_rng(seed), []
    line, bend = stats.line(world.levels), stats.bend(world.levels)
    for _ in range(studies):
        scores = world.draw(rng)
        inside = [
            abs(one.mean - weights @ world.means / 100) <= one.half_width()
            for weights in (line, bend)
            for one in [stats.two_way(np.tensordot(weights, scores, 1))]
        ]
        among = stats.among_best(world.levels, lambda i, j, x=scores: stats.two_way(x[i] - x[j]))  # type: ignore[misc]
        found.append([*inside, int(np.argmax(world.means)) in among, len(among)])
    return Found(*np.mean(found, axis=0))


def worlds() -> Iterator[World]:
    yield from (World(S, L, shape) for S, L, shape in itertools.product((3, 5), (3, 5), SHAPES))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    given = parser.parse_args()
    print("| seeds | levels | means | line covered | bend covered | best among | levels kept |")
    print("| --: | --: | :-- | --: | --: | --: | --: |")
    for world in worlds():
        found = simulate(world, given.studies)
        print(
            f"| {world.seeds} | {world.levels} | {world.shape} | {found.line:.3f} | {found.bend:.3f} | "
            f"{found.best:.3f} | {found.kept:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
