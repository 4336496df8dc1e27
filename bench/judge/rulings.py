"""The declared comparisons and claims of a study, judged as one family."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import stats
from bench.judge import factorial, origins, robustness, settling
from bench.judge.beside import Beside
from bench.judge.contrast import Contrast
from bench.judge.declared import LATE, Declared, late_keys
from bench.judge.evidence import UNSCORED, Evidence
from bench.judge.family import Key, family_keys, hypotheses, mirror, pairs_of
from bench.judge.findings import Effect, Finding, NewRuns, Rests, Unseen
from bench.judge.measure import Measure, parse
from bench.judge.settling import points
from bench.judge.sharing import lent, moderated
from bench.plan import TEST
from bench.registry import metrics
from bench.study import effects
from bench.study.read import Claim, Delta, Study

WORDS = {
    "gap": ("smaller gap", "larger gap"),
    "cost.seconds": ("faster", "slower"),
    "cost.epochs": ("fewer epochs", "more epochs"),
    "seed_sd": ("steadier", "less steady"),
}
"""What "helps" and "harmful" are called where a smaller value wins."""


@dataclass(frozen=True)
class Ruling:
    """One comparison, judged."""

    contrast: Contrast
    member: stats.Hypothesis
    judgement: stats.Judgement
    level: float = stats.LEVEL
    """Of its interval."""
    late: bool = False
    """Declared after scores: no member of the family, and without a verdict."""


class Rulings:
    """Verdicts of the whole family. Holm sees every member, whoever asks for one."""

    def __init__(self, study: Study, evidence: Evidence, declared: Declared | None = None) -> None:
        """declared: what was, before the first score; None: what the study says now."""
        self._declare(study, evidence, declared)
        contrasts = [self._contrast(key) for key in self.keys]
        self._contrasts = moderated(self.keys, contrasts, self._untold(evidence))
        self._members = list(map(self._member, self.keys, self._contrasts))
        judged = zip(stats.judge(self._members), self._contrasts, strict=True)
        self._judgements = [settled(judgement, contrast) for judgement, contrast in judged]
        self._levels = [stats.LEVEL] * len(self.keys)

    def _declare(self, study: Study, evidence: Evidence, declared: Declared | None) -> None:
        self.study, self.evidence, self.declared = study, evidence, declared
        self.sets = study.sets
        self.keys = list(declared.comparisons) if declared else hypotheses(family_keys(study))
        """The family, each hypothesis once: what a study says later, or no longer, does not change it."""
        self._places = {key: i for i, key in enumerate(self.keys)}
        self._cut: dict[float, Sequence[int]] = {}
        self._tested: dict[Measure, settling.Tested | None] = {}
        self.beside = Beside(self)
        self._late = frozenset(late_keys(declared, study, evidence.sliced)) if declared else frozenset()

    @property
    def family(self) -> int:
        """How many comparisons Holm corrects for."""
        return sum(not member.never for member in self._members)

    @property
    def delta(self) -> Delta:
        """Differences that matter, as they were declared."""
        return self.declared.delta if self.declared else self.study.delta

    def ruling(self, key: Key) -> Ruling:
        """Of a comparison, told from the side that ``key`` does, whichever side was declared."""
        i = self._places.get(key)
        if key in self._late:
            contrast = self._measured(key, self.evidence)
            return Ruling(contrast, self._member(key, contrast), stats.Judgement("inconclusive"), late=True)
        if i is not None:
            return Ruling(self._contrasts[i], self._members[i], self._judgements[i], self._levels[i])
        i = self._places[mirror(key)]
        contrast = lent(self._contrast(key), self._contrasts[i])
        judgement = replace(self._judgements[i].mirrored(), reason=contrast.reason)
        return Ruling(contrast, self._member(key, contrast), judgement, self._levels[i])

    def side(self, key: Key, cut: float) -> int:
        """On which side of a cut a comparison is seen to be: 1 above, −1 below, 0 unknown."""
        if key in self._places:
            return self._sides(cut)[self._places[key]]
        return -self._sides(-cut)[self._places[mirror(key)]]

    def _sides(self, cut: float) -> Sequence[int]:
        """Of every member of the family."""
        if cut not in self._cut:
            cuts = [None if member.delta is None else cut for member in self._members]
            self._cut[cut] = stats.sides(self._members, cuts)[0]
        return self._cut[cut]

    def _contrast(self, key: Key) -> Contrast:
        """What is known of a member of the family, as far as it was looked at."""
        return self._unknown(key) or self._measured(key, self.evidence)

    def _unknown(self, key: Key) -> Contrast | None:
        """Of what the study can no longer tell, why."""
        gone = [label for label in self._arms(key) if label not in self.evidence.outcomes]
        renamed = self.declared.renamed(key[2], self.study, self.evidence.sliced) if self.declared else ""
        if gone:
            return Contrast(None, reason=f"not judged: {gone[0]} is no longer in the study")
        if renamed:
            return Contrast(None, reason=f"not judged: {renamed} is not the set that was declared")
        return None

    def _untold(self, evidence: Evidence) -> dict[str, list[Contrast]]:
        """By metric, contrasts of a screen that tell its effects of noise."""
        found: dict[str, list[Contrast]] = {}
        for metric in dict.fromkeys(key[2] for key in self.keys) if self.study.design == "screen" else ():
            further = factorial.untold(self.study, [key[:2] for key in self.keys if key[2] == metric])
            found[metric] = [evidence.weighed(one.weights, parse(metric, self.sets)) for one in further]
        return found

    def _arms(self, key: Key) -> tuple[str, ...]:
        """The arms that a comparison is told from."""
        return tuple(itertools.chain(*factorial.arms_of(self.study, *key[:2])))

    def knows(self, claim: Claim) -> bool:
        """Whether the study still has the arms of a claim."""
        arms = claim.better if claim.than == () else {a for key in pairs_of(claim) for a in self._arms(key)}
        return set(arms) <= set(self.evidence.outcomes)

    def _measured(self, key: Key, evidence: Evidence) -> Contrast:
        arm, reference, metric = key
        if effect := factorial.averaged(self.study, arm, reference):
            return evidence.weighed(effect.weights, parse(metric, self.sets))
        return evidence.contrast(arm, reference, parse(metric, self.sets))

    def _member(self, key: Key, contrast: Contrast) -> stats.Hypothesis:
        metric, test = parse(key[2], self.sets), contrast.test
        if test is not None and metric.lower_is_better:
            test = replace(test, mean=-test.mean)
        never = metric.kind == "score" and metrics[metric.score].traits.get("interval") == "none"
        own = key[2] == "cost.seconds"
        return stats.Hypothesis(test, self._delta(metric), contrast.reason, own=own, never=never)

    def _delta(self, metric: Measure) -> float | None:
        return matters(metric, self.delta)

    def found(self, key: Key) -> Finding | None:
        """Of a comparison that was declared, or that came late; None of what nobody asked for."""
        asked = {key, mirror(key)}
        return self.finding(key) if asked & ({*self._places} | self._late) else None

    def finding(self, key: Key) -> Finding:
        """One comparison of the family, in words."""
        ruling, metric = self.ruling(key), parse(key[2], self.sets)
        contrast, judgement = ruling.contrast, ruling.judgement
        gone = contrast.reason.startswith("not judged")
        # of little-learned seeds the effect is as they scored; of diverged ones there is none
        conditional = judgement.word == "unstable" and bool(contrast.diverged or contrast.diverged_reference)
        effect = _effect(contrast.finished if conditional else contrast.test, metric, ruling.level)
        if effect and contrast.few:
            effect = replace(effect, low=effect.mean, high=effect.mean, few=True)
        verdict, detail = self._words(key, ruling, metric)
        return Finding(
            *key,
            verdict=verdict,
            detail="; ".join(filter(None, [detail, *_hardly(contrast), self._held(key)])),
            effect=effect,
            if_converges=conditional and effect is not None,
            dagger=judgement.dagger,
            bolder=judgement.bolder,
            seeds=contrast.finished.seeds if conditional and contrast.finished else contrast.seeds,
            local=self._local(key) if _elsewhere(metric) and not gone else None,
            unseen=None if gone else self._unseen(key, contrast, metric),
            new_runs=self._new_runs(contrast, metric),
            rests=self._rests(contrast),
            shrunk=self._shrunk(key, contrast, metric),
            arms=contrast.arms,
        )

    def _held(self, key: Key) -> str:
        """What an effect of a screen cannot be told from."""
        effect = factorial.averaged(self.study, *key[:2])
        return f"also holds {effects.told(effect.aliases)}" if effect and effect.aliases else ""

    def _shrunk(self, key: Key, contrast: Contrast, metric: Measure) -> Effect | None:
        """Of what was looked at once there is nothing to be drawn back."""
        return None

    def _rests(self, contrast: Contrast) -> Rests | None:
        test = contrast.test
        if contrast.reason or not isinstance(test, stats.Interval):
            return None
        own, deciding = (math.sqrt(one.seed_variance * one.seeds) for one in (test, test.deciding))
        correlation = None if self.study.folds else contrast.correlation
        return Rests(own, deciding, test.deciding.freedom_of_seeds, test.p(0), correlation)

    def _new_runs(self, contrast: Contrast, metric: Measure) -> NewRuns:
        """What one new run of each arm would differ by, or why that is not told."""
        test = contrast.test
        reason = contrast.reason
        if not reason and not isinstance(test, stats.Interval):
            reason = "a spread over seeds is of no single run"
        elif not reason and contrast.arms > 2:
            reason = "a mean over arms is of no single run"
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
        effect = spelled_out(found.mean, found.low, found.high, metric)
        return NewRuns(effect, 1 - above if metric.lower_is_better else above)

    def _local(self, key: Key) -> Effect | None:
        contrast = self.beside.contrast(key[0], key[1], Measure("score", TEST))
        if contrast.diverged or contrast.diverged_reference:
            return None
        return self.beside.effect(key[0], key[1], Measure("score", TEST))

    def _unseen(self, key: Key, contrast: Contrast, metric: Measure) -> Unseen | None:
        """The part of an effect on accuracy that is no likeness of augmentation and corruption."""
        if metric != Measure("score", metric.set) or contrast.diverged or contrast.diverged_reference:
            return None
        return robustness.unseen(self.beside, self.study, self.evidence, key[:2], metric.set)

    def came_late(self, claim: Claim) -> bool:
        """Whether a claim was made after scores, or is about a set that is another one by now."""
        if self.declared is None:
            return False
        return self.declared.claimed(claim) is None or not self._late.isdisjoint(pairs_of(claim))

    def _words(self, key: Key, ruling: Ruling, metric: Measure) -> tuple[str, str]:
        """Verdict, and what explains it."""
        contrast, judgement = ruling.contrast, ruling.judgement
        if ruling.late:
            return LATE, contrast.reason
        if judgement.word == "unstable":
            return self._unstable(key, contrast), contrast.reason
        if contrast.reason:
            return _no_verdict(contrast), contrast.reason
        detail = self._what_would_settle(contrast, metric) if judgement.word == "inconclusive" else ""
        return told(judgement, metric, self._delta(metric)), detail or self._spread(contrast)

    def _unstable(self, key: Key, contrast: Contrast) -> str:
        arm, reference, _ = key
        n, of = (
            max(len(self.evidence.outcomes[name]) for name in names)
            for names in factorial.arms_of(self.study, arm, reference)
        )
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

    def _what_would_settle(self, contrast: Contrast, metric: Measure) -> str:
        """What it can tell, and what less than that would take."""
        test, delta, family = contrast.test, self._delta(metric), self.family
        if isinstance(test, stats.SpreadTest):
            sds = f"its sd over seeds is {self._apart(test)} {'larger' if test.mean > 0 else 'smaller'}"
            needed = stats.spread_seeds_needed(test.ratio, stats.level(test.seeds + 1), family)
            return f"{sds}; as large as seen, that would take {needed} seeds at least" if needed else sds
        if test is None:
            return ""
        if delta is None:
            return settling.as_seen(test, family)
        return settling.smallest(test, delta, family, self._tested_on(metric))

    def _tested_on(self, metric: Measure) -> settling.Tested | None:
        """On what a metric is tested; None of folds."""
        if metric not in self._tested:
            self._tested[metric] = self._seen_on(metric)
        return self._tested[metric]

    def _seen_on(self, metric: Measure) -> settling.Tested | None:
        if self.study.folds is not None:
            return None
        trials = [o for each in self.evidence.outcomes.values() for o in each]
        rows = self.evidence.part(metric).rows
        items = rows.items(trials, metric.set)
        known = any(rows.groups(o.planned.sets.get(metric.set, "")) for o in trials)
        called = origins.called_groups(self.study, metric.set) if known else "images"
        return settling.Tested(items, called, sets=2 if metric.kind == "gap" else 1)


def matters(metric: Measure, delta: Delta) -> float | None:
    """Difference of a metric that matters, as a fraction; None of what is not told in points."""
    if metric.kind not in ("score", "gap") or metric.unit != "points":
        return None
    return (delta.local if metric.set == TEST else delta.hidden) / 100


def _hardly(contrast: Contrast) -> list[str]:
    """Arms of which no seed learned much, where that withholds no verdict."""
    sides = (
        (contrast.little, "no seed learned much"),
        (contrast.little_reference, "no seed of the reference learned much"),
    )
    return [text for count, text in sides if count and not contrast.mixed]


def told(judgement: stats.Judgement, metric: Measure, delta: float | None) -> str:
    """A verdict as a report says it; delta: the difference that matters, as a fraction."""
    words = WORDS.get(metric.kind) or WORDS.get(f"cost.{metric.score}")
    if words and judgement.zero:
        return words[judgement.zero < 0]
    if judgement.word == "helps, by more than δ":
        return f"helps, by more than {points(delta)}"
    return judgement.word


def settled(judgement: stats.Judgement, contrast: Contrast) -> stats.Judgement:
    """A verdict, or what is left of it where seeds diverged or learned little."""
    return stats.settle(judgement, contrast.diverged, contrast.diverged_reference, mixed=contrast.mixed)


def _elsewhere(metric: Measure) -> bool:
    """About the scores on another set than the local one."""
    return metric.kind == "score" and metric.set != TEST


def _no_verdict(contrast: Contrast) -> str:
    if contrast.reason.startswith("not judged"):
        return "not judged"
    if " failed (" in contrast.reason or contrast.reason.startswith(UNSCORED):
        return "no verdict"
    return "inconclusive" if contrast.seeds else "not run yet"


def _effect(
    test: stats.Interval | stats.SpreadTest | None, metric: Measure, level: float = stats.LEVEL
) -> Effect | None:
    if not isinstance(test, stats.Interval):
        return None
    half = test.half_width(level)
    return spelled_out(test.mean, test.mean - half, test.mean + half, metric)


def spelled_out(mean: float, low: float, high: float, metric: Measure) -> Effect:
    """In the metric's unit; of costs the logarithms turned back into ratios."""
    if metric.kind == "cost":
        mean, low, high = math.exp(mean), math.exp(low), math.exp(high)
    return Effect(mean, low, high, metric.unit)
