"""A results folder that answers by a formula, for tests of searches: no trial is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studies import FakeLocator

from bench.plan import Plan, Run
from bench.store import Record
from bench.study.read import Study
from bench.tune import search

Objective = Callable[[Run], float | str]
"""Validation accuracy of a candidate, or how else it ends: ``diverged``, ``oom``, ``killed``."""


@dataclass
class Desk:
    """Keeps records of what was asked; ``plan`` looks at them."""

    study: Study
    objective: Objective
    records: dict[str, Record] = field(default_factory=dict)
    courses: dict[str, list[float]] = field(default_factory=dict)
    """Validation accuracy by evaluation, where it is not the last value alone."""
    asked: list[Run] = field(default_factory=list)

    def plan(self) -> Plan:
        """The study's plan as far as these records tell."""
        return search.plan(self.study, FakeLocator(), self.records.get, self.history)

    def history(self, id: str) -> list[dict[str, Any]]:
        """What the pruner reads."""
        return [{"val_accuracy": value} for value in self.courses.get(id, [])]

    def answer(self, run: Run) -> None:
        """Put down a record as a worker would."""
        self.asked.append(run)
        said = self.objective(run)
        done = isinstance(said, float)
        course = self.courses.setdefault(run.trial.id, [said, said, said] if isinstance(said, float) else [])
        fields: dict[str, Any] = {"status": "done"}
        if done:
            fields["validation"] = {"accuracy": said, "nll": 1 - said}
            fields["scores"] = {scored.key: {"accuracy": said / 2} for scored in run.sets}
            behind = [i for i, floor in enumerate(run.floors[: len(course)]) if max(course[: i + 1]) < floor]
            if behind:
                fields = {"status": "pruned", "cause": "behind"}
                self.courses[run.trial.id] = course[: behind[0] + 1]
        elif said == "diverged":
            fields = {"status": "diverged", "cause": "not finite", "message": "training loss is nan"}
        else:
            before = self.records.get(run.trial.id)
            attempts = before.attempts + 1 if before else 1
            fields = {"status": "failed", "cause": said, "message": "boom", "attempts": attempts}
        self.records[run.trial.id] = record_of(run, **fields)

    def finish(self) -> Plan:
        """Answer until the search asks no more."""
        for _ in range(1000):
            plan = self.plan()
            if not plan.pending:
                return plan
            for run in plan.pending:
                self.answer(run)
        raise AssertionError("the search never ends")


def record_of(run: Run, **fields: Any) -> Record:
    """A record of one candidate."""
    trial = run.trial
    return Record(
        id=trial.id,
        key=trial.key,
        role=trial.role,
        recipe=trial.recipe.model_dump(mode="json"),
        data=trial.data.model_dump(mode="json"),
        data_fingerprint=trial.data_fingerprint,
        source="synthetic",
        seed=trial.replicate.seed,
        versions=dict(trial.versions),
        timings={"train": 30.0},
        **fields,
    )
