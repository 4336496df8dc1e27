"""Simulated studies with a known truth: do intervals cover it, do equal arms stay equal, is an effect found?

    python tests/simulation.py --studies 500

An image of an arm is right with probability expit(m + image + arm's image + arm's patient + arm's seed), all
but m drawn from normal distributions: how hard the image is, what this arm finds hard, image by image and
patient by patient, how lucky the seed was. An arm's true accuracy is the mean over all images, patients and
seeds there might be, found by quadrature.

A second table is about seeds that are marked for having learned little: they gave one answer to every image.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from bench import stats
from bench.tune import space

IMAGES = 1000
ARMS = 10
"""Beside the baseline."""
DIFFICULTY = 2.0
"""Sd over images of what every arm finds hard, in logits."""
DRIVEN = {"seed": (0.25, 0.15, 0.0), "image": (0.05, 1.0, 0.0), "patient": (0.05, 1.0, 1.0)}
"""What differences come from → sd over seeds, over an arm's own images, over its own patients, in logits."""
UNEVEN = 1.0
"""Sd of the logarithm of a patient's number of images, where patients differ in it."""
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
    patients: int | None = None
    """Who the images are of; None: every image stands alone."""
    uneven: bool = False
    """Patients have different numbers of images."""

    @property
    def spread(self) -> float:
        """Sd of an answer's logit over images, patients and seeds."""
        return math.sqrt(DIFFICULTY**2 + sum(sd**2 for sd in DRIVEN[self.driven]))

    def truth(self, middle: float) -> float:
        """Expected accuracy of an arm whose logits have that mean."""
        return float(WEIGHTS @ expit(middle + self.spread * NODES) / WEIGHTS.sum())

    def middle(self, accuracy: float) -> float:
        """Mean logit of an arm with that expected accuracy."""
        return float(brentq(lambda m: self.truth(m) - accuracy, -30, 30))

    def patient_of(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The patient of each image (N,)."""
        if self.patients is None:
            return np.arange(IMAGES)
        every = np.arange(self.patients)
        share = rng.lognormal(0, UNEVEN, self.patients) if self.uneven else np.ones(self.patients)
        more = rng.choice(every, IMAGES - self.patients, p=share / share.sum())
        return np.sort(np.concatenate([every, more])) if self.uneven else np.arange(IMAGES) % self.patients


@dataclass(frozen=True)
class Found:
    """What many studies of one scenario found."""

    coverage: float
    """Share of 95 % intervals that hold the true difference."""
    error: float
    """Standard error of that share; a study's intervals have a baseline in common, so studies are counted."""
    false_studies: float
    """Share of studies that call any of ten equal arms better or worse."""
    power: float
    """Share of studies that find the effect."""
    predicted: float
    """What the formula says it should be."""
    truth: float
    by_image: float
    """Coverage, were every image taken as an item of its own."""


def simulate(scenario: Scenario, studies: int, seed: int) -> Found:
    """Draw that many studies and judge each as a report does."""
    rng = np.random.default_rng(seed)
    base = scenario.middle(scenario.accuracy)
    if not scenario.effect:
        judged = [_study(scenario, [base] * (ARMS + 1), rng) for _ in range(studies)]
        by_image = _by_image(judged, 0.0)
        return Found(*_coverage(judged, 0.0), _wrong(judged), math.nan, math.nan, 0.0, by_image)
    pilot = [one.interval for _ in range(40) for one in _study(scenario, [base] * 2, rng)]
    # Down from near the ceiling, up from below.
    sign = -1 if scenario.accuracy > 0.9 else 1
    truth = sign * stats.smallest_effect(_mean(pilot), stats.level(scenario.seeds))
    other = scenario.middle(min(max(scenario.accuracy + truth, 0.01), 0.999))
    truth = scenario.truth(other) - scenario.truth(base)
    judged = [_study(scenario, [base, other], rng) for _ in range(studies)]
    found = [one.judgement.zero == sign for study in judged for one in study]
    variances = _mean([one.interval for study in judged for one in study])
    expected = stats.power_of(variances, abs(truth), stats.level(scenario.seeds))
    power, by_image = float(np.mean(found)), _by_image(judged, truth)
    return Found(*_coverage(judged, truth), math.nan, power, expected, truth, by_image)


Answers = NDArray[np.float64]
"""(S, N): 1 where an answer is right."""
Patients = NDArray[np.int64]
"""(N,): whose image it is."""


class Compared(NamedTuple):
    """One arm against the first."""

    interval: stats.Interval
    judgement: stats.Judgement
    by_image: stats.Interval


Judged = list[Compared]


def _study(scenario: Scenario, middles: list[float], rng: np.random.Generator) -> Judged:
    """One study: every arm against the first, the declared comparisons being its family."""
    return _judge(scenario, *_answers(scenario, middles, rng))


def _answers(
    scenario: Scenario, middles: list[float], rng: np.random.Generator
) -> tuple[list[Answers], Patients]:
    """Of every arm, which answers are right; and whose images they are of."""
    over_seeds, own, over_patients = DRIVEN[scenario.driven]
    hard = DIFFICULTY * rng.standard_normal(IMAGES)
    patient = scenario.patient_of(rng)
    right = []
    for middle in middles:
        logits = middle + hard + own * rng.standard_normal(IMAGES)
        if scenario.patients is not None:
            logits += over_patients * rng.standard_normal(scenario.patients)[patient]
        luck = over_seeds * rng.standard_normal((scenario.seeds, 1))
        right.append((rng.random((scenario.seeds, IMAGES)) < expit(logits + luck)).astype(float))
    return right, patient


def _judge(
    scenario: Scenario,
    right: list[Answers],
    patient: Patients,
    without: tuple[bool, ...] = (),
    delta: float = 0.005,
) -> Judged:
    """As a report does; ``without``: of each comparison, whether it may have no verdict."""
    differences = [arm - right[0] for arm in right[1:]]
    by_image = [stats.two_way(d) for d in differences]
    intervals = by_image
    if scenario.patients is not None:
        rows = [np.stack([stats.by_group(row, patient) for row in d]) for d in differences]
        intervals = [stats.two_way(d) for d in rows]
    reasons = [
        stats.untestable(interval, scenario.seeds, _disagreements(d, patient)) or "withheld" * withheld
        for interval, d, withheld in zip(
            intervals, differences, without or [False] * len(differences), strict=True
        )
    ]
    telling = [None if reason else one for one, reason in zip(intervals, reasons, strict=True)]
    intervals = [lent or own for lent, own in zip(stats.moderate(telling), intervals, strict=True)]
    family = [stats.Hypothesis(one, delta, why) for one, why in zip(intervals, reasons, strict=True)]
    return [Compared(*parts) for parts in zip(intervals, stats.judge(family), by_image, strict=True)]


def _disagreements(d: NDArray[np.float64], patient: NDArray[np.int64]) -> int:
    """Items with an image on which the arms differ."""
    return len(np.unique(patient[(d != 0).any(axis=0)]))


def _coverage(judged: list[Judged], truth: float) -> tuple[float, float]:
    """Share of intervals that hold the truth, and its standard error over studies."""
    shares = [np.mean([one.interval.low <= truth <= one.interval.high for one in study]) for study in judged]
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / math.sqrt(len(shares)))


def _by_image(judged: list[Judged], truth: float) -> float:
    return float(np.mean([one.by_image.low <= truth <= one.by_image.high for s in judged for one in s]))


def _wrong(judged: list[Judged]) -> float:
    return float(np.mean([any(one.judgement.zero for one in study) for study in judged]))


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
        right, _ = _answers(scenario, [base] * (ARMS + 1), rng)
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
        return _judge(scenario, right, np.arange(IMAGES), tuple(without)), without
    judged = [
        one._replace(judgement=stats.settle(one.judgement, int(n), int(counts[0])))
        for one, n in zip(
            _judge(scenario, _with(right, marked, CHANCE), np.arange(IMAGES)), counts[1:], strict=True
        )
    ]
    return judged, [one.judgement.word == "unstable" for one in judged]


def _summary(found: list[tuple[Judged, list[bool]]], truths: list[float], few: int) -> Withheld:
    """few: arms from the first on that withheld verdicts and coverage are about"""
    wrong, covered = [], []
    for judged, without in found:
        sides = [one.judgement.zero for one in judged]
        wrong.append(any(side and side != np.sign(truth) for side, truth in zip(sides, truths, strict=True)))
        rows = list(zip(judged, without, truths, strict=True))[:few]
        covered += [
            one.interval.low <= truth <= one.interval.high for one, withheld, truth in rows if not withheld
        ]
    withheld = np.mean([without[:few] for _, without in found])
    return Withheld(float(np.mean(wrong)), float(withheld), float(np.mean(covered)))


VALIDATION = 444
"""Images that a candidate is judged by: those of the reference studies."""
CANDIDATES = 12
BEST_LOCAL, FALL_LOCAL = 0.95, 0.32
"""Local accuracy at the best setting; its fall over the squared distance: 2 points for a quarter range."""
FALL_HIDDEN, APART = 0.64, 0.1
"""The same of hidden accuracy; sd over studies of the distance between the two best settings."""
CHOOSES = ("the same settings in both", "candidates", "3 finalists × 4 seeds")


def search_luck(scenario: Scenario, chooses: str, studies: int, seed: int) -> float:
    """Share of studies in which the interval of two equal arms, each tuned for itself, excludes zero.

    Both arms have the same curves of accuracy over their candidates; what they get differs by luck alone.
    """
    rng = np.random.default_rng(seed)
    wrong = 0
    for study in range(studies):
        at = np.array(space.points(CANDIDATES, space.FIRST, study))
        best = rng.uniform(0.2, 0.8)
        local = np.maximum(BEST_LOCAL - FALL_LOCAL * (at - best) ** 2, CHANCE)
        away = (at - best - APART * rng.standard_normal()) ** 2
        hidden = np.maximum(scenario.accuracy - FALL_HIDDEN * away, CHANCE)
        picks = [_pick(local, chooses, scenario, rng) for _ in range(2)]
        if chooses == CHOOSES[0]:
            picks[1] = picks[0]
        ((one,),) = [_study(scenario, [scenario.middle(hidden[pick]) for pick in picks], rng)]
        wrong += not one.interval.low <= 0 <= one.interval.high
    return wrong / studies


def _pick(local: NDArray[np.float64], chooses: str, scenario: Scenario, rng: np.random.Generator) -> int:
    """The candidate that a search chooses by validation."""
    luck = DRIVEN[scenario.driven][0]

    def scores(of: NDArray[np.int64], seeds: int) -> NDArray[np.float64]:
        logits = logit(local[of]) + luck * rng.standard_normal((seeds, len(of)))
        return rng.binomial(VALIDATION, expit(logits)).mean(axis=0)

    by_one = np.argsort(-scores(np.arange(len(local)), 1), kind="stable")
    if chooses != CHOOSES[2]:
        return int(by_one[0])
    finalists = by_one[:3]
    return int(finalists[np.argmax(scores(finalists, 4))])


def scenarios() -> list[Scenario]:
    """Every image stands alone."""
    return [
        Scenario(*parts)
        for parts in itertools.product((3, 5), (0.98, 0.74), ("seed", "image"), (False, True))
    ]


def patient_scenarios() -> list[Scenario]:
    """Images of few patients, on whom arms differ."""
    return [
        Scenario(5, 0.74, "patient", effect, patients, uneven)
        for patients, uneven, effect in itertools.product((10, 30, 100), (False, True), (False, True))
    ]


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500, help="studies per scenario  [default: 500]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patients", action="store_true", help="only the worlds of patients")
    parser.add_argument("--search", action="store_true", help="only equal arms that are tuned apart")
    options = parser.parse_args()
    if options.search:
        _print_search_luck(options.studies, options.seed)
        return
    if not options.patients:
        print(
            "| seeds | accuracy | driven by | effect, points | coverage | false studies | found | predicted |"
        )
        print("| --: | --: | :-- | --: | --: | --: | --: | --: |")
    for number, scenario in enumerate([] if options.patients else scenarios()):
        found = simulate(scenario, options.studies, options.seed + number)
        print(
            f"| {scenario.seeds} | {scenario.accuracy:.2f} | {scenario.driven}s | {100 * found.truth:+.2f} "
            f"| {found.coverage:.3f} ± {found.error:.3f} | {_ends(scenario, found)} |",
            flush=True,
        )
    print(
        "\n| patients | images of each | effect, points | coverage by image | by patient | false studies",
        end="",
    )
    print(" | found | predicted |\n| --: | :-- | --: | --: | --: | --: | --: | --: |")
    for number, scenario in enumerate(patient_scenarios()):
        found = simulate(scenario, options.studies, options.seed + number)
        print(
            f"| {scenario.patients} | {'uneven' if scenario.uneven else 'equal'} | {100 * found.truth:+.2f} "
            f"| {found.by_image:.3f} | {found.coverage:.3f} ± {found.error:.3f} | {_ends(scenario, found)} |",
            flush=True,
        )
    print("\n| seeds | marked | scored | false studies | withheld | coverage |")
    print("| --: | :-- | :-- | --: | --: | --: |")
    for number, (seeds, where) in enumerate(itertools.product((3, 5), MARKED)):
        for rule, of in collapse(seeds, where, options.studies, options.seed + number).items():
            row = f"{of.false_studies:.3f} | {of.withheld:.3f} | {of.coverage:.3f}"
            print(f"| {seeds} | {where} | {rule} | {row} |", flush=True)


def _print_search_luck(studies: int, seed: int) -> None:
    print("\n| driven by | chosen by | excludes zero |\n| :-- | :-- | --: |")
    for driven, chooses in itertools.product(("seed", "image"), CHOOSES):
        scenario = Scenario(5, 0.74, driven, effect=False)
        print(f"| {driven}s | {chooses} | {search_luck(scenario, chooses, studies, seed):.4f} |", flush=True)


def _ends(scenario: Scenario, found: Found) -> str:
    """The last three cells of a row."""
    if scenario.effect:
        return f"– | {found.power:.3f} | {found.predicted:.3f}"
    return f"{found.false_studies:.3f} | – | –"


if __name__ == "__main__":
    main()
