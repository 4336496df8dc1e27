"""What the claims of a study get: supported, refuted or inconclusive."""

from typing import Protocol

from .family import Family, claimed, clopper_pearson
from .parts import metric_of
from .records import Row, Study, Trial
from .rows import effect, verdict

Name = tuple[str, str, str]


def claims(study: Study, family: Family) -> list[Row]:
    """A row for each claim and pair of arms."""
    rows: list[Row] = []
    for claim in study.file.get("claims", []):
        head = {"claim": claim["says"], "metric": metric_of(study, claim), "expect": expected(claim)}
        if claim.get("expect") == "does not converge":
            rows.append(head | _convergence(study, claim))
        else:
            rows += [head | row for row in _pairs(study, family, claim)]
    return rows


def expected(claim: Row) -> str:
    """In words."""
    margin = claim.get("margin", 0)
    by = f" by {margin:g} point{'s' * (margin != 1)}" if margin else ""
    return str(claim.get("expect", "better")) + by + "".join(f" to {k} {v:g}" for k, v in _criterion(claim))


def _criterion(claim: Row) -> list[tuple[str, float]]:
    """What a seed that converges reaches, and how far; none where a finite loss is enough."""
    return list(claim.get("criterion", {}).items())


def _reached(trial: Trial, key: str, wanted: float) -> bool:
    """Whether any evaluation did: a loss as low, an accuracy as high."""
    values = [entry[key] for entry in trial.history if key in entry]
    return min(values) <= wanted if key.endswith("loss") else max(values) >= wanted


def _convergence(study: Study, claim: Row) -> Row:
    """By how many seeds diverged, or missed what the claim says."""
    trials, asked = study.arms[claim["better"]], _criterion(claim)
    failed = sum(trial.diverged or not all(_reached(trial, *one) for one in asked) for trial in trials)
    low, high = clopper_pearson(failed, len(trials))
    outcome = "supported" if low > 0.5 else "refuted" if high < 0.5 else "inconclusive"
    share = f"between {100 * low:.0f} and {100 * high:.0f} %"
    how = "diverged" if not asked else "did not reach " + "".join(f"{k} {v:g}" for k, v in asked)
    would = "would not" if asked else "would"
    detail = f"{failed} of {len(trials)} seeds {how}; of all seeds {share} {would} (each bound at 95 %)"
    empty = ("arm", "reference", "effect", "low", "high", "verdict", "dagger", "if_converges")
    return dict.fromkeys(empty) | {"metric": "converged", "outcome": outcome, "detail": detail}


def _pairs(study: Study, family: Family, claim: Row) -> list[Row]:
    """A row for each pair."""
    names = claimed(study, claim)
    said = outcome(family, names, claim, told_more=study.mirrored_once)
    rows = []
    for name in names:
        found = family.verdict(name)
        row = {"outcome": said, "arm": name[0], "reference": name[1]}
        rows.append(row | effect("effect", found.comparison, found.level, stem="") | verdict(found))
    return rows


class Judged(Protocol):
    """Comparisons with verdicts: of a study, or means over several."""

    def answers(self, name: Name, claim: Row) -> str:
        """What one says of a claim."""

    def side(self, name: Name, cut: float | str, strict: bool) -> int:
        """1 above a cut of its benefit, −1 below, 0 undecided."""

    def word(self, name: Name) -> str:
        """Its verdict."""


def outcome(judged: Judged, names: list[Name], claim: Row, told_more: bool = True) -> str:
    """By the verdicts on all its pairs: one that refutes is enough, all have to support.

    told_more  where no gain was expected, what else holds: that there is a loss
    """
    answers = {judged.answers(name, claim) for name in names}
    said = answers.pop() if len(answers) == 1 else "refuted" if "refuted" in answers else "inconclusive"
    losses = [name for name in names if judged.side(name, 0.0, strict=True) < 0]
    if said != "supported" or claim.get("expect") != "no gain" or not told_more or not losses:
        return said
    where = f" in {len(losses)} of {len(names)} pairs" if len(losses) < len(names) else ""
    return f"{said}, and more: {judged.word(losses[0])}{where}"
