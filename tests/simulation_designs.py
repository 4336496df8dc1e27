"""Simulated screens and ladders with a known truth: are verdicts right, and what do screens save?

    python tests/simulation_designs.py --studies 4000

Arms and images are those of ``simulation.py``; a screen's factors add up in logits. Many studies are judged
at once: the same formulas as the package's, for arrays of studies, which a test holds against the package.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.special import expit
from simulation import DIFFICULTY, DRIVEN, IMAGES, Scenario

from bench import stats
from bench.study import screens

Doubles = NDArray[np.float64]
BATCH = 40
"""Studies in memory at once."""
ENOUGH = 0.8
"""Power that a planted effect is to be found with."""
SEEDS = (*range(3, 21), 22, 24, 26, 28, 30, 35, 40)


@dataclass(frozen=True)
class Design:
    """Arms, and what is compared of them."""

    runs: NDArray[np.int64]
    """(A, K) levels."""
    weights: Doubles
    """(C, A): the comparisons that are declared."""
    others: Doubles
    """(D, A): what else the arms tell, of noise alone."""
    independent: int | None = None
    """Comparisons that are not told by the others; None: no two share an arm's luck."""

    @classmethod
    def screen(cls, factors: int, resolution: int) -> Design:
        """Half of the arms against the other half; further contrasts: interactions that are told apart."""
        design = screens.runs(factors, resolution)
        columns = np.array([screens.signs(design, term) for term in screens.terms(factors)], dtype=float)
        every = np.unique(columns * columns[:, :1], axis=0)  # aliases are one
        main = columns[:factors] * 2 / len(design)
        others = [c for c in every if abs(columns[:factors] @ c).max() < 1e-9]
        return cls(np.array(design), main, np.array(others).reshape(-1, len(design)) * 2 / len(design))

    @classmethod
    def one_at_a_time(cls, factors: int) -> Design:
        """The baseline, and an arm for each factor."""
        return cls(
            np.vstack([np.zeros((1, factors), dtype=np.int64), np.eye(factors, dtype=np.int64)]),
            np.hstack([-np.ones((factors, 1)), np.eye(factors)]),
            np.zeros((0, factors + 1)),
            independent=factors,
        )

    @classmethod
    def ladder(cls, steps: int) -> Design:
        """Each arm has one factor more than the one before: every step, then further rungs less the first."""
        apart = np.eye(steps + 1)
        whole = apart[2:] - apart[0]
        return cls(
            np.tri(steps + 1, steps, -1, dtype=np.int64),
            np.vstack([apart[1:] - apart[:-1], whole]),
            np.zeros((0, steps + 1)),
            independent=steps,
        )


@dataclass(frozen=True)
class Parts:
    """Of every contrast of every study (B, C): its mean and the parts of its variance."""

    mean: Doubles
    seed: Doubles
    item: Doubles
    both: Doubles
    seeds: int
    items: int


def parts_of(x: Doubles) -> Parts:
    """x (B, C, S, N): contrasts by seed and image."""
    *_, S, N = x.shape
    rows, columns = x.mean(axis=-1), x.mean(axis=-2)
    mean = rows.mean(axis=-1)
    seed = np.square(rows - mean[..., None]).sum(axis=-1)
    item = np.square(columns - mean[..., None]).sum(axis=-1) / (N * (N - 1))
    left = np.square(x - columns[..., None, :]).sum(axis=(-1, -2)) - N * seed
    both = np.maximum(left, 0) / ((S - 1) * (N - 1) * S * N)
    return Parts(mean, seed / (S * (S - 1)), item, both, S, N)


def variances(p: Parts, seed: Doubles) -> tuple[Doubles, Doubles]:
    """V with that variance of seeds, and the seeds' share of it."""
    V = np.maximum(np.maximum(seed + p.item - p.both, seed), p.item)
    return V, np.where(V > 0, seed / np.where(V > 0, V, 1), 1)


def half_widths(p: Parts, seed: Doubles, freedom: Doubles, alpha: float | Doubles) -> Doubles:
    """q(α)·√V with that variance of seeds, and its degrees of freedom."""
    V, w = variances(p, seed)
    q = -w * special.stdtrit(freedom, np.asarray(alpha) / 2)
    q -= (1 - w) * special.stdtrit(p.items - 1, np.asarray(alpha) / 2)
    return np.asarray(q * np.sqrt(V))


@dataclass(frozen=True)
class Judged:
    """What many studies found of the declared comparisons (B, C)."""

    mean: Doubles
    half: Doubles
    """Of the 95 % interval that is printed."""
    side: NDArray[np.int64]
    """1 above 0, −1 below, 0 not known, after Holm."""


def judge(parts: Parts, declared: int, moderated: bool = True, independent: int | None = None) -> Judged:
    """Intervals, and Holm at 0; what stands after the declared comparisons only tells of noise.

    independent  as of a design
    """
    C = slice(declared)
    d = float(parts.seeds - 1)
    own, freedom = parts.seed, np.full_like(parts.seed, d)
    if moderated:
        orthogonal = independent is None
        shared = stats.prior(own * parts.seeds, freedom, independent, orthogonal=orthogonal)
        _, share = variances(parts, shared.variance[:, None] / parts.seeds)
        weight = 1.0 if orthogonal else np.square(share)
        s2, freedom = shared.shrink(own * parts.seeds, freedom, weight)
        deciding = s2 / parts.seeds
    else:
        deciding = own
    cut = Parts(parts.mean[:, C], own[:, C], parts.item[:, C], parts.both[:, C], parts.seeds, parts.items)
    level = stats.level(parts.seeds)
    half = np.maximum(
        half_widths(cut, cut.seed, np.full_like(cut.seed, d), 0.05),
        half_widths(cut, deciding[:, C], freedom[:, C], 0.05),
    )
    return Judged(cut.mean, half, _holm(cut, deciding[:, C], freedom[:, C], level))


def _holm(p: Parts, seed: Doubles, freedom: Doubles, level: float) -> NDArray[np.int64]:
    """p_(i) ≤ level/(K − i) one after another is q(level/(K − i))·√V ≤ |mean|, without any p."""
    K = p.mean.shape[1]
    side = np.zeros(p.mean.shape, dtype=np.int64)
    for _ in range(K):
        left = (side == 0).sum(axis=1, keepdims=True)
        beyond = np.abs(p.mean) > half_widths(p, seed, freedom, level / np.maximum(left, 1))
        new = beyond & (side == 0)
        if not new.any():
            break
        side = np.where(new, np.sign(p.mean).astype(np.int64), side)
    return side


def studies(
    scenario: Scenario, design: Design, middles: Doubles, count: int, seed: int
) -> Callable[[bool], Judged]:
    """Draw that many studies of arms with these mean logits (A,); how they are judged may be chosen after."""
    rng = np.random.default_rng(seed)
    over_seeds, own, _ = DRIVEN[scenario.driven]
    weights = np.vstack([design.weights, design.others])
    A, S = len(middles), scenario.seeds
    found = []
    for start in range(0, count, BATCH):
        B = min(BATCH, count - start)
        logits = middles[:, None] + DIFFICULTY * rng.standard_normal((B, 1, IMAGES))
        logits = logits + own * rng.standard_normal((B, A, IMAGES))
        luck = over_seeds * rng.standard_normal((B, A, S, 1))
        right = rng.random((B, A, S, IMAGES), dtype=np.float32) < expit(logits[:, :, None] + luck)
        x = (weights @ right.reshape(B, A, -1)).reshape(B, len(weights), S, IMAGES)
        found.append(parts_of(x))
    names = ("mean", "seed", "item", "both")
    parts = Parts(*(np.concatenate([getattr(one, name) for one in found]) for name in names), S, IMAGES)
    return lambda moderated: judge(parts, len(design.weights), moderated, design.independent)


@dataclass(frozen=True)
class Found:
    """What many screens of one kind found."""

    truth: float
    coverage: float
    error: float
    """Standard error of the coverage, studies counted."""
    false: float
    """Share of studies with a verdict on a comparison in which nothing changes."""
    false_before: float
    """The same without moderation."""
    power: float
    power_before: float


def simulate(scenario: Scenario, design: Design, effect: float, count: int, seed: int) -> Found:
    """The first factor adds ``effect`` logits, the others nothing."""
    middles = scenario.middle(scenario.accuracy) + effect * design.runs[:, 0]
    arms = np.array([scenario.truth(middle) for middle in middles])
    truth = design.weights @ arms
    judged = studies(scenario, design, middles, count, seed)
    now, before = judged(True), judged(False)
    covered = (np.abs(now.mean - truth) <= now.half).mean(axis=1)
    nothing = truth == 0
    return Found(
        truth=float(truth[0]),
        coverage=float(covered.mean()),
        error=float(covered.std(ddof=1) / np.sqrt(count)),
        false=float((now.side[:, nothing] != 0).any(axis=1).mean()),
        false_before=float((before.side[:, nothing] != 0).any(axis=1).mean()),
        power=float((now.side[:, 0] == np.sign(truth[0])).mean()),
        power_before=float((before.side[:, 0] == np.sign(truth[0])).mean()),
    )


def seeds_to_decide(scenario: Scenario, design: Design, effect: float, count: int) -> int | None:
    """Fewest seeds of ``SEEDS`` that find the planted effect four times in five."""
    for number, seeds in enumerate(SEEDS):
        one = Scenario(seeds, scenario.accuracy, scenario.driven, True)
        if simulate(one, design, effect, count, number).power >= ENOUGH:
            return seeds
    return None


SCREENS = ((4, 4), (7, 3))
"""Factors and resolution; both have eight arms."""
LADDERS = ((3, 0), (7, 0))
"""Steps."""
RESOLUTIONS = {4: "IV", 3: "III", 0: "ladder"}
PLANTED = {"seed": 0.6, "image": 0.35}
"""Logits that the first factor adds."""
SMALL = {"seed": (0.3, 0.45), "image": (0.2, 0.3)}
"""Those whose deciding is priced."""


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=400, help="studies per scenario  [default: 400]")
    parser.add_argument("--needed", action="store_true", help="only what an effect takes to be decided")
    options = parser.parse_args()
    if not options.needed:
        _print_found(options.studies)
    print(
        "\n| factors | driven by | effect, points | screen: seeds | trials | one at a time: seeds | trials |"
    )
    print("| --: | :-- | --: | --: | --: | --: | --: |")
    for (factors, resolution), driven in itertools.product(SCREENS, PLANTED):
        for effect in SMALL[driven]:
            _print_needed(Design.screen(factors, resolution), driven, effect, max(options.studies // 4, 50))


def _print_found(studies: int) -> None:
    """What screens find, and what they find that is not there."""
    print(
        "| factors | resolution | seeds | driven by | effect, points | coverage | false studies | before "
        "| found | before |\n| --: | :-- | --: | :-- | --: | --: | --: | --: | --: | --: |"
    )
    cases = itertools.product((*SCREENS, *LADDERS), (3, 5, 10), PLANTED, (0.0, 1.0))
    for number, ((factors, resolution), seeds, driven, planted) in enumerate(cases):
        design = Design.screen(factors, resolution) if resolution else Design.ladder(factors)
        effect = planted * PLANTED[driven]
        one = simulate(Scenario(seeds, 0.74, driven, True), design, effect, studies, number)
        ends = f"{one.power:.3f} | {one.power_before:.3f}" if planted else "– | –"
        of = f"{factors} | {RESOLUTIONS[resolution]} | {seeds} | {driven}s"
        print(
            f"| {of} | {100 * one.truth:+.2f} "
            f"| {one.coverage:.3f} ± {one.error:.3f} | {one.false:.3f} | {one.false_before:.3f} | {ends} |",
            flush=True,
        )


def _print_needed(screen: Design, driven: str, effect: float, count: int) -> None:
    scenario = Scenario(3, 0.74, driven, True)
    base = scenario.middle(scenario.accuracy)
    truth = 100 * (scenario.truth(base + effect) - scenario.truth(base))
    factors = len(screen.weights)
    designs = (screen, Design.one_at_a_time(factors))
    needed = [seeds_to_decide(scenario, design, effect, count) for design in designs]
    told = [
        f"{seeds} | {seeds * len(design.runs)}" if seeds else f"over {SEEDS[-1]} | –"
        for seeds, design in zip(needed, designs, strict=True)
    ]
    print(f"| {factors} | {driven}s | {truth:+.2f} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
