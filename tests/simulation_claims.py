"""Simulated claims that nothing changes, and sets that were not declared to decide: how often are they wrong?

    python tests/simulation_claims.py --studies 2000

The worlds are those of ``simulation.py``; all arms of a study are as far from the baseline.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from simulation import Scenario, _answers, _judge, _mean, _study

from bench import stats


@dataclass(frozen=True)
class Expected:
    """What many studies of a few arms, all as far from the baseline, found of claims about each."""

    no_gain: float
    """Share of claims that are borne out."""
    no_difference: float
    refuted: float
    """Of the latter."""
    alone: float
    """Share of studies with an arm whose own interval excludes 0."""
    holm: float
    """The same, corrected over the arms of the set."""
    false_studies: float
    """Share of studies with a "no difference" borne out although it is δ, or refuted although it is none."""


TRUTHS = (-1, 0, 1)
"""Differences of the arms, in δ."""
FEW_ARMS = 4


def expect(scenario: Scenario, truth: int, studies: int, seed: int) -> Expected:
    """δ is twice what such a study finds four times in five, so that its absence can be shown."""
    rng = np.random.default_rng(seed)
    base = scenario.middle(scenario.accuracy)
    pilot = [one.interval for _ in range(40) for one in _study(scenario, [base] * 2, rng)]
    delta = 2 * stats.smallest_effect(_mean(pilot), stats.level(scenario.seeds), FEW_ARMS)
    other = scenario.middle(scenario.accuracy + truth * delta)
    found = []
    for _ in range(studies):
        right, patient = _answers(scenario, [base, *[other] * FEW_ARMS], rng)
        found.append([one.judgement for one in _judge(scenario, right, patient, (), delta)])

    def said(expected: str, outcome: str) -> NDArray[np.bool_]:
        return np.array([[stats.claim_outcome(expected, one) == outcome for one in s] for s in found])

    wrong = said("no difference", "supported" if truth else "refuted")
    return Expected(
        no_gain=float(said("no gain", "supported").mean()),
        no_difference=float(said("no difference", "supported").mean()),
        refuted=float(said("no difference", "refuted").mean()),
        alone=float(np.mean([any(one.alone and one.alone[0] for one in study) for study in found])),
        holm=float(np.mean([any(one.zero for one in study) for study in found])),
        false_studies=float(wrong.any(axis=1).mean()),
    )


def expected_scenarios() -> list[tuple[Scenario, int]]:
    """Where claims that nothing changes are tried; with three seeds no score has room for such a δ."""
    worlds = itertools.product((5, 10), ("seed", "image"), TRUTHS)
    return [(Scenario(seeds, 0.74, driven, bool(truth)), truth) for seeds, driven, truth in worlds]


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500, help="studies per scenario  [default: 500]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| seeds | driven by | truth | no gain | no difference | refuted | false studies | alone | Holm |")
    print("| --: | :-- | --: | --: | --: | --: | --: | --: | --: |")
    for number, (scenario, truth) in enumerate(expected_scenarios()):
        of = expect(scenario, truth, options.studies, options.seed + number)
        shares = (of.no_gain, of.no_difference, of.refuted, of.false_studies, of.alone, of.holm)
        cells = " | ".join(f"{share:.3f}" for share in shares)
        sign = {-1: "−δ", 0: "0", 1: "+δ"}[truth]
        print(f"| {scenario.seeds} | {scenario.driven}s | {sign} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
