"""Simulated arms that are almost always right: do their bounds hold?

    python tests/few_errors.py --studies 20000

As in ``simulation.py``; only studies in which fewer than ten images were ever wrong are told.
"""

from __future__ import annotations

import argparse
import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from simulation import DIFFICULTY, DRIVEN, Scenario

from bench import stats


class Held(NamedTuple):
    """Shares of the studies with under ten images that were ever wrong."""

    bound: float
    """One-sided bounds that are not above the true accuracy."""
    interval: float
    """Lower ends of two-sided 95 % intervals that are not."""
    few: float
    """Share of such studies in all."""


def hold(seeds: int, images: int, accuracy: float, driven: str, studies: int, seed: int) -> Held:
    """Draw that many studies of one arm."""
    rng = np.random.default_rng(seed)
    middle = Scenario(seeds, accuracy, driven, False).middle(accuracy)
    over_seeds, own, _ = DRIVEN[driven]
    found = []
    for _ in range(studies):
        hard = np.hypot(DIFFICULTY, own) * rng.standard_normal(images)
        luck = over_seeds * rng.standard_normal((seeds, 1))
        right = (rng.random((seeds, images)) < expit(middle + hard + luck)).astype(float)
        if (right < 1).any(axis=0).sum() < stats.FEWEST_DISAGREEMENTS:
            low = stats.two_way(right).low
            found.append((stats.at_least(float(right.mean()), images) <= accuracy, low <= accuracy))
    bound, interval = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return Held(float(bound), float(interval), len(found) / studies)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=5000, help="studies per world  [default: 5000]")
    options = parser.parse_args()
    print("| seeds | images | accuracy | driven by | too few errors | bound holds | interval would |")
    print("| --: | --: | --: | :-- | --: | --: | --: |")
    worlds = itertools.product((3, 5), (100, 400), (0.99, 0.998), ("seed", "image"))
    for number, world in enumerate(worlds):
        found = hold(*world, options.studies, number)
        seeds, images, accuracy, driven = world
        shares = f"{found.few:.3f} | {found.bound:.3f} | {found.interval:.3f}"
        print(f"| {seeds} | {images} | {accuracy} | {driven}s | {shares} |", flush=True)


if __name__ == "__main__":
    main()
