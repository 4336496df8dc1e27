"""Two-level screens: which few of all combinations tell every main effect, and what they cannot tell apart.

Levels are 0 (the first, the recipe as it is) and 1. A generated factor is on where an odd number of its
letters is: so each fraction is the one that has the combination of all first levels, the baseline.
"""

from __future__ import annotations

import itertools
import math

LETTERS = "ABCDEFGHIJKLMNO"
MOST_FACTORS = len(LETTERS)
MOST_RUNS = 32

GENERATORS: dict[int, dict[int, str]] = {
    4: {
        4: "ABC",
        5: "ABCD",
        6: "ABC BCD",
        7: "ABC BCD ACD",
        8: "BCD ACD ABC ABD",
        9: "BCDE ACDE ABDE ABCE",
        10: "ABCD ABCE ABDE ACDE BCDE",
        11: "ABC BCD CDE ACD ADE BDE",
        12: "ABC ABD ABE ACD ACE ADE BCD",
        13: "ABC ABD ABE ACD ACE ADE BCD BCE",
        14: "ABC ABD ABE ACD ACE ADE BCD BCE BDE",
        15: "ABC ABD ABE ACD ACE ADE BCD BCE BDE CDE",
    },
    3: {
        3: "AB",
        5: "AB AC",
        6: "AB AC BC",
        7: "AB AC BC ABC",
        12: "ABC BCD ACD ABD ABCD AB AC AD",
        13: "ABC BCD ACD ABD ABCD AB AC AD BC",
        14: "ABC BCD ACD ABD ABCD AB AC AD BC BD",
        15: "ABC BCD ACD ABD ABCD AB AC AD BC BD CD",
    },
}
"""Resolution → factors → what the factors after the first ones are products of, for the fewest combinations.

Where resolution III asks for as many as IV, IV is taken; 8 to 11 factors at III are a Plackett–Burman design.
Source: Box, Hunter & Hunter 2005, Statistics for Experimenters, table 6.22; IV of 9 factors and more: NIST,
Dataplot, DEXRES4 (minimal sample size resolution-4 designs).
"""

PLACKETT_BURMAN = "++-+++---+-"
"""First row of 12 combinations, turned round ten times; the twelfth has the first levels alone.

Source: Plackett & Burman 1946, Biometrika 33.
"""
BY_PLACKETT_BURMAN = range(8, 12)
"""Factors for which resolution III takes it: 12 combinations instead of 16."""

Runs = tuple[tuple[int, ...], ...]
"""Combinations: for each, the level of each factor."""
Term = tuple[int, ...]
"""A main effect (one factor, by number) or an interaction of two."""


def runs(factors: int, resolution: int = 4) -> Runs:
    """The smallest screen of so many factors, 2 to 15; the first combination has the first levels alone.

    resolution   4: no main effect is aliased with an interaction of two; 3: it may be
    """
    if resolution == 3 and factors in BY_PLACKETT_BURMAN:
        return _plackett_burman(factors)
    words = generators(factors, resolution)
    return tuple(
        (*base, *(sum(base[LETTERS.index(letter)] for letter in word) % 2 for word in words))
        for base in itertools.product((0, 1), repeat=factors - len(words))
    )


def generators(factors: int, resolution: int = 4) -> tuple[str, ...]:
    """What the last factors are products of, in letters of the first ones; empty for a whole factorial."""
    table = GENERATORS[4] | (GENERATORS[3] if resolution == 3 else {})
    return tuple(table.get(factors, "").split())


def _plackett_burman(factors: int) -> Runs:
    row = [int(sign == "+") for sign in PLACKETT_BURMAN]
    turned = [row[-i:] + row[:-i] for i in range(len(row))]
    return tuple(tuple(one[:factors]) for one in ([0] * len(row), *turned))


def terms(factors: int) -> list[Term]:
    """Main effects, then interactions of two."""
    return [(i,) for i in range(factors)] + list(itertools.combinations(range(factors), 2))


def signs(design: Runs, term: Term) -> list[int]:
    """+1 or −1 for each combination: the column by which a term is estimated."""
    return [math.prod(2 * run[factor] - 1 for factor in term) for run in design]


def aliases(design: Runs, term: Term) -> dict[Term, float]:
    """Main effects and interactions of two that an estimate also holds → with which factor.

    Of an interaction as reports define it: the effect of one with the other, less its effect without. A main
    effect holds half of an interaction that it is wholly aliased with.
    """
    own, found = signs(design, term), {}
    for other in terms(len(design[0])):
        overlap = sum(a * b for a, b in zip(own, signs(design, other), strict=True)) / len(design)
        if other != term and overlap:
            found[other] = overlap * 2.0 ** (len(term) - len(other))
    return found
