"""A family that is judged several times: after each number of seeds, by the level of that look."""

from .comparisons import Comparison, compare
from .family import Family, Verdict, claimed, mirrored
from .formulas import LEVEL, holm
from .records import Study

THREE = (0.01, 0.015, 0.025)
"""Levels of three looks; of any other number equal parts of .05."""
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
        self.sides: dict[tuple[Name, Cut], int] = {}
        self.stopped: dict[Name, int] = {}
        """Look by which a comparison was decided."""
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
            undecided = {arm for name in self.names if name not in self.stopped for arm in name[:2]}
            if look + 1 < len(self.looks):
                wanted |= dict.fromkeys(undecided, self.looks[look + 1])

    def _look(self, look: int) -> None:
        running = [name for name in self.names if name not in self.stopped]
        for name in running:
            self.last[name] = look
            self.compared[name] = self.members[name] = compare(self.study, *name, look=self.looks[look])
        for cut in self.cuts:
            self._reject(cut, look)
        for name in running:
            if self.word(name) != "inconclusive":
                self.stopped[name] = look

    def _reject(self, cut: Cut, look: int) -> None:
        p = dict(zip(self.names, self.raw(cut), strict=True))
        there = [name for name in self.names if (name, cut) not in self.sides]
        adjusted = holm([1.0 if name in self.stopped else p[name] for name in there])
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
            self.compared[name] = compare(self.study, *name, look=self.seen(name))
        return super().comparison(name)

    def verdict(self, name: Name) -> Verdict:
        if not self.last:
            raise NotImplementedError("a first look that is not complete")
        return super().verdict(name)

    def level(self, name: Name) -> float:
        return self.levels[self._last(name)]

    def seen(self, name: Name) -> int | None:
        return self.looks[self._last(name)]

    def _last(self, name: Name) -> int:
        return self.last[name if name in self.last else mirrored(name)]
