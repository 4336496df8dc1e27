"""The claims of a study, judged by the verdicts of their pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from bench import stats
from bench.judge.declared import LATE
from bench.judge.evidence import Evidence
from bench.judge.family import Key, pairs_of
from bench.judge.findings import ClaimRow, Finding
from bench.judge.measure import parse
from bench.judge.outcomes import Outcome
from bench.judge.rulings import Ruling, Rulings, matters
from bench.study.file import Expectation
from bench.study.read import Claim, Study

WITHIN = ("no gain", "no difference", "flat")
"""Expectations about δ."""
EXPECTED: dict[Expectation, Literal["better", "no gain", "no difference"]] = {
    "better": "better",
    "no gain": "no gain",
    "no difference": "no difference",
    "rises": "better",
    "falls": "better",
    "flat": "no difference",
}
"""By what a comparison bears a claim out; of a line its better end is compared with the other."""


def undecidable(study: Study) -> Iterator[str]:
    """Claims of a study that would never be judged, however many seeds it has, in words."""
    for claim in study.claims:
        without = claim.expect != "does not converge" and (claim.margin or claim.expect in WITHIN)
        if without and matters(parse(claim.metric, study.sets), study.delta) is None:
            yield f'claim "{claim.says}" {_needs_delta(claim)}; claim a score in points, or expect better'


def _needs_delta(claim: Claim) -> str:
    what = claim.expect if claim.expect in WITHIN else "a margin"
    return f"is not judged: {what} needs a δ, and {claim.metric} is not in points"


class Verdicts(Protocol):
    """Comparisons, judged: of one data set, or means over several."""

    def came_late(self, claim: Claim) -> bool:
        """Whether a claim was made after scores."""

    def finding(self, key: Key) -> Finding:
        """A comparison in words."""

    def ruling(self, key: Key) -> Ruling:
        """Of a comparison."""

    def side(self, key: Key, cut: float) -> int:
        """On which side of a cut it is seen to be: 1 above, −1 below, 0 unknown."""


def judge(rulings: Rulings, claim: Claim) -> ClaimRow:
    """A claim about every pair of its arms, or about whether single arms converge."""
    if claim.expect == "does not converge":
        if rulings.came_late(claim):
            return ClaimRow(claim.says, _expects(claim), claim.metric, LATE, ())
        return _convergence(rulings.evidence, claim)
    return by_pairs(rulings, claim)


def by_pairs(rulings: Verdicts, claim: Claim) -> ClaimRow:
    """Of every pair of its arms: supported when all bear it out, refuted by one."""
    assert claim.expect != "does not converge", "is about single arms"
    findings = tuple(rulings.finding(key) for key in pairs_of(claim))
    if rulings.came_late(claim):
        return ClaimRow(claim.says, _expects(claim), claim.metric, LATE, findings)
    notes: tuple[str, ...] = ()
    outcomes: list[stats.ClaimOutcome | None] = []
    for key in pairs_of(claim):
        ruling = rulings.ruling(key)
        if ruling.contrast.reason.startswith("not judged"):
            outcomes.append(None)
        elif (claim.margin or claim.expect in WITHIN) and ruling.member.delta is None:
            outcomes.append(None)
            notes = (_needs_delta(claim).removeprefix("is "),)
        else:
            side = rulings.side(key, claim.margin / 100) if claim.margin else None
            outcomes.append(stats.claim_outcome(EXPECTED[claim.expect], ruling.judgement, side))
    together = _together(outcomes)
    more = _more(rulings, claim) if together == "supported" and claim.expect == "no gain" else ""
    return ClaimRow(claim.says, _expects(claim), claim.metric, together + more, findings, notes)


def _more(rulings: Verdicts, claim: Claim) -> str:
    """What else holds where no gain was expected: that there is a loss."""
    keys = pairs_of(claim)
    losses = [key for key in keys if rulings.ruling(key).judgement.zero < 0]
    if not losses:
        return ""
    where = f" in {len(losses)} of {len(keys)} pairs" if len(losses) < len(keys) else ""
    return f", and more: {rulings.finding(losses[0]).verdict}{where}"


def _expects(claim: Claim) -> str:
    by = f" by {claim.margin:g} point{'s' * (claim.margin != 1)}" if claim.margin else ""
    return claim.expect + by + (f" to {claim.criterion}" if claim.criterion else "")


def _convergence(evidence: Evidence, claim: Claim) -> ClaimRow:
    outcomes: list[stats.ClaimOutcome | None] = []
    notes = []
    for arm in claim.better:
        ended = [o for o in evidence.outcomes[arm] if o.state in ("done", "diverged")]
        converged = [_converged(evidence, outcome, claim) for outcome in ended]
        if not ended:
            outcomes.append("inconclusive")
            notes.append("no seed has ended")
        elif None in converged:
            outcomes.append(None)
            of = claim.criterion.of if claim.criterion else ""
            notes.append(f"not judged: {converged.count(None)} of {len(ended)} records hold no {of}")
        else:
            share = stats.diverged_share(converged.count(False), len(ended))
            outcomes.append(stats.convergence_outcome(share))
            how = f"did not reach {claim.criterion}" if claim.criterion else "diverged"
            bounds = f"of all seeds between {100 * share.low:.0f} and {100 * share.high:.0f} % would"
            bounds += " not" * bool(claim.criterion)
            notes.append(f"{share.count} of {len(ended)} seeds {how}; {bounds} (each bound at 95 %)")
    return ClaimRow(claim.says, _expects(claim), claim.metric, _together(outcomes), (), tuple(notes))


def _converged(evidence: Evidence, outcome: Outcome, claim: Claim) -> bool | None:
    """A finite loss, and the claim's criterion reached; None where the record does not tell."""
    if outcome.state == "diverged" or claim.criterion is None:
        return outcome.state != "diverged"
    return evidence.reached(outcome, claim.criterion)


def _together(outcomes: Sequence[stats.ClaimOutcome | None]) -> stats.ClaimOutcome | Literal["not judged"]:
    """One outcome for all pairs."""
    if not outcomes or all(outcome is None for outcome in outcomes):
        return "not judged"
    if "refuted" in outcomes:
        return "refuted"
    return "supported" if set(outcomes) == {"supported"} else "inconclusive"
