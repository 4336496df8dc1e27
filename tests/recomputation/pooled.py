"""Several data sets: means, verdicts and predictions of a page on all of them, from its studies."""

import math
import tomllib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from .check import Tally, check_csv
from .comparisons import Comparison
from .family import WORDS, Family, mirrored, points
from .formulas import LEVEL, holm
from .records import Study

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
        self.file: dict[str, Any] = tomllib.loads((results / name / "study.toml").read_text())
        self.parts = {one: Study(results, f"{name}@{one}") for one in self.file["datasets"]}
        for one, study in self.parts.items():
            own = self.file["datasets"][one]
            study.file = self.file | {"data": self.file.get("data", {}) | own}
            study.file["hidden"] = self.file.get("hidden", {}) | own.get("hidden", {})
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
        found = {one: member.reason for one, member in self.of_sets(name).items()}
        return {one: reason for one, reason in found.items() if reason}

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

    def side(self, name: Name, cut: float | None, strict: bool) -> int:
        """1 above a cut of the benefit, −1 below, 0 undecided; by Holm, or by the interval alone."""
        mean = self.means[name]
        if mean is None or cut is None:
            return 0
        level = LEVEL / (2 if strict and len(self.parts) <= FEWEST else 1)
        raw = {one: self._p(one, cut) for one in self.names}
        adjusted = dict(zip(raw, holm(list(raw.values())), strict=True)) if strict else raw
        if adjusted[name] >= level:
            return 0
        return 1 if self._sign(name) * mean.mean > cut else -1

    def _p(self, name: Name, cut: float) -> float:
        mean = self.means[name]
        return 1.0 if mean is None else replace(mean, mean=self._sign(name) * mean.mean).p(cut)

    def _sign(self, name: Name) -> int:
        return next(iter(self.of_sets(name).values())).sign

    def word(self, name: Name, strict: bool = True) -> str:
        """The verdict."""
        delta = next(iter(self.of_sets(name).values())).delta
        zero, above = self.side(name, 0.0, strict), self.side(name, delta, strict)
        below = self.side(name, -delta if delta else None, strict)
        kind = name[2].partition(".")[0]
        words = WORDS.get(kind) or WORDS.get(name[2])
        if words and zero:
            return words[zero < 0]
        if zero < 0:
            return "harmful"
        if zero > 0:
            return (
                f"helps, by more than {points(delta or 0)}"
                if above > 0
                else "helps" + ", small" * (above < 0)
            )
        if above < 0:
            return "equivalent" if below > 0 else "no gain"
        return "inconclusive"

    def rows(self) -> list[Name]:
        """In the order of the page."""
        primary, first = self.first.primary, self.first.baseline

        def rank(name: Name) -> tuple[bool, bool, float]:
            mean = self.means[name]
            return name[2] != primary, mean is None, -self._sign(name) * mean.mean if mean else 0.0

        assert all(name[1] == first for name in self.names if name[2] == primary), (
            "designs are not covered here"
        )
        return sorted(self.names, key=rank)

    def pooled(self) -> list[dict[str, Any]]:
        rows = []
        for name in self.rows():
            mean, of = self.means[name], len(self.parts)
            ends = [mean.mean, *mean.ends(), *mean.ends(mean.tau)] if mean else [None] * 5
            row = dict(zip(("effect", "low", "high", "new_set_low", "new_set_high"), ends, strict=True))
            row |= {"arm": name[0], "reference": name[1], "metric": name[2], "new_set": row["effect"]}
            row |= {"between": mean and mean.tau, "inconsistency": mean and mean.inconsistency}
            row |= {"sets": f"{of - len(self.missing(name))} of {of}", "if_converges": "no"}
            word = self.word(name) if mean else "no mean"
            row |= {"detail": self.detail(name, word)}
            dagger = bool(mean) and word != self.word(name, strict=False)
            rows.append(row | {"verdict": word, "dagger": "yes" if dagger else "no"})
        return rows

    def detail(self, name: Name, word: str) -> str:
        """Why there is no mean, or what would make it narrower."""
        mean, missing, of = self.means[name], self.missing(name), len(self.parts)
        if missing:
            why = "; ".join(f"{one}: {reason}" for one, reason in missing.items())
            return f"{of - len(missing)} of {of} data sets; {why}"
        if mean is None:
            return f"{of} data sets, {FEWEST} needed: fewer say nothing of how data sets differ"
        if word != "inconclusive":
            return ""
        effects = [member.effect for member in self.of_sets(name).values() if member.effect]
        within = 1 / sum(1 / (effect.by or effect).variance for effect in effects)
        if within >= mean.error**2 / 2:
            return "most of its width is noise within data sets: more seeds, or images, would narrow it"
        return "most of its width is how data sets differ: more of them would narrow it, more seeds hardly"

    def datasets(self) -> list[dict[str, Any]]:
        rows = []
        for name in self.rows():
            mean = self.means[name]
            weights = mean.weights if mean else [None] * len(self.parts)
            for (one, member), weight in zip(self.of_sets(name).items(), weights, strict=True):
                family = self.families[one]
                effect, said = member.effect, family.verdict(name)
                ends = effect.ends() if effect else (None, None)
                row = {
                    "arm": name[0],
                    "reference": name[1],
                    "metric": name[2],
                    "dataset": one,
                    "weight": weight,
                }
                row |= {
                    "effect": effect and effect.mean,
                    "low": ends[0],
                    "high": ends[1],
                    "seeds": member.seeds,
                }
                row |= {
                    "verdict": said.word,
                    "why_not": member.reason,
                    "dagger": "yes" if said.dagger else "no",
                }
                rows.append(row | {"if_converges": "no"})
        return rows

    def sets(self) -> list[dict[str, Any]]:
        name, rows = self.first.primary_set, []
        for one, study in self.parts.items():
            row = {"name": one, "study": study.name, "source": study.file["data"]["source"]}
            rows.append(row | {"trials": _ended(study), "images": f"{len(_answers(study, name).labels):,}"})
        return rows


def _ended(study: Study) -> str:
    every = [trial for trials in study.arms.values() for trial in trials]
    return f"{sum(trial.done or trial.diverged for trial in every)}/{len(every)}"


def _answers(study: Study, name: str) -> Any:
    trial = study.finished(study.baseline)[0]
    return trial.answers(trial.keys[name])


def recompute(results: Path, name: str) -> list[Tally]:
    """Every table of a page on several data sets, checked."""
    page = Pooled(results, name)
    tables = {"pooled": page.pooled, "datasets": page.datasets, "parts": page.sets}
    return [check_csv(results / name / "tables" / f"{key}.csv", rows) for key, rows in tables.items()]
