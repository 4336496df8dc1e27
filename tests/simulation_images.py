"""Of comparisons that no number of seeds decides: are the images that a report asks for enough?

    python -m tests.simulation_images [STUDIES]

A study of S seeds and N images sees no difference and is told how many images (and seeds) would find δ. Then
studies of that size are drawn, with a difference of δ, and counted is how often it is found: four times in
five is promised. Drawn are the means that a comparison is made of, d[s, i] = δ + a_s + b_i + e_si, normal.
"""

from __future__ import annotations

import sys

import numpy as np

from bench import stats

DELTA = 0.01
WORLDS = (
    # seeds, images; sd of a difference over seeds, over images, of both together
    (5, 200, 0.002, 0.15, 0.15),
    (5, 1000, 0.004, 0.25, 0.20),
    (3, 500, 0.003, 0.20, 0.20),
)


def drawn(
    random: np.random.Generator, shape: tuple[int, int], sds: tuple[float, ...], mean: float
) -> stats.Interval:
    """The interval of one study: of S seeds and N images, sds of seeds, images and both."""
    S, N = shape
    a, b, e = (random.normal(0, sd, of) for sd, of in zip(sds, ((S, 1), (1, N), (S, N)), strict=True))
    return stats.two_way(mean + a + b + e)


def simulate(studies: int, world: tuple[float, ...]) -> str:
    """A row of docs/method.md."""
    seeds, images, *sds = world
    random = np.random.default_rng(0)
    told, found = [], 0
    for _ in range(studies):
        first = drawn(random, (int(seeds), int(images)), tuple(sds), 0.0)
        if stats.seeds_needed(first, DELTA, stats.level(first.seeds + 1)) is not None:
            continue
        needed = stats.items_needed(first, DELTA, stats.level)
        if needed is None:
            continue
        told.append(needed)
        N, S = needed
        second = drawn(random, (S, N), tuple(sds), DELTA)
        found += second.p(0.0) < stats.level(S) and second.mean > 0
    N, S = np.array(told).T
    low, middle, high = np.quantile(N, (0.1, 0.5, 0.9))
    spread = f"{middle:,.0f} ({low:,.0f}–{high:,.0f}) | {np.median(S):.0f}"
    return f"| {seeds} | {images:,} | {len(told) / studies:.2f} | {spread} | {found / len(told):.2f} |"


if __name__ == "__main__":
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print("| seeds | images | told a number | images asked for | seeds asked for | δ found |")
    print("| --: | --: | --: | --: | --: | --: |")
    for world in WORLDS:
        print(simulate(studies, world), flush=True)
