"""The declared comparisons and claims of a study, judged as one family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bench import stats
from bench.judge import robustness
from bench.judge.evidence import Contrast, Evidence
from bench.judge.factorial import additions, full_arm, removals
from bench.judge.findings import ClaimRow, Effect, Finding, NewRuns, Unseen
from bench.judge.measure import Measure, parse
from bench.judge.outcomes import Outcome
from bench.plan import TEST
from bench.registry import metrics
from bench.study.read import Claim, Study

Key = tuple[str, str, str]
"""Arm, reference, metric."""

WORDS = {
    "gap": ("smaller gap", "larger gap"),
    "cost.seconds": ("faster", "slower"),
    "cost.epochs": ("fewer epochs", "more epochs"),
    "seed_sd": ("steadier", "less steady"),
}
"""What "helps" and "harmful" are called where a smaller value wins."""


def family_keys(study: Study) -> list[Key]:
    """Every arm against the baseline on the primary metric, then every pair of every claim, each once."""
    keys = [(arm, reference, study.primary) for arm, reference in references(study)]
    for claim in study.claims:
        keys += pairs_of(claim)
    return list(dict.fromkeys(keys))


def references(study: Study) -> list[tuple[str, str]]:
    """Every arm with what it is declared to be compared with: the baseline.

    What only leaves something out of the full recipe of an ``add-and-remove`` study is compared with that
    recipe; with two factors, where such an arm also adds something to the baseline, with both.
    """
    full, removed, added = full_arm(study), removals(study), additions(study)
    others = [arm.label for arm in study.arms if arm.label != study.baseline]
    found = [(label, study.baseline) for label in others if label not in removed or label in added]
    return found + [(label, full.label) for label in others if full and label in removed]


def pairs_of(claim: Claim) -> list[Key]:
    """Every pair of arms a claim compares; none where it is about convergence."""
    if claim.expect == "does not converge":
        return []
    return [(better, than, claim.metric) for better in claim.better for than in claim.than if better != than]


def wanted_scores(study: Study) -> dict[str, tuple[str, ...]]:
    """For each set of the plan, the scores that intervals are asked for: accuracy, and what is declared."""
    sets = [TEST, *study.hidden]
    wanted = {name: ["accuracy"] for name in sets}
    for metric in (study.primary, *(claim.metric for claim in study.claims)):
        found = parse(metric, sets)
        if found.kind == "score" and found.traits["interval"] != "none":
            wanted[found.set].append(found.score)
    return {name: tuple(dict.fromkeys(scores)) for name, scores in wanted.items()}


class Rulings:
    """Verdicts of the whole family. Holm sees every member, whoever asks for one."""

    def __init__(self, study: Study, evidence: Evidence) -> None:
        self.study, self.evidence = study, evidence
        self.sets = [TEST, *study.hidden]
        self.keys = family_keys(study)
        self.contrasts = [
            evidence.contrast(arm, ref, parse(metric, self.sets)) for arm, ref, metric in self.keys
        ]
        self.members = [
            self._member(key, contrast) for key, contrast in zip(self.keys, self.contrasts, strict=True)
        ]
        self.judgements = [
            settled(judgement, contrast)
            for judgement, contrast in zip(stats.judge(self.members), self.contrasts, strict=True)
        ]
        self.levels_of = [stats.LEVEL] * len(self.keys)
        """Level of each comparison's interval."""

    @property
    def family(self) -> int:
        """How many comparisons Holm corrects for."""
        return sum(not member.never for member in self.members)

    def _member(self, key: Key, contrast: Contrast) -> stats.Hypothesis:
        metric, test = parse(key[2], self.sets), contrast.test
        if test is not None and metric.lower_is_better:
            test = replace(test, mean=-test.mean)
        never = metric.kind == "score" and metrics[metric.score].traits.get("interval") == "none"
        own = key[2] == "cost.seconds"
        return stats.Hypothesis(test, self._delta(metric), contrast.reason, own=own, never=never)

    def _delta(self, metric: Measure) -> float | None:
        """Difference that matters, as a fraction; None of what is not told in points."""
        if metric.kind not in ("score", "gap") or metric.unit != "points":
            return None
        return (self.study.delta.local if metric.set == TEST else self.study.delta.hidden) / 100

    def finding(self, key: Key) -> Finding:
        """One comparison of the family, in words."""
        i = self.keys.index(key)
        contrast, judgement = self.contrasts[i], self.judgements[i]
        metric = parse(key[2], self.sets)
        # of little-learned seeds the effect is as they scored; of diverged ones there is none
        conditional = judgement.word == "unstable" and bool(contrast.diverged or contrast.diverged_reference)
        effect = _effect(contrast.finished if conditional else contrast.test, metric, self.levels_of[i])
        if effect and contrast.few:
            effect = replace(effect, low=effect.mean, high=effect.mean, few=True)
        verdict, detail = self._words(i, metric)
        return Finding(
            *key,
            verdict=verdict,
            detail="; ".join(filter(None, [detail, *self._hardly(i)])),
            effect=effect,
            if_converges=conditional and effect is not None,
            dagger=judgement.dagger,
            seeds=contrast.finished.seeds if conditional and contrast.finished else contrast.seeds,
            local=self._local(key) if metric.kind == "score" and metric.set != TEST else None,
            unseen=self._unseen(key, metric),
            new_runs=self._new_runs(contrast, metric),
        )

    def _new_runs(self, contrast: Contrast, metric: Measure) -> NewRuns:
        """What one new run of each arm would differ by, or why that is not told."""
        test = contrast.test
        reason = contrast.reason
        if not reason and not isinstance(test, stats.Interval):
            reason = "a spread over seeds is of no single run"
        elif not reason and self.study.folds:
            reason = "folds share what they train on, and each is tested on other images"
        elif not reason and (contrast.diverged or contrast.diverged_reference):
            reason = "some seeds diverged, and so may a new run"
        elif not reason and contrast.seeds < stats.FEWEST_TO_PREDICT:
            reason = f"{contrast.seeds} common seeds, {stats.FEWEST_TO_PREDICT} needed"
        if reason or not isinstance(test, stats.Interval) or contrast.spreads is None:
            return NewRuns(reason=reason or "not every seed has this value")
        found = stats.prediction(test, *contrast.spreads)
        if found is None:
            return NewRuns(reason="the difference never varies")
        above = found.above
        effect = _spelled_out(found.mean, found.low, found.high, metric)
        return NewRuns(effect, 1 - above if metric.lower_is_better else above)

    def _local(self, key: Key) -> Effect | None:
        contrast = self.evidence.contrast(key[0], key[1], Measure("score", TEST))
        if contrast.diverged or contrast.diverged_reference or not isinstance(contrast.test, stats.Interval):
            return None
        return Effect.of(contrast.test, few=contrast.few)

    def _unseen(self, key: Key, metric: Measure) -> Unseen | None:
        """The part of an effect on accuracy that is no likeness of augmentation and corruption."""
        contrast = self.contrasts[self.keys.index(key)]
        if metric != Measure("score", metric.set) or contrast.diverged or contrast.diverged_reference:
            return None
        return robustness.unseen(self.study, self.evidence, key[0], key[1], metric.set)

    def _words(self, i: int, metric: Measure) -> tuple[str, str]:
        """Verdict, and what explains it."""
        contrast, judgement = self.contrasts[i], self.judgements[i]
        if judgement.word == "unstable":
            return self._unstable(i), contrast.reason
        if contrast.reason:
            return _no_verdict(contrast), contrast.reason
        words = WORDS.get(metric.kind) or WORDS.get(f"cost.{metric.score}")
        if words and judgement.zero:
            return words[judgement.zero < 0], self._spread(contrast)
        if judgement.word == "helps, by more than δ":
            return f"helps, by more than {points(self._delta(metric))}", ""
        detail = self._what_would_settle(i, metric) if judgement.word == "inconclusive" else ""
        return judgement.word, detail

    def _hardly(self, i: int) -> list[str]:
        """Arms of which no seed learned much, where that withholds no verdict."""
        contrast = self.contrasts[i]
        sides = (
            (contrast.little, "no seed learned much"),
            (contrast.little_reference, "no seed of the reference learned much"),
        )
        return [text for count, text in sides if count and not contrast.mixed]

    def _unstable(self, i: int) -> str:
        contrast, (arm, reference, _) = self.contrasts[i], self.keys[i]
        n, of = (len(self.evidence.outcomes[name]) for name in (arm, reference))
        parts = (
            (contrast.diverged, f"{contrast.diverged}/{n} diverged"),
            (contrast.diverged_reference, f"of the reference {contrast.diverged_reference}/{of}"),
            (contrast.little, f"{contrast.little}/{n} little learned"),
            (contrast.little_reference, f"of the reference {contrast.little_reference}/{of} little learned"),
        )
        return f"unstable ({', '.join(text for count, text in parts if count)})"

    def _spread(self, contrast: Contrast) -> str:
        if not isinstance(contrast.test, stats.SpreadTest):
            return ""
        return f"its sd over seeds is {self._apart(contrast.test)} apart"

    def _apart(self, test: stats.SpreadTest) -> str:
        """How far two spreads of the primary metric differ, in its unit."""
        unit = parse(self.study.primary, self.sets).unit
        return points(abs(test.mean)) if unit == "points" else f"{abs(test.mean):.2g} {unit}"

    def _what_would_settle(self, i: int, metric: Measure) -> str:
        """Smallest detectable effect; the seeds that δ, and as large a difference as was seen, would take."""
        test, delta, family = self.contrasts[i].test, self._delta(metric), self.family
        if isinstance(test, stats.SpreadTest):
            sds = f"its sd over seeds is {self._apart(test)} {'larger' if test.mean > 0 else 'smaller'}"
            needed = stats.spread_seeds_needed(test.ratio, stats.level(test.seeds + 1), family)
            return f"{sds}; as large as seen, that would take {needed} seeds at least" if needed else sds
        if test is None:
            return ""
        level = stats.level(test.seeds + 1)
        seen = abs(test.mean)
        if delta is None:
            needed = stats.seeds_needed(test, seen, level, family)
            return f"as large as seen, it would take {needed} seeds" if needed else ""
        smallest = stats.smallest_effect(test, stats.level(test.seeds), family)
        if smallest >= 1:
            return "detects no difference that a score can have"
        text = f"detects {points(smallest)} or more"
        if self.study.folds is not None or smallest <= delta:
            return text
        needed = stats.seeds_needed(test, delta, level, family)
        as_seen = stats.seeds_needed(test, seen, level, family) if delta < seen < smallest else None
        further = f"; as large as seen, it would take {as_seen}" if as_seen else ""
        if needed is None:
            return (
                f"{text}; {points(delta)} needs more images, not seeds{further}{' seeds' if further else ''}"
            )
        return f"{text}; {points(delta)} would take {needed} seeds{further}"

    def claim(self, claim: Claim) -> ClaimRow:
        """A claim about every pair of its arms: supported when all bear it out, refuted by one."""
        if claim.expect == "does not converge":
            return self._convergence(claim)
        expect = claim.expect + (f" by {points(claim.margin / 100)}" if claim.margin else "")
        keys = pairs_of(claim)
        findings = tuple(self.finding(key) for key in keys)
        notes: tuple[str, ...] = ()
        outcomes: list[stats.ClaimOutcome | None] = []
        side: dict[Key, int] = self._margin_sides(claim.margin / 100) if claim.margin else {}
        for key in keys:
            i = self.keys.index(key)
            if self.contrasts[i].reason.startswith("not judged"):
                outcomes.append(None)
            elif (claim.margin or claim.expect == "no gain") and self.members[i].delta is None:
                outcomes.append(None)
                notes = ("not judged yet: a margin, or no gain, on a metric that is not in points",)
            else:
                margin_side = side[key] if claim.margin and claim.expect == "better" else None
                outcomes.append(stats.claim_outcome(claim.expect, self.judgements[i], margin_side))
        return ClaimRow(claim.says, expect, claim.metric, _together(outcomes), findings, notes)

    def _margin_sides(self, margin: float) -> dict[Key, int]:
        cuts = [None if member.delta is None else margin for member in self.members]
        return dict(zip(self.keys, stats.sides(self.members, cuts)[0], strict=True))

    def _convergence(self, claim: Claim) -> ClaimRow:
        outcomes: list[stats.ClaimOutcome | None] = []
        notes = []
        for arm in claim.better:
            ended = [o for o in self.evidence.outcomes[arm] if o.state in ("done", "diverged")]
            converged = [self._converged(outcome, claim) for outcome in ended]
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
        expect = claim.expect + (f" to {claim.criterion}" if claim.criterion else "")
        return ClaimRow(claim.says, expect, claim.metric, _together(outcomes), (), tuple(notes))

    def _converged(self, outcome: Outcome, claim: Claim) -> bool | None:
        """A finite loss, and the claim's criterion reached; None where the record does not tell."""
        if outcome.state == "diverged" or claim.criterion is None:
            return outcome.state != "diverged"
        return self.evidence.reached(outcome, claim.criterion)


def settled(judgement: stats.Judgement, contrast: Contrast) -> stats.Judgement:
    """A verdict, or what is left of it where seeds diverged or learned little."""
    return stats.settle(judgement, contrast.diverged, contrast.diverged_reference, mixed=contrast.mixed)


def _together(outcomes: Sequence[stats.ClaimOutcome | None]) -> stats.ClaimOutcome | Literal["not judged"]:
    """One outcome for all pairs."""
    if not outcomes or all(outcome is None for outcome in outcomes):
        return "not judged"
    if "refuted" in outcomes:
        return "refuted"
    return "supported" if set(outcomes) == {"supported"} else "inconclusive"


def _no_verdict(contrast: Contrast) -> str:
    if contrast.reason.startswith("not judged"):
        return "not judged"
    if " failed (" in contrast.reason:
        return "no verdict"
    return "inconclusive" if contrast.seeds else "not run yet"


def _effect(
    test: stats.Interval | stats.SpreadTest | None, metric: Measure, level: float = stats.LEVEL
) -> Effect | None:
    if not isinstance(test, stats.Interval):
        return None
    half = test.half_width(level)
    return _spelled_out(test.mean, test.mean - half, test.mean + half, metric)


def _spelled_out(mean: float, low: float, high: float, metric: Measure) -> Effect:
    """In the metric's unit; of costs the logarithms turned back into ratios."""
    if metric.kind == "cost":
        mean, low, high = math.exp(mean), math.exp(low), math.exp(high)
    return Effect(mean, low, high, metric.unit)


def points(fraction: float | None) -> str:
    """A fraction as percentage points, two digits at least where it is small: ``1 point``, ``0.5 points``."""
    if fraction is None or not math.isfinite(fraction):
        return "any number of points"
    value = 100 * fraction
    text = f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"
    text = text.removesuffix(".0")
    return f"{text} point" + ("" if text == "1" else "s")
