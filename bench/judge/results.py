"""Every score of every planned trial, a row each: what people compute with, not what they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bench.judge.findings import LOCAL
from bench.judge.outcomes import read_outcomes
from bench.plan import TEST
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.store import VALIDATION, Record, Store
from bench.study.read import Study
from bench.tune.space import shared_values, tuned_study

Role = Literal["final", "again", "shared", "tune"]


class Row(NamedTuple):
    """One score of one trial."""

    study: str
    arm: str
    seed: int
    fold: int | None
    role: Role
    """A replicate, an A/A run, a replicate with the baseline's tuned values, a candidate's training run."""
    set: str
    """``local``, a hidden set's name, ``val`` or ``val_shift``."""
    metric: str
    value: float | None
    """0 to 1 (``nll`` in nats). None unless the trial is done, was scored on the set and is defined there."""
    status: str
    """``done``, ``diverged``, ``failed``, ``pruned``, ``stale``, ``damaged``, ``not run``."""
    seconds: float | None
    """Of training."""
    trial: str


class Scored(NamedTuple):
    """One trial and its scores: what its rows have in common is said once."""

    head: tuple[str, str, int, int | None, Role]
    """The row's ``study`` to ``role``."""
    scores: Mapping[str, Mapping[str, float]]
    """Set → metric → value, of every set that it is to be scored on; one is missing where Row says None."""
    tail: tuple[str, float | None, str]
    """The row's ``status`` to ``trial``."""


class Results(NamedTuple):
    """Scores of every planned trial."""

    metrics: Sequence[str]
    """Each that any trial of the study has: every set of a trial has a row for each."""
    trials: Iterator[Scored]


def rows(study: Study, plan: PlanFile, store: Store) -> Iterator[Row]:
    """A row for every planned trial, each of its sets and each metric that any trial of the study has.

    study   as its file says

    A trial that is not done has its rows too, without values: whoever averages meets what is missing.
    """
    metrics, trials = read(study, plan, store)
    for head, every, tail in trials:
        for name, scores in every.items():
            yield from (Row(*head, name, metric, scores.get(metric), *tail) for metric in metrics)


def read(study: Study, plan: PlanFile, store: Store) -> Results:
    """The same, by trial."""
    trials = [*_replicates(study, plan, store), *_candidates(plan, store)]
    scored = (
        Scored(
            (study.name, arm, planned.seed, planned.fold, role),
            _scores(planned, record if status == "done" else None),
            (status, record.training_s if record else None, planned.id),
        )
        for arm, role, planned, status, record in trials
    )
    return Results(_metrics(trials) or [study.primary.partition(".")[2]], scored)


class _Trial(NamedTuple):
    arm: str
    role: Role
    planned: PlannedTrial
    status: str
    record: Record | None


def _replicates(study: Study, plan: PlanFile, store: Store) -> Iterator[_Trial]:
    own = {search.arm: search.values for search in plan.searches}
    alike = {
        arm.label: shared_values(study.tune, own[study.baseline], arm.label)
        for arm in plan.shared
        if study.tune
    }
    groups: list[tuple[Role, tuple[PlannedArm, ...], Mapping[str, Mapping[str, Any]]]] = [
        ("final", plan.arms, own),
        ("again", (plan.again,) if plan.again else (), own),
        ("shared", plan.shared, alike),
    ]
    for role, arms, values in groups:
        part = plan.model_copy(update={"arms": arms})
        for arm, outcomes in read_outcomes(tuned_study(study, values), part, store).items():
            yield from (_Trial(arm, role, o.planned, o.state, o.record) for o in outcomes)


def _candidates(plan: PlanFile, store: Store) -> Iterator[_Trial]:
    for search in plan.searches:
        for candidate in search.tried:
            for planned in candidate.trials:
                known = store.read(planned.id)
                record = None if known and store.lost(known, whole=True) else known
                cut = candidate.number in search.pruned  # its other seeds were never wanted
                absent: list[str] = [damage.state for damage in store.damaged([planned.id])]
                absent += ["damaged"] if known else []
                absent += ["pruned" if cut else "not run"]
                yield _Trial(search.arm, "tune", planned, record.status if record else absent[0], record)


def _metrics(trials: list[_Trial]) -> list[str]:
    """What any record has, or was asked for and is undefined, by name."""
    records = [trial.record for trial in trials if trial.record]
    named = {name for record in records for scores in record.scores.values() for name in scores}
    return sorted(named.union(*(record.scored_with for record in records)))


def _scores(planned: PlannedTrial, record: Record | None) -> dict[str, dict[str, float]]:
    """Set → metric → value, of every set that a trial is to be scored on."""
    called = {LOCAL if name == TEST else name: key for name, key in planned.sets.items()}
    found = {name: record.scores.get(key, {}) if record else {} for name, key in called.items()}
    return found | {VALIDATION: record.validation if record else {}}
