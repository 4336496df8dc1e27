"""Several data sets: means, verdicts and predictions of a page on all of them, from its studies."""

import math
import tomllib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from .claims import expected, outcome
from .comparisons import Comparison
from .family import WORDS, Family, answer, claimed, mirrored, needs_delta, points
from .formulas import LEVEL, holm
from .parts import metric_of
from .records import Row, Study
from .rows import effect, verdict

FEWEST = 3
Name = tuple[str, str, str]


@dataclass(frozen=True)
class Mean:
    """Over data sets."""

    mean: float
    error: float
    tau: float
    inconsistency: float
    weights: list[float]

    def p(self, cut: float) -> float:
        return float(2 * stats.t.sf(abs(self.mean - cut) / self.error, len(self.weights) - 1))

    def ends(self, tau: float = 0.0) -> tuple[float, float]:
        """Of the interval of the mean; with τ of that of a new data set."""
        half = float(stats.t.isf(0.025, len(self.weights) - 1)) * math.sqrt(tau**2 + self.error**2)
        return self.mean - half, self.mean + half


def over(differences: list[float], variances: list[float]) -> Mean:
    """Q of the weights 1/(v + τ²) is the median of χ², or less where τ is 0."""
    y, v = np.array(differences), np.array(variances)

    def apart(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float(w @ (y - np.average(y, weights=w)) ** 2)

    wanted, most = float(stats.chi2.median(len(y) - 1)), 1e4 * float(np.ptp(y) ** 2) + 1e-12
    tau2 = optimize.brentq(lambda at: apart(at) - wanted, 0, most, xtol=1e-18) if apart(0) > wanted else 0.0
    w = 1 / (v + tau2)
    share = max(0.0, 1 - (len(y) - 1) / apart(0)) if apart(0) else 0.0
    error = 1 / math.sqrt(w.sum())
    return Mean(float(np.average(y, weights=w)), error, math.sqrt(tau2), share, list(w / w.sum()))


class Pooled:
    """The page, as its tables are to be."""

    def __init__(self, results: Path, name: str) -> None:
        self.name = name
        self.file: dict[str, Any] = tomllib.loads((results / name / "study.toml").read_text())
        self.parts = {one: Study(results, f"{name}@{one}") for one in self.file["datasets"]}
        self.families = {one: Family(study) for one, study in self.parts.items()}
        self.first = next(iter(self.parts.values()))

    @cached_property
    def names(self) -> list[Name]:
        """Each comparison once."""
        found: list[Name] = []
        for family in self.families.values():
            found += [name for name in family.members if name not in found and mirrored(name) not in found]
        return found

    def of_sets(self, name: Name) -> dict[str, Comparison]:
        return {one: family.comparison(name) for one, family in self.families.items()}

    def missing(self, name: Name) -> dict[str, str]:
        """Data set → why it tells no difference."""
        found = {one: self.why_not(member) for one, member in self.of_sets(name).items()}
        return {one: reason for one, reason in found.items() if reason}

    @staticmethod
    def why_not(member: Comparison) -> str:
        return member.reason or ("has no standard error" if member.effect is None else "")

    @cached_property
    def means(self) -> dict[Name, Mean | None]:
        found: dict[Name, Mean | None] = {}
        for name in self.names:
            effects = [member.effect for member in self.of_sets(name).values()]
            known = [effect for effect in effects if effect is not None]
            lacks = bool(self.missing(name)) or len(known) < max(FEWEST, len(effects))
            deciding = [effect.by or effect for effect in known]
            variances = [effect.variance for effect in deciding]
            found[name] = None if lacks else over([effect.mean for effect in known], variances)
        return found

    def mean(self, name: Name) -> Mean | None:
        """Told from the side that is asked for."""
        if name in self.means:
            return self.means[name]
        other = self.means[mirrored(name)]
        return other and replace(other, mean=-other.mean)

    def side(self, name: Name, cut: float | str, strict: bool) -> int:
        """1 above a cut of the benefit, −1 below, 0 undecided; by Holm, or by the interval alone.

        cut  a number, or `delta` and `-delta`, each comparison's own
        """
        if name not in self.means:
            opposite = -cut if not isinstance(cut, str) else {"delta": "-delta", "-delta": "delta"}[cut]
            return -self.side(mirrored(name), opposite, strict)
        mean, where = self.means[name], self._cut(name, cut)
        if mean is None or where is None:
            return 0
        level = LEVEL / (2 if strict and len(self.parts) <= FEWEST else 1)
        if (self._adjusted(cut)[name] if strict else self._p(name, cut)) >= level:
            return 0
        return 1 if self._sign(name) * mean.mean > where else -1

    def _adjusted(self, cut: float | str) -> dict[Name, float]:
        """By Holm; seconds count among themselves, and for all others with p = 1."""
        p = {name: self._p(name, cut) for name in self.names}
        timed = {name: name[2] == "cost.seconds" for name in self.names}
        every = holm([*p.values()])
        others = holm([1.0 if timed[name] else p[name] for name in self.names])
        found = zip(self.names, every, others, strict=True)
        return {name: a if timed[name] else b for name, a, b in found}

    def _cut(self, name: Name, cut: float | str) -> float | None:
        delta = self.example(name).delta
        if not isinstance(cut, str):
            return cut if cut == 0 or delta is not None else None
        return delta if cut == "delta" or delta is None else -delta

    def _p(self, name: Name, cut: float | str) -> float:
        mean, where = self.means[name], self._cut(name, cut)
        if mean is None or where is None:
            return 1.0
        return replace(mean, mean=self._sign(name) * mean.mean).p(where)

    def example(self, name: Name) -> Comparison:
        """The comparison on the first data set."""
        return next(iter(self.of_sets(name).values()))

    def _sign(self, name: Name) -> int:
        return self.example(name).sign

    def lost(self, name: Name) -> tuple[int, int]:
        """Seeds that diverged in the arm, and in the reference, on all data sets that tell a difference."""
        told = [member for one, member in self.of_sets(name).items() if one not in self.missing(name)]
        return sum(member.diverged[0] for member in told), sum(member.diverged[1] for member in told)

    def unstable(self, name: Name) -> bool:
        mine, theirs = self.lost(name)
        zero = self.side(name, 0.0, strict=True)
        against = (zero < 0 and mine > theirs) or (zero > 0 and mine < theirs)
        return bool(mine or theirs) and not against

    def word(self, name: Name, strict: bool = True) -> str:
        """The verdict."""
        if self.unstable(name):
            mine, theirs = self.lost(name)
            return f"unstable ({mine} diverged, of the reference {theirs})"
        if self.mean(name) is None:
            return "no mean"
        zero, above, below = (self.side(name, cut, strict) for cut in (0.0, "delta", "-delta"))
        words = WORDS.get(name[2].partition(".")[0]) or WORDS.get(name[2])
        if words and zero:
            return words[zero < 0]
        if zero < 0:
            return "harmful"
        if zero > 0:
            more = f", by more than {points(self.example(name).delta or 0)}"
            return "helps" + (more if above > 0 else ", small" * (above < 0))
        if above < 0:
            return "equivalent" if below > 0 else "no gain"
        return "inconclusive"

    def dagger(self, name: Name) -> bool:
        """Whether the interval alone would say more."""
        return not self.unstable(name) and self.word(name) != self.word(name, strict=False)

    def answers(self, name: Name, claim: dict[str, Any]) -> str:
        """What a mean says of a claim."""
        if needs_delta(claim) and self.example(name).delta is None:
            return "not judged"
        if self.unstable(name):
            return "inconclusive"
        return answer(claim, lambda cut: self.side(name, cut, strict=True))

    def rows(self) -> list[Name]:
        """On the primary metric by their effect, best first, those without a mean last; then as declared."""
        primary, first = self.first.primary, self.first.baseline

        def rank(name: Name) -> tuple[bool, bool, float]:
            mean = self.means[name]
            if name[2] != primary:
                return True, False, 0.0
            return False, mean is None, -self._sign(name) * mean.mean if mean else 0.0

        assert all(name[1] == first for name in self.names if name[2] == primary), (
            "designs are not covered here"
        )
        return sorted(self.names, key=rank)

    def row(self, name: Name) -> Row:
        """A mean, with its verdict."""
        mean, of = self.mean(name), len(self.parts)
        unit = self.example(name).unit
        ends = [mean.mean, *mean.ends(), *mean.ends(mean.tau)] if mean else [None] * 5
        if unit == "ratio" and mean:
            ends = [math.exp(end) for end in ends if end is not None]
        row = dict(zip(("effect", "low", "high", "new_set_low", "new_set_high"), ends, strict=True))
        row |= {"arm": name[0], "reference": name[1], "metric": name[2], "new_set": row["effect"]}
        row |= {"between": mean.tau if mean and unit == "points" else None, "unit": unit}
        row |= {"inconsistency": mean and mean.inconsistency, "known": of - len(self.missing(name))}
        row |= {"sets": f"{row['known']} of {of}", "if_converges": "no", "detail": self.detail(name)}
        return row | {"verdict": self.word(name), "dagger": "yes" if self.dagger(name) else "no"}

    def pooled(self) -> list[Row]:
        return [self.row(name) for name in self.rows()]

    def detail(self, name: Name) -> str:
        """Why there is no mean, or what would make it narrower."""
        mean, missing, of = self.mean(name), self.missing(name), len(self.parts)
        if missing:
            why = "; ".join(f"{one}: {reason}" for one, reason in missing.items())
            return f"{of - len(missing)} of {of} data sets; {why}"
        if mean is None:
            return f"{of} data sets, {FEWEST} needed: fewer say nothing of how data sets differ"
        if self.word(name) != "inconclusive":
            return ""
        effects = [member.effect for member in self.of_sets(name).values() if member.effect]
        within = 1 / sum(1 / (effect.by or effect).variance for effect in effects)
        if within >= mean.error**2 / 2:
            return "most of its width is noise within data sets: more seeds, or images, would narrow it"
        return "most of its width is how data sets differ: more of them would narrow it, more seeds hardly"

    def datasets(self) -> list[Row]:
        rows = []
        for name in self.rows():
            mean = self.mean(name)
            weights = mean.weights if mean else [None] * len(self.parts)
            for (one, member), weight in zip(self.of_sets(name).items(), weights, strict=True):
                found = self.families[one].verdict(name)
                row: Row = {"arm": name[0], "reference": name[1], "metric": name[2], "dataset": one}
                row |= effect("effect", found.comparison, found.level, stem="") | verdict(found)
                row |= {"weight": weight, "seeds": found.comparison.seeds, "unit": member.unit}
                rows.append(row | {"why_not": self.why_not(member) or None})
        return rows

    def sets(self) -> list[Row]:
        name, rows = self.first.primary_set, []
        for one, study in self.parts.items():
            row = {"name": one, "study": study.name, "source": study.file["data"]["source"]}
            rows.append(row | {"trials": _ended(study), "images": _images(study, name)})
        return rows

    def claims(self) -> list[Row]:
        """Outcome of each claim on the means, with the comparisons that it is about."""
        found = []
        for claim in self.file.get("claims", []):
            head = {"claim": claim["says"], "metric": metric_of(self.first, claim), "expect": expected(claim)}
            names = claimed(self.first, claim)
            alone = claim.get("expect") == "does not converge"
            said = "not judged" if alone else outcome(self, names, claim)
            found.append(head | {"metric": "converged" if alone else head["metric"], "outcome": said})
            found[-1] |= {"names": names, "needs": needs_delta(claim)}
        return found


def _ended(study: Study) -> str:
    every = [trial for trials in study.arms.values() for trial in trials]
    return f"{sum(trial.done or trial.diverged for trial in every)}/{len(every)}"


def _images(study: Study, name: str) -> str:
    """Different ones of a set, and of how many groups they are."""
    every = [trial for arm in study.arms for trial in study.finished(arm)]
    answers = [trial.answers(key) for key, trial in {trial.keys[name]: trial for trial in every}.items()]
    counted = f"{sum(len(np.unique(one.ids)) for one in answers):,}"
    known = [len(np.unique(one.groups)) for one in answers if one.groups is not None]
    return f"{counted} of {sum(known):,} groups" if known else counted
