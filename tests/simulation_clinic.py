"""Simulated studies of two arms with a known truth, on scores of the clinic: do intervals cover it?

    python tests/simulation_clinic.py --studies 4000

An image's score in an arm is its side (0, or the arm's skill) + what is hard in the image for every arm +
what this arm, and this run of it, finds hard in it + the seed's luck, all but the first normal; above 0.8 it
is called positive. Grades are the same with four steps. The truth is that of a million images.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import stats
from bench.metrics.clinic import Answers, Clinical
from bench.registry import metrics

SEEDS = 5
IMAGE, OWN, RUN, SEED = 0.7, 0.4, 0.5, 0.12
"""Sd over images, over an arm's own images, over images of one run, over seeds."""
SKILL, BETTER = 1.6, 2.0
"""Of the first arm; of the second, where there is an effect."""
SCORES = (
    "sensitivity(1)",
    "specificity(1)",
    "sensitivity(1, specificity = 0.9)",
    "specificity(1, sensitivity = 0.9)",
    "ppv(1)",
    "ppv(1, prevalence = 0.02)",
    "npv(1, prevalence = 0.02)",
    "roc_auc(1)",
    "quadratic_kappa",
)
SIZES = ((30, 150), (60, 240), (200, 800))
"""Positive and other images."""


@dataclass(frozen=True)
class Found:
    """What many studies found."""

    coverage: float
    """Share of 95 % intervals that hold the true difference."""
    width: float
    """Median width, points."""
    arm: float
    """Share of intervals of the first arm's own value that hold it."""


def simulate(
    sizes: tuple[int, int],
    effect: bool,
    studies: int,
    seed: int,
    scores: tuple[str, ...] = SCORES,
    images: int = 1_000_000,
) -> dict[str, Found]:
    """Draw that many studies and make each score's interval as a report does.

    images   that the truth is taken from
    """
    rng = np.random.default_rng(seed)
    skills = (SKILL, BETTER if effect else SKILL)
    asked: dict[str, Clinical] = {score: metrics[score].build({}) for score in scores}
    truths = {
        score: [_truth(score, one, skill, sizes, images) for skill in skills] for score, one in asked.items()
    }
    hit: dict[str, list[tuple[bool, float, bool]]] = {score: [] for score in scores}
    for _ in range(studies):
        arms = _study(skills, sizes, rng)
        items = np.arange(sum(sizes))
        for score, one in asked.items():
            rows = [[one.items(answers, items) for answers in arm] for arm in arms]
            if any(row is None for arm in rows for row in arm):
                continue  # told without an interval
            first, second = (np.stack(arm) for arm in rows)  # type: ignore[arg-type]
            between, alone = stats.two_way(second - first), stats.two_way(first)
            truth = truths[score]
            covered = between.low <= truth[1] - truth[0] <= between.high
            hit[score].append((covered, between.high - between.low, alone.low <= truth[0] <= alone.high))
    return {score: _summary(of) for score, of in hit.items()}


def _summary(of: list[tuple[bool, float, bool]]) -> Found:
    covered, widths, alone = zip(*of, strict=True)
    return Found(float(np.mean(covered)), 100 * float(np.median(widths)), float(np.mean(alone)))


def _study(
    skills: tuple[float, ...], sizes: tuple[int, int], rng: np.random.Generator
) -> list[list[Answers]]:
    """Of every arm, what each seed says of the same images."""
    truth = np.arange(sum(sizes)) < sizes[0]
    grades = np.arange(sum(sizes)) % 4
    hard = IMAGE * rng.standard_normal((2, len(truth)))
    arms = []
    for skill in skills:
        own = hard + OWN * rng.standard_normal(hard.shape)
        noise = RUN * rng.standard_normal((SEEDS, *hard.shape)) + SEED * rng.standard_normal((SEEDS, 2, 1))
        arms.append([_said(truth, grades, skill, own + each) for each in noise])
    return arms


def _said(truth: NDArray[np.bool_], grades: NDArray[np.int64], skill: float, apart: NDArray[Any]) -> Answers:
    """apart   (2, N): how far an image's score, and its grade, are from where its side is"""
    score = truth * skill + apart[0]
    called = np.clip(np.rint(grades + 1.6 * apart[1] / skill), 0, 3).astype(np.int64)
    return Answers(truth, score > 0.8, score, grades, called)


def _truth(score: str, one: Clinical, skill: float, sizes: tuple[int, int], images: int) -> float:
    """The expected value, for images as mixed as ``sizes``."""
    rng = np.random.default_rng(len(score))
    positives = round(images * sizes[0] / sum(sizes))
    sd = np.sqrt(IMAGE**2 + OWN**2 + RUN**2)
    apart = sd * rng.standard_normal((2, images))
    # A seed moves all images at once: neither their order nor a level reached in each seed notices.
    if not score.startswith("roc_auc") and "sensitivity =" not in score and "specificity =" not in score:
        apart = apart + SEED * rng.standard_normal((2, images))
    said = _said(np.arange(images) < positives, np.arange(images) % 4, skill, apart)
    return one.score(said)


def main() -> None:
    """A line for each world and score."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500)
    studies = parser.parse_args().studies
    for number, (sizes, effect) in enumerate((s, e) for s in SIZES for e in (False, True)):
        for score, found in simulate(sizes, effect, studies, seed=number).items():
            cells = [f"{sizes[0]} of {sum(sizes)}", "effect" if effect else "equal", score]
            numbers = f"{found.coverage:.3f} | {found.width:.1f} | {found.arm:.3f}"
            print(" | ".join([*cells, numbers]), flush=True)


if __name__ == "__main__":
    main()
