"""The ledger of the searches, and the one tidy table of all scores."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from .comparisons import LOWER, UNITS, on_score, pairs
from .records import Candidate, Search, Study, Trial
from .rows import Row, effect
from .scores import ALL_SCORES, right
from .settings import written


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


def expected_best(values: list[float], k: int) -> float:
    """Of k candidates drawn without repetition: the i-th smallest is the best of comb(i − 1, k − 1) draws."""
    ordered = sorted(values)
    return sum(one * comb(i, k - 1) for i, one in enumerate(ordered)) / comb(len(ordered), k)


def budgets(count: int) -> list[int]:
    """1, 2, 4, … and all."""
    found = [2**power for power in range(count) if 2**power < count]
    return [*found, count]


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


def edge(study: Study, arm: str, key: str, chosen: Any) -> str:
    """`low` or `high` where a chosen value lies in the outer tenth of its range; else empty."""
    wanted = study.file["tune"]["space"][key]
    base = _own(study, arm, key)
    if "choices" in wanted:
        return _edge_of_choices(wanted["choices"], chosen)
    if "times" in wanted:
        if base is None:
            return ""
        low, high = base / math.sqrt(wanted["times"]), base * math.sqrt(wanted["times"])
    else:
        low, high = wanted["low"], wanted["high"]
    if low == high:
        return ""
    log = wanted.get("log", False)
    where = math.log(chosen / low) / math.log(high / low) if log else (chosen - low) / (high - low)
    return "low" if where < 0.1 else "high" if where > 0.9 else ""


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


def setting(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {written(one)}" for key, one in values.items())


def ledger(study: Study) -> list[Row]:
    rows = []
    for search in study.searches:
        done = distinct(finished(search))
        each = [(-1 if lower(study) else 1) * value(study, one) for one in done]
        sign = -1 if lower(study) else 1
        curve = [(k, sign * expected_best(each, k)) for k in budgets(len(each))] if each else []
        chosen = best(study, search)
        first, all_of = half(study, search), next(iter(ranked(study, done)), None)
        rows.append(
            {
                "arm": search.arm,
                "finished": _counted(study, search),
                "chosen": _chosen(study, search.arm, chosen) if chosen else "nothing",
                "best": value(study, chosen) if chosen else None,
                "lead": lead_in_words(study, search),
                "curve": " · ".join(f"{k}: {told(study, one)}" for k, one in curve) or None,
                "best_of_half": value(study, first) if first else None,
                "settled": bool(first and all_of and first.number == all_of.number),
                "device_minutes": sum(minutes(one) for one in (*search.candidates, *search.finalists)),
            }
        )
    return rows


def _counted(study: Study, search: Search) -> str:
    states = [state(search, one) for one in search.candidates]
    of = len(states) if study.file["tune"].get("minutes") else study.file["tune"]["candidates"]
    counted = [(states.count("diverged"), "diverged"), (states.count("failed"), "failed")]
    counted += [(states.count("pruned"), "cut short")]
    counted += [(len(states) - len(distinct(search.candidates)), "repeat others")]
    return ", ".join([f"{states.count('done')}/{of}", *(f"{n} {word}" for n, word in counted if n)])


def _chosen(study: Study, arm: str, chosen: Candidate) -> str:
    parts = []
    for key, one in chosen.values.items():
        where = edge(study, arm, key, one)
        parts.append(f"{key} {written(one)}" + f" ({where} edge)" * bool(where))
    return ", ".join(parts)


def why(search: Search, one: Candidate) -> tuple[str | None, str | None]:
    """What the first training run that was lost says, and its id."""
    ends = state(search, one)
    if ends == "pruned":
        return "behind the others", None
    lost = next(
        (trial for trial in one.trials if ends != "done" and trial.record.get("status") == ends), None
    )
    if lost is None:
        return None, None
    return (lost.record["message"] or lost.record["cause"]).partition("\n")[0], lost.id


def candidates(study: Study) -> list[Row]:
    rows = []
    for search in study.searches:
        for one in search.candidates:
            ends = state(search, one)
            row: Row = {"arm": search.arm, "candidate": one.number, "state": ends}
            row[metric(study)] = value(study, one) if ends == "done" else None
            row |= dict.fromkeys(key for other in study.searches for key in other.candidates[0].values)
            row |= {key: _cell(given) for key, given in one.values.items()}
            row |= dict(zip(("why", "trial"), why(search, one), strict=True))
            row |= {"seconds": 60 * minutes(one), "settings": setting(one.values)}
            rows.append(row)
    return rows


def _cell(given: Any) -> Any:
    return given if isinstance(given, int | float) and not isinstance(given, bool) else written(given)


def shared(study: Study) -> list[Row]:
    """The baseline's tuned values against each arm's own, on the primary metric's set."""
    rows = []
    for arm in study.shared:
        row: Row = {
            "arm": arm,
            "shared_diverged": sum(t.record["status"] == "diverged" for t in study.shared[arm]),
        }
        for name, common in (("shared", True), ("own", False)):
            score = study.primary.partition(".")[2]
            first, second = pairs(study, arm, study.baseline, shared=common)
            row |= effect(name, on_score(study, first, second, study.primary_set, score))
        rows.append(row | {"turned": _side(row, "shared") != _side(row, "own")})
    return rows


def _side(row: Row, name: str) -> int:
    """1 or −1 where the whole interval is above or below zero."""
    if row[f"{name}_low"] is None:
        return 0
    return int(row[f"{name}_low"] > 0) - int(row[f"{name}_high"] < 0)


def results(study: Study, scored: Callable[[Trial, str], dict[str, float]]) -> list[Row]:
    """Every score of every trial: replicates, those with shared values, candidates."""
    rows: list[Row] = []
    for role, arms in (("final", study.arms), ("shared", study.shared)):
        for arm, trials in arms.items():
            for trial in trials:
                scores = {name: scored(trial, name) for name in study.sets}
                rows += _rows(study, arm, role, trial, scores | {"val": judged(trial, "val")})
    for search in study.searches:
        for one in (*search.candidates, *search.finalists):
            for trial in one.trials:
                names = (["val_shift"] if "val_shift" in study.file else []) + ["val"]
                known = {name: judged(trial, name) if trial.done else {} for name in names}
                cut = one.number in search.pruned
                rows += _rows(study, search.arm, "tune", trial, known, "pruned" if cut else "not run")
    return rows


def _rows(
    study: Study,
    arm: str,
    role: str,
    trial: Trial,
    scores: dict[str, dict[str, float]],
    absent: str = "not run",
) -> list[Row]:
    """A row for each set and score; of a trial that is not done without values.

    absent  what a trial without a record is called
    """
    record = trial.record
    head = {"study": study.name, "arm": arm, "seed": trial.seed, "fold": trial.fold}
    timings = record.get("timings", {})
    seconds = timings.get("train") or sum(v for k, v in timings.items() if k != "images_per_s") or None
    head |= {"role": role, "trial": trial.id, "status": record.get("status", absent), "seconds": seconds}
    return [
        head | {"set": name, "metric": score, "value": found.get(score)}
        for name, found in scores.items()
        for score in sorted(ALL_SCORES)
    ]
