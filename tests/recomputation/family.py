"""The declared comparisons of a study, judged together: Holm at each cut, verdicts, what claims get."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from scipy import stats

from . import screens
from .comparisons import Comparison, compare
from .formulas import LEVEL, POWER, fewest, holm
from .records import Study
from .sharing import shared


@dataclass(frozen=True)
class Verdict:
    """What is said of a comparison."""

    comparison: Comparison
    word: str
    dagger: bool
    detail: str


def claimed(study: Study, claim: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The (arm, reference, metric) of a claim, empty where it is about one arm's convergence."""

    def named(value: str | list[str]) -> list[str]:
        patterns = [value] if isinstance(value, str) else value
        found: list[str] = []
        for pattern in patterns:
            exact = [arm for arm in study.arms if arm == pattern]
            found += [
                arm
                for arm in exact or study.arms
                if arm not in found and (exact or fnmatchcase(arm, pattern))
            ]
        return found

    if claim.get("expect") == "does not converge":
        return []
    if "effect" in claim:
        return screens.claimed(study, claim)
    metric = claim.get("metric", study.primary)
    return [
        (arm, other, metric)
        for other in named(claim["than"])
        for arm in named(claim["better"])
        if arm != other
    ]


def mirrored(name: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same comparison from the other side."""
    return name[1], name[0], name[2]


@dataclass
class Family:
    """All declared comparisons, and what Holm leaves of them at each cut."""

    study: Study
    adjusted: dict[float | str, dict[tuple[str, str, str], float]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], Verdict] = field(default_factory=dict)
    compared: dict[tuple[str, str, str], Comparison] = field(default_factory=dict)

    @cached_property
    def members(self) -> dict[tuple[str, str, str], Comparison]:
        """Each hypothesis once, as first written, whichever of its arms is named first."""
        study = self.study
        names = [(*pair, study.primary) for pair in screens.declared(study)]
        for claim in study.file.get("claims", []):
            names += claimed(study, claim)
        found: dict[tuple[str, str, str], Comparison] = {}
        for name in names:
            if not (study.mirrored_once and mirrored(name) in found):
                found[name] = self._plain(name)
        if not study.shares:
            return found
        pairs = {name: one for name, one in found.items() if name[:2] not in screens.sides(study)}
        averaged = {name: one for name, one in found.items() if name not in pairs}
        lent = shared(pairs) | screens.shared(study, averaged)
        return {name: lent[name] for name in found}

    def comparison(self, name: tuple[str, str, str]) -> Comparison:
        """Of two arms, in the order that is asked for."""
        if name in self.members:
            return self.members[name]
        if name not in self.compared:
            plain, declared = self._plain(name), self.members[mirrored(name)].effect
            effect = plain.effect
            if effect and declared and declared.by:
                effect = replace(effect, by=replace(declared.by, mean=effect.mean))
            self.compared[name] = replace(plain, effect=effect)
        return self.compared[name]

    def _plain(self, name: tuple[str, str, str]) -> Comparison:
        """By its own seeds alone."""
        return screens.compare(self.study, name) or compare(self.study, *name)

    def at(self, cut: float | str) -> dict[tuple[str, str, str], float]:
        """Adjusted p-values at a cut: a number, or `delta` and `-delta`, each member's own."""
        if cut not in self.adjusted:
            p = [
                member.p(self._cut(member, cut)) if self._has(member, cut) else 1.0
                for member in self.members.values()
            ]
            self.adjusted[cut] = dict(zip(self.members, holm(p), strict=True))
        return self.adjusted[cut]

    @staticmethod
    def _has(member: Comparison, cut: float | str) -> bool:
        return not isinstance(cut, str) or member.delta is not None

    @staticmethod
    def _cut(member: Comparison, cut: float | str) -> float:
        if not isinstance(cut, str):
            return cut
        assert member.delta is not None
        return member.delta if cut == "delta" else -member.delta

    def side(self, name: tuple[str, str, str], cut: float | str, strict: bool) -> int:
        """1 above the cut, −1 below, 0 undecided; by Holm, or by the 95 % interval alone."""
        if name not in self.members:
            opposite = -cut if not isinstance(cut, str) else {"delta": "-delta", "-delta": "delta"}[cut]
            return -self.side(mirrored(name), opposite, strict)
        member = self.members[name]
        if not self._has(member, cut):
            return 0
        where = self._cut(member, cut)
        p = self.at(cut)[name] if strict else member.p(where, printed=True)
        if p >= (member.level if strict else LEVEL):
            return 0
        return 1 if member.benefit > where else -1

    def word(self, name: tuple[str, str, str], strict: bool = True) -> str:
        """The verdict, the first that fits."""
        member = self.comparison(name)
        zero, above, below = (self.side(name, cut, strict) for cut in (0.0, "delta", "-delta"))
        kind = member.metric.partition(".")[0]
        if kind == "gap" and zero:
            return "smaller gap" if zero > 0 else "larger gap"
        if member.metric == "cost.seconds" and zero:
            return "faster" if zero > 0 else "slower"
        if zero < 0:
            return "harmful"
        if zero > 0:
            small = ", small" if above < 0 else ""
            return f"helps, by more than {points(member.delta or 0)}" if above > 0 else f"helps{small}"
        if above < 0:
            return "equivalent" if below > 0 else "no gain"
        return "inconclusive"

    def verdict(self, name: tuple[str, str, str]) -> Verdict:
        if name not in self.verdicts:
            self.verdicts[name] = self._verdict(name)
        return self.verdicts[name]

    def _verdict(self, name: tuple[str, str, str]) -> Verdict:
        word = self.word(name)
        one = self.comparison(name)
        parts = [self.detail(one) if word == "inconclusive" else "", screens.held(self.study, name[:2])]
        detail = "; ".join(filter(None, parts))
        return Verdict(one, word, word != self.word(name, strict=False) and self._held_back(name), detail)

    def _held_back(self, name: tuple[str, str, str]) -> bool:
        """Whether the printed interval alone would say more at some cut."""
        return any(
            self.side(name, cut, strict=False) and not self.side(name, cut, strict=True)
            for cut in (0.0, "delta", "-delta")
        )

    def answers(self, name: tuple[str, str, str], claim: dict[str, Any]) -> str:
        """What this pair says of a claim: supported, refuted or inconclusive."""
        zero, above, below = (self.side(name, cut, True) for cut in (0.0, "delta", "-delta"))
        expect, margin = claim.get("expect", "better"), claim.get("margin", 0.0) / 100
        if expect == "no gain":
            return (
                "supported"
                if above < 0 or zero < 0
                else "refuted"
                if above > 0 and zero > 0
                else "inconclusive"
            )
        if expect == "no difference":
            return (
                "supported" if above < 0 < below else "refuted" if above > 0 or below < 0 else "inconclusive"
            )
        if margin:
            over = self.side(name, margin, True)
            return (
                "supported"
                if over > 0 and zero > 0
                else "refuted"
                if over < 0 or zero < 0
                else "inconclusive"
            )
        return "supported" if zero > 0 else "refuted" if zero < 0 or above < 0 else "inconclusive"

    def detail(self, member: Comparison) -> str:
        """What this noise lets be found, and how many seeds would find more."""
        size = len(self.members)
        if member.spreads is not None:
            return spread_detail(member, size)
        effect = member.effect
        assert effect is not None
        parts = []

        def found(difference: float, seeds: int) -> bool:
            level = LEVEL if seeds > 3 else LEVEL / 2
            return effect.with_seeds(seeds).detectable(level / size) <= difference

        if member.delta is not None:
            delta = member.delta
            parts.append(f"detects {points(effect.detectable(member.level / size))} or more")
            seeds = fewest(lambda n: found(delta, n), member.seeds)
            need = f"would take {seeds} seeds" if seeds else "needs more images, not seeds"
            parts.append(f"{points(delta)} {need}")
        seen = abs(effect.mean)
        if member.delta is None or seen > member.delta:
            seeds = fewest(lambda n: found(seen, n), member.seeds)
            unit = "" if parts and parts[-1].endswith("seeds") and "images" not in parts[-1] else " seeds"
            if seeds:
                parts.append(f"as large as seen, it would take {seeds}{unit}")
        return "; ".join(parts)


def points(value: float) -> str:
    """A fraction in points, with their unit."""
    number = f"{round(100 * value, 1):g}"
    return f"{number} point" if number == "1" else f"{number} points"


def spread_detail(member: Comparison, size: int) -> str:
    """Of two spreads: how far apart, and the seeds with which an F test would see it."""
    assert member.spreads is not None
    small, large = sorted(member.spreads)
    ratio = (large / small) ** 2

    def enough(seeds: int) -> bool:
        needed = stats.f.isf((LEVEL if seeds > 3 else LEVEL / 2) / size / 2, seeds - 1, seeds - 1)
        return bool(stats.f.sf(needed / ratio, seeds - 1, seeds - 1) >= POWER)

    seeds = fewest(enough, member.seeds)
    side = "smaller" if member.benefit > 0 else "larger"
    seen = f"its sd over seeds is {points(large - small)} {side}"
    return f"{seen}; as large as seen, that would take {seeds} seeds at least"


def clopper_pearson(failed: int, seeds: int) -> tuple[float, float]:
    """One-sided 95 % bounds of a share, the lower and the upper."""
    low = float(stats.beta.ppf(LEVEL, failed, seeds - failed + 1)) if failed else 0.0
    high = float(stats.beta.ppf(1 - LEVEL, failed + 1, seeds - failed)) if failed < seeds else 1.0
    return low, high
