"""Fractions of two levels: resolution by brute force over the words of the defining relation."""

import itertools
import math

import pytest

from bench.study import screens

EVERY = [(k, r) for r in (3, 4) for k in range(2, screens.MOST_FACTORS + 1)]
REGULAR = [(k, r) for k, r in EVERY if r == 4 or k not in screens.BY_PLACKETT_BURMAN]
LETTERS = screens.LETTERS


def words(factors: int, resolution: int) -> list[frozenset[str]]:
    """The defining relation: every product of the generators' words, each with its own letter."""
    given = screens.generators(factors, resolution)
    own = LETTERS[factors - len(given) : factors]
    first = [frozenset(word) ^ {letter} for word, letter in zip(given, own, strict=True)]
    found = []
    for n in range(1, len(first) + 1):
        for some in itertools.combinations(first, n):
            word: frozenset[str] = frozenset()
            for one in some:
                word ^= one
            found.append(word)
    return found


@pytest.mark.parametrize(("factors", "resolution"), REGULAR)
def test_no_word_of_the_defining_relation_is_shorter_than_the_resolution(factors: int, resolution: int):
    assert all(len(word) >= resolution for word in words(factors, resolution))


@pytest.mark.parametrize(("factors", "resolution"), [case for case in REGULAR if case[0] <= 9])
def test_aliases_are_those_that_the_words_say(factors: int, resolution: int):
    design = screens.runs(factors, resolution)
    relation = words(factors, resolution)
    for term in screens.terms(factors):
        mine = frozenset(LETTERS[i] for i in term)
        said = {mine ^ word for word in relation}
        found = {frozenset(LETTERS[i] for i in other) for other in screens.aliases(design, term)}
        assert found == {other for other in said if 1 <= len(other) <= 2}


@pytest.mark.parametrize(("factors", "resolution"), EVERY)
def test_a_screen_is_balanced_orthogonal_and_has_the_baseline_first(factors: int, resolution: int):
    design = screens.runs(factors, resolution)
    assert len(set(design)) == len(design) <= screens.MOST_RUNS
    assert design[0] == (0,) * factors
    for i in range(factors):
        column = screens.signs(design, (i,))
        assert sum(column) == 0
        for j in range(i):
            assert sum(a * b for a, b in zip(column, screens.signs(design, (j,)), strict=True)) == 0


@pytest.mark.parametrize(
    ("factors", "four", "three"),
    [(2, 4, 4), (3, 8, 4), (4, 8, 8), (5, 16, 8), (7, 16, 8), (8, 16, 12), (9, 32, 12), (11, 32, 12),
     (12, 32, 16), (15, 32, 16)],
)  # fmt: skip
def test_the_smallest_screen_is_as_small_as_it_can_be(factors: int, four: int, three: int):
    assert (len(screens.runs(factors, 4)), len(screens.runs(factors, 3))) == (four, three)


@pytest.mark.parametrize("factors", range(2, screens.MOST_FACTORS + 1))
def test_by_default_no_main_effect_holds_an_interaction_of_two(factors: int):
    design = screens.runs(factors)
    assert not any(screens.aliases(design, (i,)) for i in range(factors))


@pytest.mark.parametrize("factors", screens.BY_PLACKETT_BURMAN)
def test_a_plackett_burman_design_holds_a_sixth_of_every_interaction_of_two_others(factors: int):
    design = screens.runs(factors, 3)
    for i in range(factors):
        found = screens.aliases(design, (i,))
        assert set(found) == {pair for pair in itertools.combinations(range(factors), 2) if i not in pair}
        assert {round(abs(share), 9) for share in found.values()} == {round(1 / 6, 9)}


@pytest.mark.parametrize(("factors", "resolution"), [(4, 4), (7, 3), (8, 4), (11, 3)])
def test_an_estimate_is_the_effect_and_its_aliases(factors: int, resolution: int):
    """Scores made of main effects and interactions alone: what a contrast of them is."""
    design = screens.runs(factors, resolution)
    effects = {term: (n % 7) - 3.0 for n, term in enumerate(screens.terms(factors))}

    def score(run: tuple[int, ...]) -> float:
        # what one does with the other less what it does without is four times the coefficient in ±1 coding
        halves = {1: 2.0, 2: 4.0}
        return sum(e / halves[len(t)] * math.prod(2 * run[i] - 1 for i in t) for t, e in effects.items())

    for term in screens.terms(factors):
        weights = [sign * 2 * len(term) / len(design) for sign in screens.signs(design, term)]
        seen = sum(weight * score(run) for weight, run in zip(weights, design, strict=True))
        aliases = screens.aliases(design, term)
        assert seen == pytest.approx(effects[term] + sum(s * effects[t] for t, s in aliases.items()))
