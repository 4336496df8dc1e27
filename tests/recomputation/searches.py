"""The searches of a study: what became of candidates, which was chosen, by how much, how safely."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .comparisons import LOWER, UNITS
from .records import Candidate, Search, Study, Trial
from .scores import right


def judged(trial: Trial, name: str) -> dict[str, float]:
    """A trial's scores on `val` or `val_shift`, as its record has them: predictions are not always kept."""
    if name == "val":
        return dict(trial.record["validation"])
    return dict(trial.record["scores"][trial.keys[name]])


def metric(study: Study) -> str:
    return str(study.file["tune"].get("metric", "val.accuracy"))


def value(study: Study, candidate: Candidate) -> float:
    """What the search goes by: the mean over a candidate's training runs."""
    name, _, score = metric(study).partition(".")
    return float(np.mean([judged(trial, name)[score] for trial in candidate.trials]))


def state(search: Search, one: Candidate) -> str:
    """What became of a candidate; one training run that is not done is enough."""
    if one.number in search.pruned:
        return "pruned"
    ends = {trial.record.get("status", "missing") for trial in one.trials}
    return next((end for end in ("failed", "diverged", "missing") if end in ends), "done")


def finished(search: Search) -> list[Candidate]:
    return [one for one in search.candidates if state(search, one) == "done"]


def minutes(candidate: Candidate) -> float:
    """Everything that a candidate's training runs took."""
    total = sum(
        v
        for trial in candidate.trials
        for k, v in trial.record.get("timings", {}).items()
        if k != "images_per_s"
    )
    return float(total / 60)


def lower(study: Study) -> bool:
    """Whether less of the metric is better."""
    return metric(study).partition(".")[2] in LOWER


def in_points(study: Study) -> bool:
    return metric(study).partition(".")[2] not in UNITS


def ranked(study: Study, some: list[Candidate]) -> list[Candidate]:
    """Best first; at equal values by the lower validation loss, then by number. Settings once."""

    def rank(one: Candidate) -> tuple[float, float, int]:
        losses = [judged(trial, "val")["nll"] for trial in one.trials]
        return (1 if lower(study) else -1) * value(study, one), float(np.mean(losses)), one.number

    return sorted(distinct(some), key=rank)


def deciding(search: Search) -> list[Candidate]:
    """Those that chose: the finalists that finished with all their seeds, where there are any."""
    again = [one for one in search.finalists if all(trial.done for trial in one.trials)]
    return again or finished(search)


def best(study: Study, search: Search) -> Candidate | None:
    """What was chosen."""
    return next(iter(ranked(study, deciding(search))), None)


def distinct(some: list[Candidate]) -> list[Candidate]:
    """Each setting once."""
    found: dict[str, Candidate] = {}
    for one in some:
        found.setdefault(repr(sorted(one.values.items())), one)
    return list(found.values())


@dataclass(frozen=True)
class Lead:
    """Of the best over the runner-up of those that chose."""

    over: int
    by: float
    """In the metric, 0 or more."""
    images: float | None
    """The same in validation images of one seed; None where answers were not kept, or it is no accuracy."""
    errors: float | None
    """In standard errors; None where nothing tells how large one is."""

    @property
    def tie(self) -> bool:
        return self.errors is not None and round(self.errors, 6) < 1


def lead(study: Study, search: Search) -> Lead | None:
    """None where fewer than two chose.

    The standard error is the larger of that over seeds, each seed a pair, and that over images, √ of those on
    which just one of the two is right by all images; the latter of accuracy on validation alone.
    """
    order = ranked(study, deciding(search))
    if len(order) < 2:
        return None
    first, second = order[:2]
    name, _, score = metric(study).partition(".")
    sign = -1 if lower(study) else 1
    each = [
        sign * (judged(one, name)[score] - judged(two, name)[score])
        for one, two in zip(first.trials, second.trials, strict=True)
    ]
    by, seeds = max(0.0, float(np.mean(each))), len(each)
    errors = [float(np.std(each, ddof=1)) / math.sqrt(seeds)] if seeds > 1 else []
    right_of = _right(first, second) if metric(study) == "val.accuracy" else None
    images = None
    if right_of is not None:
        count, apart = len(right_of[0]), int(np.sum(right_of[0] != right_of[1]))
        errors.append(math.sqrt(apart) / count)
        images = by * count / seeds
    if not errors:
        return Lead(second.number, by, images, None)
    error = max(errors)
    return Lead(second.number, by, images, 0.0 if not by else by / error if error else math.inf)


def _right(first: Candidate, second: Candidate) -> tuple[np.ndarray, np.ndarray] | None:
    """Which validation images of all seeds each of two answers rightly; None where that was not kept."""
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for trials in zip(first.trials, second.trials, strict=True):
        if not all((trial.folder / "predictions.npz").exists() for trial in trials):
            return None
        for trial, side in zip(trials, found, strict=True):
            side.append(right(trial.answers("val")))
    return np.concatenate(found[0]), np.concatenate(found[1])


def told(study: Study, number: float) -> str:
    return f"{100 * number:.1f}" if in_points(study) else f"{number:.4f}"


def lead_in_words(study: Study, search: Search) -> str | None:
    found = lead(study, search)
    if found is None:
        return None
    counted = [f"{found.images:.1f} images"] if found.images is not None else []
    if found.errors is not None:
        counted.append("over 10" if found.errors >= 10 else f"{found.errors:.1f}")
        counted[-1] += " standard errors"
    said = told(study, found.by) + " points" * in_points(study)
    said += f" ({', '.join(counted)})" if counted else ""
    return f"{said} over candidate {found.over}" + ": a tie" * found.tie


def half(study: Study, search: Search) -> Candidate | None:
    """The best of the first half of the candidates."""
    first = search.candidates[: len(search.candidates) // 2]
    return next(iter(ranked(study, [one for one in first if state(search, one) == "done"])), None)


def order(study: Study, share: float) -> list[str] | None:
    """The arms, best first, by the first of their candidates that could change it; None where none could."""
    able = {search.arm: distinct(finished(search)) for search in study.searches}
    if min(map(len, able.values())) < 2:
        return None
    sign = 1 if lower(study) else -1
    tops = {
        arm: min(sign * value(study, one) for one in some[: max(1, int(len(some) * share))])
        for arm, some in able.items()
    }
    return sorted(tops, key=lambda arm: tops[arm])


def space(study: Study, arm: str) -> dict[str, dict[str, Any]]:
    """What is tuned in an arm: tables for arms of its name come on top, the last wins."""
    found = dict(study.file["tune"]["space"])
    for pattern, further in study.file["tune"].get("arms", {}).items():
        if fnmatchcase(arm, pattern):
            found |= further
    return found


def edge(study: Study, arm: str, key: str, chosen: Any) -> str:
    """`low` or `high` where a chosen value lies in the outer tenth of its range; else empty."""
    wanted = space(study, arm)[key]
    if "choices" in wanted:
        return _edge_of_choices(wanted["choices"], chosen)
    found = ends(study, arm, key)
    if found is None:
        return ""
    low, high = found
    if low == high:
        return ""
    log = wanted.get("log", False)
    where = math.log(chosen / low) / math.log(high / low) if log else (chosen - low) / (high - low)
    return "low" if where < 0.1 else "high" if where > 0.9 else ""


def ends(study: Study, arm: str, key: str) -> tuple[float, float] | None:
    """Of a range of numbers; None where it lies around a value that the file does not say."""
    wanted = space(study, arm)[key]
    if "times" not in wanted:
        return wanted["low"], wanted["high"]
    base = _own(study, arm, key)
    return base and (base / math.sqrt(wanted["times"]), base * math.sqrt(wanted["times"]))


def _edge_of_choices(choices: list[Any], chosen: Any) -> str:
    """Of three and more numbers, the ends."""
    numbers = [one for one in choices if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) < max(3, len(choices)):
        return ""
    return "low" if chosen == min(numbers) else "high" if chosen == max(numbers) else ""


def _own(study: Study, arm: str, key: str) -> float | None:
    """An arm's own value of a setting, as far as the study file says it."""
    patch = study.file.get("arms", {}).get(arm, {})
    if key in patch:
        return float(patch[key])
    table, _, name = key.partition(".")
    for part in (patch, study.file["recipe"]):
        if isinstance(part.get(table), dict) and name in part[table]:
            return float(part[table][name])
    return None
