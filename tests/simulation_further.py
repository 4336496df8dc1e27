"""Thousands of studies whose baseline has more seeds than its arms: do intervals and verdicts hold?

    python tests/simulation_further.py --studies 4000

Seeds alone, which is where it matters; every study is judged as a report does with the pairs alone, and with
the baseline's further seeds. ``tests/stats/test_further.py`` judges some by ``bench.stats``, one at a time.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special
from simulation_shared import Doubles, Sure, _noise, beyond, holm, share_of, spelled

from bench import stats

BASELINE = 10
"""Its seeds."""


@dataclass(frozen=True)
class Paired:
    """A kind of study: an arm's seeds have sd 1."""

    seeds: int
    arms: int
    correlation: float
    baseline: float = 1.0
    """Its sd over seeds."""
    noise: str = "normal"
    near: bool = False
    """The first arm follows the baseline at .9, whatever the others do."""


class Drawn(NamedTuple):
    """Scores of many studies."""

    arms: Doubles
    """(studies, arms, S)."""
    baseline: Doubles
    """(studies, BASELINE), of which the first S are paired."""


def draw(kind: Paired, studies: int, rng: np.random.Generator) -> Drawn:
    """Arms that all are the baseline's equals."""
    r = np.full((kind.arms, 1), kind.correlation)
    r[0] = 0.9 if kind.near else kind.correlation
    common = _noise(kind.noise, (studies, 1, BASELINE), rng)
    own = _noise(kind.noise, (studies, kind.arms, kind.seeds), rng)
    return Drawn(r * common[..., : kind.seeds] + np.sqrt(1 - r**2) * own, kind.baseline * common[:, 0])


class Compared(NamedTuple):
    """(studies, arms) each."""

    mean: Doubles
    variance: Doubles
    """V_seed."""
    freedom: Doubles


def of_pairs(drawn: Drawn) -> Compared:
    """Paired differences."""
    S = drawn.arms.shape[-1]
    d = drawn.arms - drawn.baseline[:, None, :S]
    return Compared(d.mean(axis=-1), d.var(axis=-1, ddof=1) / S, np.full(d.shape[:2], S - 1.0))


def with_further(drawn: Drawn) -> Compared:
    """``stats.slope`` and ``stats.with_further`` of many studies."""
    S, M = drawn.arms.shape[-1], drawn.baseline.shape[-1]
    every, paired = drawn.baseline[:, None, :], drawn.baseline[:, None, :S]
    apart = paired - paired.mean(axis=-1, keepdims=True)

    def covariance(x: Doubles) -> Doubles:
        return np.asarray((x * apart).sum(axis=-1) / (S - 1))

    follows = covariance(drawn.arms).sum(axis=-1, keepdims=True)
    slope = np.clip(follows / covariance(paired) / drawn.arms.shape[1], 0, 1)
    rest = drawn.arms - slope[..., None] * paired
    known = (1 - slope) ** 2 * every.var(axis=-1, ddof=1) / M
    seeds = rest.var(axis=-1, ddof=1) / S + np.maximum(0, -2 * (1 - slope) * covariance(rest) / M)
    freedom = (seeds + known) / (seeds / (S - 1) + known / (M - 1))
    mean = rest.mean(axis=-1) - (1 - slope) * every.mean(axis=-1)
    return Compared(mean, seeds + known, freedom)


def row(kind: Paired, studies: int, seed: int) -> str:
    """Coverage, false studies and sd of the difference, of pairs → with further seeds; and power."""
    rng = np.random.default_rng(seed)
    cells = []
    effect = 1.2 * math.sqrt(2) * -special.stdtrit(kind.seeds - 1, 0.025) / math.sqrt(kind.seeds)
    drawn, also = draw(kind, studies, rng), draw(kind, studies, rng)
    for rule in (of_pairs, with_further):
        covered, rejected = judged(rule(drawn), kind, 0.0)
        _, found = judged(rule(also), kind, effect)
        false, coverage = share_of(rejected.any(axis=-1)), share_of(covered.mean(axis=-1))
        spread, power = rule(drawn).mean.std(), found[:, 0].mean()
        cells.append((f"{spread:.2f}", spelled(*coverage), spelled(*false), f"{power:.2f}"))
    correlation = f"{kind.correlation:g}{', one .9' * kind.near}"
    name = f"{kind.noise} | {kind.seeds} | {kind.arms} | {correlation} | {kind.baseline:g}"
    return f"| {name} | " + " | ".join(" → ".join(pair) for pair in zip(*cells, strict=True)) + " |"


def judged(compared: Compared, kind: Paired, effect: float) -> tuple[Doubles, Doubles]:
    """Whether each printed interval holds the truth, and whether each difference is told from 0."""
    mean, V, own = compared
    truth = np.where(np.arange(kind.arms) == 0, effect, 0.0)
    s2, freedom = stats.prior(V * kind.seeds, own).shrink(V * kind.seeds, own)
    before, sure = (
        Sure(np.sqrt(v), np.ones(V.shape), d, 2) for v, d in ((V, own), (s2 / kind.seeds, freedom))
    )
    width = np.maximum(before.quantile(0.05) * before.error, sure.quantile(0.05) * sure.error)
    far = beyond(np.abs(mean + truth), sure, stats.level(kind.seeds))
    return np.abs(mean) <= width, holm(far, kind.arms)


def kinds() -> list[Paired]:
    """Those of docs/method.md."""
    plain = [Paired(*parts) for parts in itertools.product((3, 5), (3, 7), (0.0, 0.5, 0.95))]
    odd = [Paired(S, 7, 0.0, near=True) for S in (3, 5)] + [Paired(S, 7, 0.3, baseline=3) for S in (3, 5)]
    return [*plain, *odd, *(Paired(S, 7, 0.0, noise="t3") for S in (3, 5))]


def main() -> None:
    """Print the table of docs/method.md in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=4000, help="studies per world  [default: 4000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    head = "seeds drawn from | seeds | arms | correlation | baseline's sd | sd of a difference | coverage"
    print(f"| {head} | false studies | found |\n| :-- |" + " --: |" * 8)
    for place, kind in enumerate(kinds()):
        print(row(kind, options.studies, options.seed + place), flush=True)


if __name__ == "__main__":
    main()
