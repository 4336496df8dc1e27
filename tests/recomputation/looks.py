"""A family that is judged several times: after each number of seeds, by the level of that look."""

import math

from scipy import stats

from . import screens
from .comparisons import Comparison
from .family import Family, Verdict, claimed, mirrored
from .formulas import LEVEL, holm
from .records import Study

THREE = (0.01, 0.015, 0.025)
"""Levels of three looks; of any other number equal parts of .05."""
FUTILE = 0.1
"""Chance of a verdict by the last look under which no further seeds are asked for."""
Name = tuple[str, str, str]
Cut = float | str


def levels(looks: int) -> tuple[float, ...]:
    return THREE if looks == len(THREE) else (LEVEL / looks,) * looks


class LookedFamily(Family):
    """Decided comparisons stop. What was rejected at a cut leaves Holm there; others that stopped: p = 1."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.looks, self.levels = study.looks, levels(len(study.looks))
        self.last: dict[Name, int] = {}
        """Look at which a comparison was last seen."""
        self.names = list(self.members)
        self.plain: dict[Name, Comparison] = {}
        """As they were last seen, by their own seeds alone."""
        self.sides: dict[tuple[Name, Cut], int] = {}
        self.stopped: dict[Name, int] = {}
        """Look by which a comparison was decided."""
        self.futile: set[Name] = set()
        """Comparisons that ask for no further seeds."""
        margins = {
            (1 if name in self.names else -1) * claim["margin"] / 100
            for claim in study.file.get("claims", [])
            if claim.get("margin")
            for name in claimed(study, claim)
        }
        self.cuts: list[Cut] = [0.0, "delta", "-delta", *sorted(margins)]
        wanted = dict.fromkeys(study.arms, self.looks[0])
        for look in range(len(self.looks)):
            if any(len(study.arms[arm]) < seeds for arm, seeds in wanted.items()):
                break
            self._look(look)
            going = [name for name in self.names if name not in self.stopped and name not in self.futile]
            undecided = {arm for name in going for arm in screens.arms(study, name)}
            if look + 1 < len(self.looks):
                wanted |= dict.fromkeys(undecided, self.looks[look + 1])

    def _look(self, look: int) -> None:
        seeds = self.looks[look]
        running = [name for name in self.names if name not in self.stopped and self._runs(name, seeds)]
        for name in running:
            self.last[name] = look
            self.plain[name] = self._plain(name, seeds)
        lent = self._lent(self.plain, seeds)
        for name in running:
            self.compared[name] = self.members[name] = lent[name]
        for cut in self.cuts:
            self._reject(cut, look, running)
        for name in running:
            if self.word(name) != "inconclusive" or self.members[name].few:
                self.stopped[name] = look
        self.futile -= set(running)
        self.futile |= {name for name in running if name not in self.stopped and self._hardly(name)}

    def _runs(self, name: Name, seeds: int) -> bool:
        """Of those that asked for no further seeds only those that have them anyway."""
        arms = screens.arms(self.study, name)
        return name not in self.futile or all(len(self.study.arms[arm]) >= seeds for arm in arms)

    def _hardly(self, name: Name) -> bool:
        """Whether the last look is too unlikely to tell it from 0, or to be below δ, by what is seen now."""
        one, seeds = self.members[name], self.looks[-1]
        effect = one.effect and (one.effect.by or one.effect)
        if not self.study.shares or effect is None or one.reason or one.seeds >= seeds:
            return False
        left = sum(not self.sides.get((other, 0.0)) for other in self.names)
        later = effect.with_seeds(seeds)
        reach = later.quantile(self.levels[-1] / max(1, left)) * math.sqrt(later.variance)
        low = -reach if one.delta is None else max(-reach, one.delta - reach)
        spread, mean = math.sqrt(effect.v_seed * (1 - one.seeds / seeds)), one.sign * effect.mean
        if not spread:
            return low <= mean <= reach
        outside = stats.t.cdf([(low - mean) / spread, (mean - reach) / spread], one.seeds - 1 + effect.lent)
        return bool(outside.sum() < FUTILE)

    def _reject(self, cut: Cut, look: int, running: list[Name]) -> None:
        p = dict(zip(self.names, self.raw(cut), strict=True))
        there = [name for name in self.names if (name, cut) not in self.sides]
        adjusted = holm([p[name] if name in running else 1.0 for name in there])
        for name, value in zip(there, adjusted, strict=True):
            if value < self.levels[look]:
                member = self.members[name]
                self.sides[name, cut] = 1 if member.benefit > self._cut(member, cut) else -1

    def side(self, name: Name, cut: Cut, strict: bool) -> int:
        """As it was seen at a look; there is no interval alone to go by."""
        if name in self.members:
            return self.sides.get((name, cut), 0)
        opposite = -cut if not isinstance(cut, str) else {"delta": "-delta", "-delta": "delta"}[cut]
        return -self.sides.get((mirrored(name), opposite), 0)

    def comparison(self, name: Name) -> Comparison:
        if name not in self.compared and mirrored(name) in self.last:
            self.compared[name] = self._turned(name, self.seen(name))
        return super().comparison(name)

    def verdict(self, name: Name) -> Verdict:
        if not self.last:
            raise NotImplementedError("a first look that is not complete")
        return super().verdict(name)

    def level(self, name: Name) -> float:
        return self.levels[self._last(name)]

    def seen(self, name: Name) -> int | None:
        return self.looks[self._last(name)]

    def shrunk(self, name: Name) -> float | None:
        """What is left of an effect that was told from 0 before the last look: Efron and Morris."""
        own = name if name in self.last else mirrored(name)
        one = self.comparison(name)
        if self.stopped.get(own, len(self.looks)) + 1 >= len(self.looks) or not self.sides.get((own, 0.0)):
            return None
        every = [self.comparison(other) for other in self.names if other[2] == name[2]]
        effects = [other.effect for other in every if other.effect and not other.reason]
        noise = [(effect.by or effect).variance for effect in effects]
        true = max(0.0, (sum(effect.mean**2 for effect in effects) - sum(noise)) / len(effects))
        assert one.effect is not None
        return one.effect.mean * true / (true + (one.effect.by or one.effect).variance)

    def _last(self, name: Name) -> int:
        return self.last[name if name in self.last else mirrored(name)]
