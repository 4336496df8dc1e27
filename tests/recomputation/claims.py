"""What the claims of a study get: supported, refuted or inconclusive."""

from .family import Family, claimed, clopper_pearson
from .parts import metric_of
from .records import Row, Study
from .rows import effect, verdict


def claims(study: Study, family: Family) -> list[Row]:
    """A row for each claim and pair of arms."""
    rows: list[Row] = []
    for claim in study.file.get("claims", []):
        head = {"claim": claim["says"], "metric": metric_of(study, claim)}
        head["expect"] = claim.get("expect", "better")
        if "margin" in claim:
            head["expect"] += f" by {claim['margin']:g} point{'s' * (claim['margin'] != 1)}"
        if head["expect"] == "does not converge":
            rows.append(head | _convergence(study, claim))
        else:
            rows += [head | row for row in _pairs(study, family, claim)]
    return rows


def _convergence(study: Study, claim: Row) -> Row:
    """By how many seeds diverged."""
    trials = study.arms[claim["better"]]
    failed = sum(trial.record["status"] == "diverged" for trial in trials)
    low, high = clopper_pearson(failed, len(trials))
    outcome = "supported" if low > 0.5 else "refuted" if high < 0.5 else "inconclusive"
    share = f"between {100 * low:.0f} and {100 * high:.0f} %"
    detail = f"{failed} of {len(trials)} seeds diverged; of all seeds {share} would (each bound at 95 %)"
    empty = ("arm", "reference", "effect", "low", "high", "verdict", "dagger", "if_converges")
    return dict.fromkeys(empty) | {"metric": "converged", "outcome": outcome, "detail": detail}


def _pairs(study: Study, family: Family, claim: Row) -> list[Row]:
    """By the verdicts on all its pairs: one that refutes is enough, all have to support."""
    names = claimed(study, claim)
    answers = {family.answers(name, claim) for name in names}
    outcome = answers.pop() if len(answers) == 1 else "refuted" if "refuted" in answers else "inconclusive"
    if outcome == "supported" and claim.get("expect") == "no gain" and study.mirrored_once:
        outcome += _more(family, names)
    rows = []
    for name in names:
        found = family.verdict(name)
        row = {"outcome": outcome, "arm": name[0], "reference": name[1]}
        rows.append(row | effect("effect", found.comparison, found.level, stem="") | verdict(found))
    return rows


def _more(family: Family, names: list[tuple[str, str, str]]) -> str:
    """What else holds where no gain was expected: that there is a loss."""
    losses = [name for name in names if family.side(name, 0.0, strict=True) < 0]
    if not losses:
        return ""
    where = f" in {len(losses)} of {len(names)} pairs" if len(losses) < len(names) else ""
    return f", and more: {family.verdict(losses[0]).word}{where}"
