"""Simulated studies and, after each, one new run of both arms: was the difference foreseen?

    python tests/new_runs.py --studies 2000

The world is that of ``simulation.py``, of two arms whose true difference is drawn from a normal distribution
for each study. A new run's score is its expected one over all images there might be, or its share of right
answers on the study's own images.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from simulation import DIFFICULTY, DRIVEN, IMAGES, NODES, WEIGHTS, Scenario

from bench import stats

SURE = 0.9


@dataclass(frozen=True)
class World:
    """What is drawn."""

    seeds: int
    accuracy: float
    driven: str
    apart: float
    """Sd of the arms' true difference, in logits."""
    wilder: float = 1.0
    """How many times as much the arm's seeds vary as the baseline's."""


@dataclass(frozen=True)
class Foreseen:
    """Of many studies, shares."""

    coverage: float
    """Prediction intervals that hold the new runs' difference over all images."""
    same_images: float
    """The same, with the new runs scored on the study's own images."""
    by_effect: float
    """95 % intervals of the mean difference that hold it: what they are not made for."""
    sure: float
    """Of the studies that called a run the better one with at least ``SURE``, those in which it was."""
    of: int


def foresee(world: World, studies: int, seed: int) -> Foreseen:
    """Draw that many studies, predict, and draw one new run of both arms for each."""
    rng = np.random.default_rng(seed)
    scenario = Scenario(world.seeds, world.accuracy, world.driven, False)
    middle = scenario.middle(world.accuracy)
    covered, same, by_effect, right = [], [], [], []
    for _ in range(studies):
        arms = list(_arms(world, middle, rng))
        scores = [_answers(rng, hard, luck) for _, hard, luck in arms]
        d = stats.two_way(scores[1] - scores[0])
        found = stats.prediction(d, *(float(one.mean(axis=1).var(ddof=1)) for one in scores))
        assert found is not None
        news = [rng.normal(0, _sd(world, i), (1, 1)) for i in range(2)]
        truths = [
            _over_images(world, place + new.item()) for (place, _, _), new in zip(arms, news, strict=True)
        ]
        again = [_answers(rng, hard, new).mean() for (_, hard, _), new in zip(arms, news, strict=True)]
        difference, here = truths[1] - truths[0], again[1] - again[0]
        covered.append(found.low <= difference <= found.high)
        same.append(found.low <= here <= found.high)
        by_effect.append(d.low <= difference <= d.high)
        if max(found.above, 1 - found.above) >= SURE:
            right.append((difference > 0) == (found.above > 0.5))
    shares = (float(np.mean(one)) if one else float("nan") for one in (covered, same, by_effect, right))
    return Foreseen(*shares, len(right))


def _arms(
    world: World, middle: float, rng: np.random.Generator
) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """Of both arms: mean logit, logits of the images (N,), luck of the seeds (S, 1)."""
    hard = DIFFICULTY * rng.standard_normal(IMAGES)
    for i, place in enumerate((middle, middle + rng.normal(0, world.apart))):
        own = DRIVEN[world.driven][1] * rng.standard_normal(IMAGES)
        yield place, place + hard + own, rng.normal(0, _sd(world, i), (world.seeds, 1))


def _sd(world: World, arm: int) -> float:
    return DRIVEN[world.driven][0] * (world.wilder if arm else 1.0)


def _answers(
    rng: np.random.Generator, hard: NDArray[np.float64], luck: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (rng.random((len(luck), len(hard))) < expit(hard + luck)).astype(float)


def _over_images(world: World, middle: float) -> float:
    """Expected share of right answers of one run over all images."""
    spread = float(np.hypot(DIFFICULTY, DRIVEN[world.driven][1]))
    return float(WEIGHTS @ expit(middle + spread * NODES) / WEIGHTS.sum())


def worlds() -> list[World]:
    """Those of the table in docs/method.md."""
    alike = itertools.product((5, 8), (0.98, 0.74), ("seed", "image"), (0.0, 0.5))
    return [*(World(*parts) for parts in alike), *(World(n, 0.74, "seed", 0.5, 4.0) for n in (5, 8))]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000, help="studies per world  [default: 2000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| seeds | accuracy | driven by | arms apart, logits | coverage | on the same images "
        f"| by the effect's interval | right where at least {100 * SURE:.0f} % sure |\n"
        "| --: | --: | :-- | --: | --: | --: | --: | --: |"
    )
    for number, world in enumerate(worlds()):
        found = foresee(world, options.studies, options.seed + number)
        wilder = ", one arm 4 times as much" if world.wilder > 1 else ""
        print(
            f"| {world.seeds} | {world.accuracy:.2f} | {world.driven}s{wilder} | {world.apart:g} "
            f"| {found.coverage:.3f} | {found.same_images:.3f} | {found.by_effect:.3f} "
            f"| {found.sure:.3f} of {found.of} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
