"""How a tuning candidate stands, told from its records alone: the search and the report read the same."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.plan import VAL_SHIFT
from bench.planned import Candidate, PlannedSearch, PlannedTrial
from bench.registry import metrics
from bench.store import CONTINUED, MOST_ATTEMPTS, Brief

CandidateState = Literal["done", "diverged", "failed", "pruned", "missing"]
TINY = 1e-3
"""Keeps a diverged candidate below those that finished where all of these are equal."""


@dataclass(frozen=True)
class Standing:
    """What became of one candidate."""

    candidate: Candidate
    state: CandidateState
    value: float | None = None
    """The tuning metric, mean over the tuning seeds; None unless done."""
    by_seed: tuple[float, ...] = ()
    """The metric of each seed that finished, in the order of the seeds."""
    loss: float = math.inf
    """Mean validation loss: settles ties."""
    seconds: float = 0.0
    """Device time of all its trials."""
    why: str = ""
    """Diverged, failed: what its first such trial says, on one line."""
    trial: str = ""
    """That trial's id."""
    course: tuple[float, ...] = ()
    """Cut short by evaluations: best validation accuracy by each, as far as it got."""


def standing(candidate: Candidate, records: Mapping[str, Brief | None], metric: str) -> Standing:
    """How a candidate stands.

    records  by trial id; None or absent: no record that can be used
    metric   ``val.<score>`` or ``val_shift.<score>``
    """
    pairs = [(trial, records.get(trial.id)) for trial in candidate.trials]
    there = [record for trial, record in pairs if record is not None and usable(trial, record)]
    seconds = sum(sum(record.seconds.values()) for record in there)
    for state in ("failed", "diverged"):
        bad = next((record for record in there if record.status == state), None)
        if bad is not None:
            why = (bad.message or bad.cause).partition("\n")[0]
            return Standing(candidate, state, seconds=seconds, why=why, trial=bad.id)
    scored = [score(trial, record, metric) for trial, record in pairs if record in there]
    values = tuple(value for value in scored if value is not None)
    if len(there) < len(pairs):
        return Standing(candidate, "missing", by_seed=values, seconds=seconds)
    if len(values) < len(pairs) or not all(map(math.isfinite, values)):
        return Standing(candidate, "failed", seconds=seconds, why=f"{metric} is undefined here")
    loss = statistics.fmean(record.validation.get("nll", math.inf) for record in there)
    return Standing(candidate, "done", statistics.fmean(values), values, loss, seconds=seconds)


def finals(search: PlannedSearch, read: Callable[[str], Brief | None], metric: str) -> list[Standing]:
    """How every finalist of a planned search stands by its fresh seeds, in their order."""
    return [
        standing(each, {trial.id: telling(read(trial.id), metric) for trial in each.trials}, metric)
        for each in search.finalists
    ]


def standings(search: PlannedSearch, read: Callable[[str], Brief | None], metric: str) -> list[Standing]:
    """How every candidate of a planned search stands, in their order."""
    found = []
    for candidate in search.candidates:
        records = {trial.id: telling(read(trial.id), metric) for trial in candidate.trials}
        each = standing(candidate, records, metric)
        if candidate.number in search.pruned and any(records.values()):  # else what told so is lost
            seconds = sum(sum(r.seconds.values()) for r in records.values() if r)
            each = Standing(
                candidate, "pruned", by_seed=each.by_seed, seconds=seconds, why="behind the others"
            )
        found.append(each)
    return found


def telling(record: Brief | None, metric: str) -> Brief | None:
    """``record``, or None where it is of a finished trial from before the tuning metric was known."""
    if record is None or record.status != "done":
        return record
    name = metric.partition(".")[2]
    known = name in record.scored_with or name in record.validation
    return record if known else None


def usable(trial: PlannedTrial, record: Brief | None) -> bool:
    """Whether a record says all that a search must know of a trial; if not, the trial is run (again).

    Not one that another search's pruner cut short, that the machine failed and may try again, or that lacks
    the shifted validation images of this study.
    """
    if record is None or record.status == "pruned":
        return False
    if record.status == "failed":
        return record.cause not in CONTINUED or record.attempts >= MOST_ATTEMPTS
    return record.status == "diverged" or all(key in record.scores for key in trial.sets.values())


def score(trial: PlannedTrial, record: Brief | None, metric: str) -> float | None:
    """The tuning metric of one trial; None where it was not scored, or is undefined."""
    of, _, name = metric.partition(".")
    if record is None:
        return None
    if of == VAL_SHIFT:
        return record.scores.get(trial.sets[VAL_SHIFT], {}).get(name)
    return record.validation.get(name)


def distinct(standings: Iterable[Standing]) -> list[Standing]:
    """The standings without candidates that repeat an earlier one's settings: no second look at anything."""
    seen: list[Mapping[str, Any]] = []
    found = []
    for each in standings:
        if each.candidate.values not in seen:
            seen.append(each.candidate.values)
            found.append(each)
    return found


def worst(standings: Iterable[Standing], metric: str) -> float:
    """What a search is told of a candidate that diverged, more being better: less than any that finished.

    As far below the least of them as that is below the best: a sampler that fits values is not thrown by it.
    """
    done = [goodness(each.value, metric) for each in standings if each.state == "done"]
    return 2 * min(done) - max(done) - TINY if done else 0.0


def ranked(standings: Iterable[Standing], metric: str) -> list[Standing]:
    """Those that are done, best first, without repeats; at a tie the lower loss, then the earlier one."""
    done = [s for s in standings if s.state == "done" and s.value is not None]
    return sorted(distinct(done), key=lambda s: (-goodness(s.value, metric), s.loss, s.candidate.number))


def winner(standings: Iterable[Standing], metric: str) -> int | None:
    """Number of the best candidate. None when none is done."""
    return next((best.candidate.number for best in ranked(standings, metric)), None)


def choice(candidates: Iterable[Standing], finals: Iterable[Standing], metric: str) -> int | None:
    """Number of what an ended search chose: the best finalist; where none is done, the best candidate."""
    best = winner(finals, metric)
    return winner(candidates, metric) if best is None else best


def goodness(value: float | None, metric: str) -> float:
    """``value`` turned so that more is better; −inf where there is none."""
    if value is None:
        return -math.inf
    return -value if metrics[metric.partition(".")[2]].traits["lower_is_better"] else value


def expected_best(values: Sequence[float], k: int) -> float:
    """Expected best of ``k`` candidates drawn without repetition from these; more is better.

    Source: Dodge et al. 2019, in its form without replacement (Tang et al. 2020).
    """
    ranked, n = sorted(values), len(values)
    if not 1 <= k <= n:
        raise ValueError(f"k is 1 to {n}, not {k}")
    # The i-th from below is the best of a draw when the other k − 1 come from the i beneath it.
    return sum(value * math.comb(i, k - 1) for i, value in enumerate(ranked)) / math.comb(n, k)


def spelled(values: Mapping[str, Any]) -> str:
    """``optimizer.lr 0.003 · batch_size 32``."""
    shown = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return " · ".join(f"{key} {value}" for key, value in shown.items())
