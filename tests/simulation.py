"""Simulated studies with a known truth: do intervals cover it, do equal arms stay equal, is an effect found?

    python tests/simulation.py --studies 500

An image of an arm is right with probability expit(m + image + arm's image + arm's seed), the last three drawn
from normal distributions: how hard the image is, what this arm finds hard, how lucky the seed was. An arm's
true accuracy is the mean over all images and seeds there might be, found by quadrature.

A second table is about seeds that are marked for having learned little: they gave one answer to every image.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from bench import stats

IMAGES = 1000
ARMS = 10
"""Beside the baseline."""
DIFFICULTY = 2.0
"""Sd over images of what every arm finds hard, in logits."""
DRIVEN = {"seed": (0.25, 0.15), "image": (0.05, 1.0)}
"""What differences between arms come from → sd over seeds, sd over an arm's own images, in logits."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
COLLAPSES = 0.1
"""Share of seeds that collapse, in an arm where they do."""
CONSTANT = 0.2
"""Share of images for which the one answer of a collapsed seed is right."""
CHANCE = 1 / 8


@dataclass(frozen=True)
class Scenario:
    """One kind of world."""

    seeds: int
    accuracy: float
    driven: str
    effect: bool
    """One arm differs from the baseline by what it takes to find it 4 times in 5."""

    @property
    def spread(self) -> float:
        """Sd of an answer's logit over images and seeds."""
        over_seeds, own = DRIVEN[self.driven]
        return math.sqrt(DIFFICULTY**2 + over_seeds**2 + own**2)

    def truth(self, middle: float) -> float:
        """Expected accuracy of an arm whose logits have that mean."""
        return float(WEIGHTS @ expit(middle + self.spread * NODES) / WEIGHTS.sum())

    def middle(self, accuracy: float) -> float:
        """Mean logit of an arm with that expected accuracy."""
        return float(brentq(lambda m: self.truth(m) - accuracy, -30, 30))


@dataclass(frozen=True)
class Found:
    """What many studies of one scenario found."""

    coverage: float
    """Share of 95 % intervals that hold the true difference."""
    false_studies: float
    """Share of studies that call any of ten equal arms better or worse."""
    power: float
    """Share of studies that find the effect."""
    predicted: float
    """What the formula says it should be."""
    truth: float


def simulate(scenario: Scenario, studies: int, seed: int) -> Found:
    """Draw that many studies and judge each as a report does."""
    rng = np.random.default_rng(seed)
    base = scenario.middle(scenario.accuracy)
    if not scenario.effect:
        judged = [_study(scenario, [base] * (ARMS + 1), rng) for _ in range(studies)]
        return Found(_coverage(judged, 0.0), _wrong(judged), math.nan, math.nan, 0.0)
    pilot = [interval for _ in range(40) for interval, _ in _study(scenario, [base] * 2, rng)]
    # Down from near the ceiling, up from below.
    sign = -1 if scenario.accuracy > 0.9 else 1
    truth = sign * stats.smallest_effect(_mean(pilot), stats.level(scenario.seeds))
    other = scenario.middle(min(max(scenario.accuracy + truth, 0.01), 0.999))
    truth = scenario.truth(other) - scenario.truth(base)
    judged = [_study(scenario, [base, other], rng) for _ in range(studies)]
    found = [judgement.zero == sign for study in judged for _, judgement in study]
    variances = _mean([interval for study in judged for interval, _ in study])
    expected = stats.power_of(variances, abs(truth), stats.level(scenario.seeds))
    return Found(_coverage(judged, truth), math.nan, float(np.mean(found)), expected, truth)


Answers = NDArray[np.float64]
"""(S, N): 1 where an answer is right."""
Judged = list[tuple[stats.Interval, stats.Judgement]]


def _study(scenario: Scenario, middles: list[float], rng: np.random.Generator) -> Judged:
    """One study: every arm against the first, the declared comparisons being its family."""
    return _judge(scenario, _answers(scenario, middles, rng))


def _answers(scenario: Scenario, middles: list[float], rng: np.random.Generator) -> list[Answers]:
    """Of every arm, which answers are right."""
    over_seeds, own = DRIVEN[scenario.driven]
    hard = DIFFICULTY * rng.standard_normal(IMAGES)
    right = []
    for middle in middles:
        logits = middle + hard + own * rng.standard_normal(IMAGES)
        luck = over_seeds * rng.standard_normal((scenario.seeds, 1))
        right.append((rng.random((scenario.seeds, IMAGES)) < expit(logits + luck)).astype(float))
    return right


def _judge(scenario: Scenario, right: list[Answers], without: tuple[bool, ...] = ()) -> Judged:
    """As a report does; ``without``: of each comparison, whether it may have no verdict."""
    differences = [arm - right[0] for arm in right[1:]]
    intervals = [stats.two_way(d) for d in differences]
    family = [
        stats.Hypothesis(
            interval,
            0.005,
            stats.untestable(interval, scenario.seeds, _disagreements(d)) or "withheld" * withheld,
        )
        for interval, d, withheld in zip(
            intervals, differences, without or [False] * len(differences), strict=True
        )
    ]
    return list(zip(intervals, stats.judge(family), strict=True))


def _disagreements(d: NDArray[np.float64]) -> int:
    return int((d != 0).any(axis=0).sum())


def _coverage(judged: list[Judged], truth: float) -> float:
    return float(np.mean([i.low <= truth <= i.high for study in judged for i, _ in study]))


def _wrong(judged: list[Judged]) -> float:
    return float(np.mean([any(judgement.zero for _, judgement in study) for study in judged]))


def _mean(intervals: list[stats.Interval]) -> stats.Interval:
    """An interval with the mean of the variances."""
    names = ("seed_variance", "item_variance", "interaction")
    means = {name: float(np.mean([getattr(one, name) for one in intervals])) for name in names}
    return replace(intervals[0], mean=0.0, **means)


@dataclass(frozen=True)
class Withheld:
    """What many studies found of arms with marked seeds, under one rule."""

    false_studies: float
    """Share of studies with a verdict on the wrong side."""
    withheld: float
    """Share of the marked arms' comparisons without a verdict because of that."""
    coverage: float
    """Share of their 95 % intervals that hold the true difference, of those that may have a verdict."""


RULES = ("as chance", "as they are", "as they are, unstable")
MARKED = ("every arm", "one arm of ten", "the baseline, in error")
"""Where seeds collapse, one in ten; in error: every seed is marked, and none has collapsed."""


def collapse(seeds: int, where: str, studies: int, seed: int) -> dict[str, Withheld]:
    """Ten arms beside a baseline that is their equal, until a seed collapses; each rule judges the same.

    ``as chance``: a marked seed scores 1/8 on every image, and then only a verdict against the arm with more
    of them stands. ``as they are``: the mark changes nothing. ``unstable``: nor does it change a score, but
    arms with marked seeds and others get no verdict.
    """
    rng = np.random.default_rng(seed)
    scenario = Scenario(seeds, 0.74, "seed", False)
    base = scenario.middle(scenario.accuracy)
    lost = COLLAPSES * (scenario.accuracy - CONSTANT)
    truths = [-lost if where == MARKED[1] and arm == 0 else 0.0 for arm in range(ARMS)]
    found: dict[str, list[tuple[Judged, list[bool]]]] = {rule: [] for rule in RULES}
    for _ in range(studies):
        right = _answers(scenario, [base] * (ARMS + 1), rng)
        marked = rng.random((ARMS + 1, seeds)) < COLLAPSES
        if where == MARKED[1]:
            marked[[0, *range(2, ARMS + 1)]] = False
        elif where == MARKED[2]:
            marked[:] = np.arange(ARMS + 1)[:, None] == 0
        else:
            assert where == MARKED[0]
        if where != MARKED[2]:
            right = _with(right, marked, np.arange(IMAGES) < CONSTANT * IMAGES)
        for rule in RULES:
            found[rule].append(_by_rule(rule, scenario, right, marked))
    few = 1 if where == MARKED[1] else ARMS
    return {rule: _summary(studies, truths, few) for rule, studies in found.items()}


def _with(right: list[Answers], marked: NDArray[np.bool_], said: NDArray[np.bool_] | float) -> list[Answers]:
    return [np.where(down[:, None], said, arm) for arm, down in zip(right, marked, strict=True)]


def _by_rule(
    rule: str, scenario: Scenario, right: list[Answers], marked: NDArray[np.bool_]
) -> tuple[Judged, list[bool]]:
    """One study by one rule, and which of its comparisons have no verdict for a mark."""
    counts, mixed = marked.sum(axis=1), marked.any(axis=1) & ~marked.all(axis=1)
    if rule != "as chance":
        without = [bool(rule == RULES[2] and (mixed[0] or one)) for one in mixed[1:]]
        return _judge(scenario, right, tuple(without)), without
    judged = [
        (interval, stats.settle(judgement, int(n), int(counts[0])))
        for (interval, judgement), n in zip(
            _judge(scenario, _with(right, marked, CHANCE)), counts[1:], strict=True
        )
    ]
    return judged, [judgement.word == "unstable" for _, judgement in judged]


def _summary(found: list[tuple[Judged, list[bool]]], truths: list[float], few: int) -> Withheld:
    """few: arms from the first on that withheld verdicts and coverage are about"""
    wrong, covered = [], []
    for judged, without in found:
        sides = [judgement.zero for _, judgement in judged]
        wrong.append(any(side and side != np.sign(truth) for side, truth in zip(sides, truths, strict=True)))
        rows = list(zip(judged, without, truths, strict=True))[:few]
        covered += [i.low <= truth <= i.high for (i, _), withheld, truth in rows if not withheld]
    withheld = np.mean([without[:few] for _, without in found])
    return Withheld(float(np.mean(wrong)), float(withheld), float(np.mean(covered)))


def scenarios() -> list[Scenario]:
    """All of them."""
    return [Scenario(*parts) for parts in itertools.product((3, 5), (0.98, 0.74), DRIVEN, (False, True))]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500, help="studies per scenario  [default: 500]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| seeds | accuracy | driven by | effect, points | coverage | false studies | found | predicted |")
    print("| --: | --: | :-- | --: | --: | --: | --: | --: |")
    for number, scenario in enumerate(scenarios()):
        found = simulate(scenario, options.studies, options.seed + number)
        false = "–" if scenario.effect else f"{found.false_studies:.3f}"
        power = f"{found.power:.3f} | {found.predicted:.3f}" if scenario.effect else "– | –"
        print(
            f"| {scenario.seeds} | {scenario.accuracy:.2f} | {scenario.driven}s | {100 * found.truth:+.2f} "
            f"| {found.coverage:.3f} | {false} | {power} |",
            flush=True,
        )
    print("\n| seeds | marked | scored | false studies | withheld | coverage |")
    print("| --: | :-- | :-- | --: | --: | --: |")
    for number, (seeds, where) in enumerate(itertools.product((3, 5), MARKED)):
        for rule, of in collapse(seeds, where, options.studies, options.seed + number).items():
            row = f"{of.false_studies:.3f} | {of.withheld:.3f} | {of.coverage:.3f}"
            print(f"| {seeds} | {where} | {rule} | {row} |", flush=True)


if __name__ == "__main__":
    main()
