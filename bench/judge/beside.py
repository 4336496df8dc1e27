"""Differences that decide nothing. Of several that stand side by side some interval excludes zero by luck.

So each set's are corrected over the arms compared on it, and marked where that leaves nothing to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import stats
from bench.judge import factorial, robustness
from bench.judge.contrast import Contrast
from bench.judge.family import mirror
from bench.judge.findings import LOCAL, Effect
from bench.judge.measure import Measure
from bench.plan import TEST

if TYPE_CHECKING:
    from bench.judge.rulings import Rulings

Pair = tuple[str, str]
"""Arm, reference."""


class Beside:
    """Accuracies of two arms on any set, beside what was declared to decide."""

    def __init__(self, rulings: Rulings) -> None:
        self._rulings = rulings
        self._adjusted: dict[tuple[str, bool], Mapping[Pair, float]] = {}

    def contrast(self, arm: str, reference: str, measure: Measure) -> Contrast:
        """Arm minus reference."""
        return self._rulings.evidence.weighed(self.weights(arm, reference), measure)

    def weights(self, arm: str, reference: str) -> Mapping[str, float]:
        """Arms and what they weigh: of a pair −1 and 1, else of the effect that the two are sides of."""
        effect = factorial.averaged(self._rulings.study, arm, reference)
        return effect.weights if effect else {reference: -1.0, arm: 1.0}

    def effect(self, arm: str, reference: str, measure: Measure) -> Effect | None:
        """Of finished pairs; with a dagger where its own interval alone tells it from 0.

        measure   accuracy on a set, or on the families of it that neither arm trains with
        """
        contrast = self.contrast(arm, reference, measure)
        found = Effect.of(contrast.of_finished, measure.unit, few=contrast.few)
        if found is None or found.few or found.low <= 0 <= found.high:
            return found
        return replace(found, dagger=not self._told((arm, reference), measure, contrast))

    def _told(self, pair: Pair, measure: Measure, contrast: Contrast) -> bool:
        """Whether a difference is told from 0: by its verdict where it has one, else by Holm over its set."""
        name = LOCAL if measure.set == TEST else measure.set
        key = (*pair, f"{name}.{measure.score}")
        if not measure.families and {key, mirror(key)} & set(self._rulings.keys):
            return self._rulings.ruling(key).judgement.zero != 0
        adjusted = self._over_arms(measure.set, bool(measure.families))
        return adjusted.get(pair, adjusted.get((pair[1], pair[0]), 1.0)) < stats.level(contrast.seeds)

    def _over_arms(self, name: str, unseen: bool) -> Mapping[Pair, float]:
        """Adjusted p of "no difference", of every pair that the study compares on anything."""
        if (name, unseen) not in self._adjusted:
            pairs = self._pairs()
            p = [self._p(pair, self._measure(pair, name, unseen)) for pair in pairs]
            self._adjusted[name, unseen] = dict(zip(pairs, map(float, stats.holm(p)), strict=True))
        return self._adjusted[name, unseen]

    def _pairs(self) -> list[Pair]:
        """Every arm and the baseline, and what else is declared; each once, whichever way round."""
        study, there = self._rulings.study, self._rulings.evidence.outcomes
        pairs = [(arm.label, study.baseline) for arm in study.arms if arm.label != study.baseline]
        found: dict[Pair, None] = {}
        for arm, reference in (*pairs, *(key[:2] for key in self._rulings.keys)):
            if (reference, arm) not in found and set(self.weights(arm, reference)) <= set(there):
                found[arm, reference] = None
        return list(found)

    def _measure(self, pair: Pair, name: str, unseen: bool) -> Measure | None:
        if not unseen:
            return Measure("score", name)
        rulings = self._rulings
        families = robustness.unseen_by_all(rulings.study, rulings.evidence, self.weights(*pair), name)
        return Measure("score", name, families=families) if families else None

    def _p(self, pair: Pair, measure: Measure | None) -> float:
        contrast = self.contrast(*pair, measure) if measure else None
        if contrast is None or contrast.reason or contrast.of_finished is None:
            return 1.0
        return contrast.of_finished.p(0.0)
