from dataclasses import replace

import numpy as np
import pytest

from bench.stats import (
    Hypothesis,
    Interval,
    Judgement,
    Shared,
    SpreadTest,
    claim_outcome,
    convergence_outcome,
    diverged_share,
    holm,
    judge,
    level,
    settle,
    sides,
    two_way,
    untestable,
)


def _interval(mean: float, sd: float = 0.001, seeds: int = 5) -> Interval:
    """Mean with a standard error that is all seeds: t with seeds − 1."""
    return Interval(mean, sd**2, 0.0, 0.0, seeds, 1000)


def _only(mean: float, sd: float = 0.001, delta: float = 0.01, seeds: int = 5) -> Judgement:
    return judge([Hypothesis(_interval(mean, sd, seeds), delta)])[0]


def test_holm_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


@pytest.mark.parametrize(
    ("mean", "word"),
    [
        (-0.02, "harmful"),
        (0.02, "helps, by more than δ"),
        (0.01, "helps"),
        (0.005, "helps, small"),
        (0.001, "equivalent"),
        (-0.002, "equivalent"),
    ],
)
def test_verdicts_of_a_sharp_interval(mean: float, word: str):
    assert _only(mean).word == word


def test_no_gain_excludes_delta_but_not_harm():
    assert _only(-0.006, sd=0.003).word == "no gain"


def test_a_wide_interval_is_inconclusive():
    assert _only(0.02, sd=0.02).word == "inconclusive"


def test_at_three_seeds_the_level_is_halved():
    assert (level(3), level(4)) == (0.025, 0.05)
    five_errors = _only(0.005, sd=0.001, seeds=3)  # t = 5 with 2 degrees of freedom: p = .038
    assert (five_errors.word, five_errors.dagger) == ("inconclusive", True)


def test_a_dagger_marks_what_the_family_made_more_cautious():
    family = [Hypothesis(_interval(0.0035), 0.01)] + [Hypothesis(_interval(0.0, 0.005), 0.01)] * 9
    alone, among_ten = judge(family[:1])[0], judge(family)[0]
    assert (alone.word, alone.dagger) == ("helps, small", False)
    assert among_ten.word != alone.word
    assert among_ten.dagger


def test_a_comparison_without_test_counts_with_p_one():
    strong = Hypothesis(_interval(0.02), 0.01)
    assert sides([strong, Hypothesis(None, 0.01)], [0.0, 0.0])[1] == [2 * strong.p(0), 1.0]
    assert judge([strong, Hypothesis(None, 0.01, "no seeds")])[1] == Judgement("inconclusive", "no seeds")


def test_a_reason_silences_a_comparison_that_would_else_be_clear():
    assert judge([Hypothesis(_interval(0.02), 0.01, "2 common seeds, 3 needed")])[0].word == "inconclusive"


def test_what_a_clock_says_never_moves_the_verdict_on_a_score():
    score = Hypothesis(_interval(0.0031), 0.01)
    fast = Hypothesis(_interval(1.0), own=True)
    slow = Hypothesis(_interval(0.0), own=True)
    assert judge([score, fast])[0] == judge([score, slow])[0]
    assert judge([score, fast])[1].word == "helps"


def test_a_comparison_without_delta_is_never_called_no_gain():
    assert judge([Hypothesis(_interval(0.0), None)])[0].word == "inconclusive"
    assert judge([Hypothesis(SpreadTest(-0.01, 0.001, 5))])[0].word == "harmful"


def test_reasons_come_in_the_order_of_the_method():
    flat = two_way(np.zeros((3, 20)))
    assert untestable(_interval(0.1, seeds=2), 2, 50) == "2 common seeds, 3 needed"
    assert untestable(flat, 3, 0) == "too few errors: the arms never disagree"
    assert untestable(_interval(0.1), 5, 9) == "too few errors: the arms disagree on 9 images only, 10 needed"
    assert untestable(_interval(0.1, 0.0), 5, 30) == "the difference never varies"
    assert untestable(None, 5, 30) == "a class has fewer than 2 images"
    assert (
        untestable(_interval(0.1), 5, 1, "group")
        == "too few errors: the arms disagree on 1 group only, 10 needed"
    )
    assert untestable(_interval(0.1), 5, 10) == ""


def test_after_divergence_only_a_verdict_against_the_worse_arm_stands():
    harmful, helps, nothing = _only(-0.02), _only(0.02), _only(0.0)
    assert settle(harmful, 1, 0) == harmful
    assert settle(helps, 0, 1) == helps
    assert settle(helps, 0, 0) == helps
    for judgement, arm, reference in [(helps, 1, 0), (harmful, 0, 1), (nothing, 1, 0), (harmful, 1, 1)]:
        assert settle(judgement, arm, reference).word == "unstable"


OUTCOMES = {  # word → (better, no gain, no difference)
    "helps": (0.01, "supported", "inconclusive", "inconclusive"),
    "helps, small": (0.005, "supported", "supported", "supported"),
    "helps, by more than δ": (0.02, "supported", "refuted", "refuted"),
    "harmful": (-0.02, "refuted", "supported", "refuted"),
    "equivalent": (0.0, "refuted", "supported", "supported"),
}


@pytest.mark.parametrize("word", OUTCOMES)
def test_claims_follow_from_verdicts(word: str):
    mean, better, no_gain, no_difference = OUTCOMES[word]
    judgement = _only(mean)
    assert judgement.word == word
    assert claim_outcome("better", judgement) == better
    assert claim_outcome("no gain", judgement) == no_gain
    assert claim_outcome("no difference", judgement) == no_difference


def test_no_difference_is_the_same_from_either_side():
    """Between −δ and δ, also where the difference is seen to be above 0, or below."""
    for mean, outcome in [(0.0051, "supported"), (0.0099, "inconclusive"), (0.02, "refuted")]:
        for judgement in (_only(mean), _only(-mean), _only(mean).mirrored()):
            assert claim_outcome("no difference", judgement) == outcome
    assert _only(-0.0051).word == "harmful"
    assert _only(0.0051).mirrored() == _only(-0.0051)


def test_a_claim_with_a_margin_needs_more_than_helping():
    family = [Hypothesis(_interval(0.02), 0.01)]
    judgement = judge(family)[0]
    for margin, outcome in [(0.01, "supported"), (0.0205, "inconclusive"), (0.03, "refuted")]:
        side = sides(family, [margin])[0][0]
        assert claim_outcome("better", judgement, side) == outcome
    assert claim_outcome("better", _only(-0.02), 0) == "refuted"


def test_an_inconclusive_or_unstable_comparison_decides_no_claim():
    for expect in ("better", "no gain", "no difference"):
        assert claim_outcome(expect, _only(0.02, sd=0.02)) == "inconclusive"
        assert claim_outcome(expect, Judgement("unstable", zero=1, delta=-1)) == "inconclusive"


def test_failure_to_converge_needs_all_of_five_seeds():
    five, none = diverged_share(5, 5), diverged_share(0, 5)
    assert five.low == pytest.approx(0.05 ** (1 / 5))
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 5))
    assert (five.high, none.low) == (1, 0)
    found = [convergence_outcome(diverged_share(k, 5)) for k in range(6)]
    assert found == ["refuted", *["inconclusive"] * 4, "supported"]
    assert convergence_outcome(diverged_share(4, 4)) == "inconclusive"
    with pytest.raises(ValueError, match="6 of 5"):
        diverged_share(6, 5)


def test_ten_equal_arms_seldom_have_a_winner_or_a_loser():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(150):
        item = rng.normal(size=200)
        arms = [
            (0.8 + item + 0.1 * rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(5, 200)) > 0)
            for _ in range(10)
        ]
        family = [Hypothesis(two_way(arm.astype(float) - arms[0]), 0.01) for arm in arms[1:]]
        wrong += any(judgement.zero for judgement in judge(family))
    assert wrong / 150 <= 0.05


def test_what_no_data_could_ever_test_makes_nobody_more_cautious():
    close = Hypothesis(_interval(0.0031), delta=0.01)  # t = 3.1 with 4 degrees of freedom: p = .036
    never = Hypothesis(None, reason="has a value, never a verdict", never=True)
    alone, silent = judge([close, never])
    assert (alone, silent.word, silent.reason) == (judge([close])[0], "inconclusive", never.reason)
    assert judge([close, Hypothesis(None, reason="failed")])[0] != alone


def test_a_verdict_by_shared_variance_is_bolder_than_its_interval_and_never_marked_as_held_back():
    """Own noise of three degrees of freedom reaches over 0; the shared one, larger but known better, not."""
    own = Interval(0.02, 6e-5, 0.0, 0.0, 4, 100)
    told = replace(own, shared=Shared(7e-5, 20.0))
    assert own.low < 0
    assert told.low < 0, "the wider one is printed"
    assert told.p_printed(0) == own.p(0) > 0.05 > told.p(0)
    (found,) = judge([Hypothesis(told)])
    assert (found.word, found.bolder, found.dagger) == ("helps", True, False)
    turned = found.mirrored()
    assert (turned.word, turned.bolder, turned.dagger) == ("harmful", True, False)
