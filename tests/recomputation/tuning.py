"""The ledger of the searches, and the one tidy table of all scores."""

from collections.abc import Callable
from math import comb
from typing import Any

from .comparisons import on_score, pairs
from .records import Candidate, Row, Search, Study, Trial
from .rows import effect
from .scores import ALL_SCORES
from .searches import (
    best,
    distinct,
    edge,
    finished,
    half,
    judged,
    lead_in_words,
    lower,
    metric,
    minutes,
    ranked,
    state,
    told,
    value,
)
from .settings import written


def expected_best(values: list[float], k: int) -> float:
    """Of k candidates drawn without repetition: the i-th smallest is the best of comb(i − 1, k − 1) draws."""
    ordered = sorted(values)
    return sum(one * comb(i, k - 1) for i, one in enumerate(ordered)) / comb(len(ordered), k)


def budgets(count: int) -> list[int]:
    """1, 2, 4, … and all."""
    found = [2**power for power in range(count) if 2**power < count]
    return [*found, count]


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
    again = {study.baseline: study.again}
    for role, arms in (("final", study.arms), ("again", again), ("shared", study.shared)):
        for arm, trials in arms.items():
            for trial in trials:
                scores = {name: scored(trial, name) if trial.done else {} for name in study.sets}
                scores["val"] = judged(trial, "val") if trial.done else {}
                rows += _rows(study, arm, role, trial, scores)
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
