"""The ledger of the searches, and the one tidy table of all scores."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np

from .comparisons import difference
from .formulas import Effect
from .records import Candidate, Search, Study, Trial
from .settings import written

Row = dict[str, Any]


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


def finished(search: Search) -> list[Candidate]:
    return [one for one in search.candidates if all(trial.done for trial in one.trials)]


def minutes(candidate: Candidate) -> float:
    """Everything that a candidate's training runs took."""
    total = sum(
        v for trial in candidate.trials for k, v in trial.record["timings"].items() if k != "images_per_s"
    )
    return float(total / 60)


def expected_best(values: list[float], k: int) -> float:
    """Of k candidates drawn without repetition: the i-th smallest is the best of comb(i − 1, k − 1) draws."""
    ordered = sorted(values)
    return sum(one * comb(i, k - 1) for i, one in enumerate(ordered)) / comb(len(ordered), k)


def budgets(count: int) -> list[int]:
    """1, 2, 4, … and all."""
    found = [2**power for power in range(count) if 2**power < count]
    return [*found, count]


def distinct(search: Search) -> list[Candidate]:
    """Finished candidates, each setting once."""
    found: dict[str, Candidate] = {}
    for one in finished(search):
        found.setdefault(repr(sorted(one.values.items())), one)
    return list(found.values())


def lead(study: Study, search: Search) -> str | None:
    """The best candidate's lead over the second; at equal values the lower validation loss is ahead."""
    if any((trial.folder / "predictions.npz").exists() for one in search.candidates for trial in one.trials):
        raise NotImplementedError("the standard error of a lead")

    def rank(one: Candidate) -> tuple[float, float]:
        losses = [judged(trial, "val")["nll"] for trial in one.trials]
        return -value(study, one), float(np.mean(losses))

    ranked = sorted(distinct(search), key=rank)
    if len(ranked) < 2:
        return None
    by = value(study, ranked[0]) - value(study, ranked[1])
    return f"{100 * by:.1f} points over candidate {ranked[1].number}"


def half(study: Study, search: Search) -> float:
    """The best of the first half of the candidates."""
    able = distinct(search)
    return max(value(study, one) for one in able[: max(1, len(able) // 2)])


def setting(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {written(one)}" for key, one in values.items())


def ledger(study: Study) -> list[Row]:
    rows = []
    for search in study.searches:
        values = {one.number: value(study, one) for one in finished(search)}
        best = max(values, key=lambda number: (values[number], -number))
        chosen = next(one for one in search.candidates if one.number == best)
        each = list(values.values())
        curve = " · ".join(f"{k}: {100 * expected_best(each, k):.1f}" for k in budgets(len(each)))
        rows.append(
            {
                "arm": search.arm,
                "finished": f"{len(values)}/{len(search.candidates)}",
                "chosen": setting(chosen.values),
                "best": values[best],
                "lead": lead(study, search),
                "curve": curve,
                "best_of_half": half(study, search),
                "device_minutes": sum(minutes(one) for one in search.candidates),
            }
        )
    return rows


def candidates(study: Study) -> list[Row]:
    rows = []
    for search in study.searches:
        for one in search.candidates:
            row: Row = {
                "arm": search.arm,
                "candidate": one.number,
                "state": "done",
                metric(study): value(study, one),
            }
            row |= dict.fromkeys(key for other in study.searches for key in other.candidates[0].values)
            row |= {key: _cell(given) for key, given in one.values.items()}
            row |= {"why": None, "trial": None, "seconds": 60 * minutes(one)}
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
            found = difference(study, arm, study.baseline, study.primary_set, shared=common)
            assert isinstance(found, Effect)
            row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row | {"turned": _side(row, "shared") != _side(row, "own")})
    return rows


def _side(row: Row, name: str) -> int:
    """1 or −1 where the whole interval is above or below zero."""
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
        for one in search.candidates:
            for trial in one.trials:
                names = (["val_shift"] if "val_shift" in study.file else []) + ["val"]
                rows += _rows(study, search.arm, "tune", trial, {name: judged(trial, name) for name in names})
    return rows


def _rows(study: Study, arm: str, role: str, trial: Trial, scores: dict[str, dict[str, float]]) -> list[Row]:
    record = trial.record
    head = {
        "study": study.name,
        "arm": arm,
        "seed": trial.seed,
        "fold": trial.fold,
        "role": role,
        "trial": trial.id,
    }
    head |= {"status": record["status"], "seconds": record["timings"]["train"]}
    return [
        head | {"set": name, "metric": score, "value": found[score]}
        for name, found in scores.items()
        for score in sorted(found)
    ]
