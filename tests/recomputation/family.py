"""The declared comparisons of a study, judged together: Holm at each cut, verdicts, what claims get."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from scipy import stats

from . import screens
from .comparisons import Comparison, compare
from .formulas import LEVEL, MOST_TIMES, POWER, fewest, holm
from .parts import metric_of, view
from .records import Study
from .replicates import items
from .sharing import shared


@dataclass(frozen=True)
class Verdict:
    """What is said of a comparison."""

    comparison: Comparison
    word: str
    dagger: bool
    detail: str
    level: float = LEVEL
    """Its interval is at 1 − this."""
    look: int | None = None
    """As many of each arm's seeds as it was last seen with; None: all."""
    shrunk: float | None = None
    """What is left of an early look's effect, of a ratio its logarithm."""
    if_converges: bool = False
    """Its effect is of the seeds that both finished, since some diverged."""


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
    if "effect" in claim or "over" in claim:
        return screens.claimed(study, claim)
    metric = metric_of(study, claim)
    return [
        (arm, other, metric)
        for other in named(claim["than"])
        for arm in named(claim["better"])
        if arm != other
    ]


def mirrored(name: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same comparison from the other side."""
    return name[1], name[0], name[2]


WORDS = {
    "gap": ("smaller gap", "larger gap"),
    "cost.seconds": ("faster", "slower"),
    "cost.epochs": ("fewer epochs", "more epochs"),
    "seed_sd": ("steadier", "less steady"),
}
"""What is better and worse where less is better."""


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
        return self._lent(found)

    def _lent(
        self, found: dict[tuple[str, str, str], Comparison], look: int | None = None
    ) -> dict[tuple[str, str, str], Comparison]:
        """With the seed variance that comparisons lend each other."""
        if not self.study.shares:
            return found
        pairs = {name: one for name, one in found.items() if name[:2] not in screens.sides(self.study)}
        averaged = {name: one for name, one in found.items() if name not in pairs}
        lent = shared(pairs) | screens.shared(self.study, averaged, look)
        return {name: lent[name] for name in found}

    def comparison(self, name: tuple[str, str, str]) -> Comparison:
        """Of two arms, in the order that is asked for."""
        if name in self.members:
            return self.members[name]
        if name not in self.compared:
            self.compared[name] = self._turned(name)
        return self.compared[name]

    def _turned(self, name: tuple[str, str, str], look: int | None = None) -> Comparison:
        """What is declared from the other side."""
        plain, declared = self._plain(name, look), self.members[mirrored(name)].effect
        effect = plain.effect
        if effect and declared and declared.by:
            effect = replace(effect, by=replace(declared.by, mean=effect.mean))
        return replace(plain, effect=effect)

    def _plain(self, name: tuple[str, str, str], look: int | None = None) -> Comparison:
        """By its own seeds alone; as many of each arm's as a look had."""
        return screens.compare(self.study, name, look) or compare(self.study, *name, look=look)

    def shrunk(self, name: tuple[str, str, str]) -> float | None:
        """An effect of an early look drawn back; None where there was but one look."""
        return None

    def at(self, cut: float | str) -> dict[tuple[str, str, str], float]:
        """Adjusted p-values at a cut: a number, or `delta` and `-delta`, each member's own."""
        if cut not in self.adjusted:
            p = self.raw(cut)
            own = [name[2] == "cost.seconds" for name in self.members]
            others = holm([1.0 if timed else one for timed, one in zip(own, p, strict=True)])
            found = [a if timed else b for timed, a, b in zip(own, holm(p), others, strict=True)]
            self.adjusted[cut] = dict(zip(self.members, found, strict=True))
        return self.adjusted[cut]

    def raw(self, cut: float | str) -> list[float]:
        """The members' own p-values at a cut."""
        return [
            member.p(self._cut(member, cut)) if self._has(member, cut) else 1.0
            for member in self.members.values()
        ]

    @staticmethod
    def _has(member: Comparison, cut: float | str) -> bool:
        return cut == 0 or member.delta is not None

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
        if unstable(member, zero):
            return self._unstable(member)
        if member.withheld:
            return "not judged"
        if member.reason:
            return "inconclusive" if member.seeds else "not run yet"
        kind = member.metric.partition(".")[0]
        words = WORDS.get(kind) or WORDS.get(member.metric)
        if words and zero:
            return words[zero < 0]
        if zero < 0:
            return "harmful"
        if zero > 0:
            small = ", small" if above < 0 else ""
            return f"helps, by more than {points(member.delta or 0)}" if above > 0 else f"helps{small}"
        if above < 0:
            return "equivalent" if below > 0 else "no gain"
        return "inconclusive"

    def _unstable(self, member: Comparison) -> str:
        """In how many of an arm's seeds what happened."""
        counted = []
        for counts, what in ((member.diverged, "diverged"), (member.little, "little learned")):
            for count, arm in zip(counts, (member.arm, member.reference), strict=True):
                whose = "" if arm == member.arm else "of the reference "
                said = "" if whose and what == "diverged" else f" {what}"
                of = len(self.study.arms[arm])
                counted += [f"{whose}{count}/{of}{said}"] * bool(count)
        return f"unstable ({', '.join(counted)})"

    def verdict(self, name: tuple[str, str, str]) -> Verdict:
        if name not in self.verdicts:
            self.verdicts[name] = self._verdict(name)
        return self.verdicts[name]

    def _verdict(self, name: tuple[str, str, str]) -> Verdict:
        word = self.word(name)
        one = self.comparison(name)
        parts = [
            one.reason or (self.detail(one) if word == "inconclusive" else ""),
            *hardly(one),
            screens.held(self.study, name[:2]),
        ]
        detail = "; ".join(filter(None, parts))
        if word in WORDS["seed_sd"] and one.spreads:
            detail = f"its sd over seeds is {points(abs(one.benefit))} apart"
        told = not word.startswith("unstable")
        dagger = told and word != self.word(name, strict=False) and self._held_back(name)
        alone = not told and any(one.diverged)
        if alone:
            seeds = one.finished.seeds if one.finished else one.seeds
            one = replace(one, effect=one.finished, seeds=seeds)
        found = Verdict(one, word, dagger, detail, self.level(name), self.seen(name), self.shrunk(name))
        return replace(found, if_converges=alone and one.effect is not None)

    def _held_back(self, name: tuple[str, str, str]) -> bool:
        """Whether the printed interval alone would say more at some cut."""
        return any(
            self.side(name, cut, strict=False) and not self.side(name, cut, strict=True)
            for cut in (0.0, "delta", "-delta")
        )

    def level(self, name: tuple[str, str, str]) -> float:
        """Of a comparison's interval."""
        return LEVEL

    def seen(self, name: tuple[str, str, str]) -> int | None:
        """With how many of each arm's seeds a comparison was last seen; None: all."""
        return None

    def answers(self, name: tuple[str, str, str], claim: dict[str, Any]) -> str:
        """What this pair says of a claim: supported, refuted, inconclusive or not judged."""
        one = self.comparison(name)
        if one.withheld or (needs_delta(claim) and one.delta is None):
            return "not judged"
        if unstable(one, self.side(name, 0.0, True)):
            return "inconclusive"
        return answer(claim, lambda cut: self.side(name, cut, True))

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
            delta, smallest = member.delta, effect.detectable(member.level / size)
            if smallest >= 1:
                return "detects no difference at all"
            parts.append(f"detects {points(smallest)} or more")
            if self.study.folds or smallest <= delta:
                return parts[0]
            seeds = fewest(lambda n: found(delta, n), member.seeds)
            need = f"would take {seeds} seeds" if seeds else f"would need {self.images(member)}"
            parts.append(f"{points(delta)} {need}")
        seen = abs(effect.mean)
        if member.delta is None or member.delta < seen < smallest:
            seeds = fewest(lambda n: found(seen, n), member.seeds)
            unit = "" if parts and "would take" in parts[-1] else " seeds"
            if seeds:
                parts.append(f"as large as seen, it would take {seeds}{unit}")
        return "; ".join(parts)

    def images(self, member: Comparison) -> str:
        """What finds δ where no number of seeds does: more items, or more of both."""
        effect, size = member.effect, len(self.members)
        assert effect is not None
        assert member.delta is not None
        delta, start = member.delta, min(effect.items)

        def found(items: int, seeds: int) -> bool:
            known = effect if seeds == member.seeds else effect.with_seeds(seeds)
            level = LEVEL if seeds > 3 else LEVEL / 2
            return known.with_items(items / start).detectable(level / size) <= delta

        for seeds in (member.seeds * 2**k for k in range(7)):
            enough = fewest(lambda n, seeds=seeds: found(n, seeds), start, MOST_TIMES * start)
            if enough:
                also = f"{seeds} seeds and " if seeds != member.seeds else ""
                return f"{also}about {self.more(member, enough / start)}"
        told = self.more(member, MOST_TIMES)
        return f"over {told}" if "times" in told else f"more than {told}"

    def more(self, member: Comparison, times: float) -> str:
        """So many times the items of a set, in words."""
        kind, _, name = member.metric.partition(".")
        name, seen = name if kind == "gap" else kind, view(self.study, member.metric)
        every = [seen(trial) for trials in self.study.arms.values() for trial in trials if trial.done]
        called = self.study.grouped(name) or "images"
        if kind == "gap":
            many = f"{times:.2g}" if times < 10 else two_digits(math.ceil(times))
            return f"{many} times as many {called} of both sets"
        further = two_digits(math.ceil(items(every, name) * (times - 1)))
        return f"{further} more {'test ' if called == 'images' else ''}{called}"


def needs_delta(claim: dict[str, Any]) -> bool:
    """Whether only a metric that has one can bear it out."""
    return bool(claim.get("margin")) or claim.get("expect") in ("no gain", "no difference", "flat")


def answer(claim: dict[str, Any], side: Callable[[float | str], int]) -> str:
    """What a comparison says of a claim, by the side of each cut that it is seen on."""
    zero, above, below = (side(cut) for cut in (0.0, "delta", "-delta"))
    expect, margin = claim.get("expect", "better"), claim.get("margin", 0.0) / 100
    if expect == "no gain":
        supported, refuted = above < 0 or zero < 0, above > 0 and zero > 0
    elif expect in ("no difference", "flat"):
        supported, refuted = above < 0 < below, (above > 0 and zero > 0) or (below < 0 and zero < 0)
    elif margin:
        over = side(margin)
        supported, refuted = over > 0 and zero > 0, over < 0 or zero < 0
    else:
        supported, refuted = zero > 0, zero < 0 or above < 0
    return "supported" if supported else "refuted" if refuted else "inconclusive"


def two_digits(count: int) -> str:
    """A count, rounded up to two digits."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"


def unstable(member: Comparison, zero: int) -> bool:
    """Whether what became of seeds leaves no verdict: against the arm that diverged more there is one."""
    if member.mixed or not any(member.diverged):
        return member.mixed
    mine, theirs = member.diverged
    return not (zero < 0 and mine > theirs) and not (zero > 0 and mine < theirs)


def hardly(member: Comparison) -> list[str]:
    """Arms of which no seed learned much, where that withholds no verdict."""
    told = ("no seed learned much", "no seed of the reference learned much")
    return [said for count, said in zip(member.little, told, strict=True) if count and not member.mixed]


def points(value: float) -> str:
    """A fraction in points, with their unit: one decimal, below 0.95 two digits."""
    number = f"{round(100 * value, 1):g}" if 100 * value >= 0.95 else f"{100 * value:.2g}"
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


def clopper_pearson(failed: float, seeds: int) -> tuple[float, float]:
    """One-sided 95 % bounds of a share, the lower and the upper."""
    low = float(stats.beta.ppf(LEVEL, failed, seeds - failed + 1)) if failed else 0.0
    high = float(stats.beta.ppf(1 - LEVEL, failed + 1, seeds - failed)) if failed < seeds else 1.0
    return low, high
