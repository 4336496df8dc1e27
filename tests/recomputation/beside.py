"""Differences that were not declared: which of them Holm over the arms of their set leaves standing."""

from . import screens
from .comparisons import Comparison, difference
from .corrupted import unseen
from .family import Family, mirrored
from .formulas import holm

Pair = tuple[str, str]


class Beside:
    """Every pair of arms that the study compares on anything, on one set after the other."""

    def __init__(self, family: Family) -> None:
        self.family, self.study = family, family.study
        names = [(arm, self.study.baseline, "") for arm in self.study.arms if arm != self.study.baseline]
        names += self.family.members
        self.pairs: list[Pair] = []
        for arm, reference, _ in names:
            if not {(arm, reference), (reference, arm)} & {*self.pairs}:
                self.pairs.append((arm, reference))
        self.adjusted: dict[tuple[str, bool], dict[Pair, float]] = {}

    def dagger(self, pair: Pair, name: str, one: Comparison | None, new: bool = False) -> bool:
        """Whether a difference in accuracy is told from 0 by its own interval and by nothing else.

        new  of the families of corruption that neither arm trains with
        """
        if one is None or one.effect is None or one.few:
            return False
        low, high = one.effect.ends()
        if low <= 0 <= high:
            return False
        metric = (*pair, f"{name}.accuracy")
        if not new and {metric, mirrored(metric)} & {*self.family.members}:
            return self.family.side(metric, 0.0, strict=True) == 0
        adjusted = self._over(name, new)
        p = adjusted[pair] if pair in adjusted else adjusted[pair[1], pair[0]]
        return p >= one.level

    def _over(self, name: str, new: bool) -> dict[Pair, float]:
        if (name, new) not in self.adjusted:
            p = [self._p(pair, name, new) for pair in self.pairs]
            self.adjusted[name, new] = dict(zip(self.pairs, holm(p), strict=True))
        return self.adjusted[name, new]

    def _p(self, pair: Pair, name: str, new: bool) -> float:
        if not new:
            effect = screens.compare(self.study, (*pair, f"{name}.accuracy"))
            return (effect or difference(self.study, *pair, name)).p(0.0)
        found = unseen(self.study, *pair, name)
        return found[2].p(0.0) if found and found[2] else 1.0
