"""How every planned trial ended, read from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.identity import identity
from bench.judge.findings import LOCAL, Seeds
from bench.plan import TEST, fingerprint
from bench.planned import PlanFile, PlannedTrial
from bench.recipe import Choice, Data, Recipe
from bench.record import GANG
from bench.store import UNREADABLE, Predictions, Record, Store
from bench.study.read import Study

OutcomeState = Literal["done", "diverged", "failed", "stale", "damaged", "not run"]
LOST = "is gone or damaged; bench run mends it"
OWN_FAULTS = ("oom", "error")
"""Causes that are the arm's doing; the others are the machine's, and the trial is run again."""


@dataclass(frozen=True)
class Outcome:
    """One planned trial and what became of it."""

    planned: PlannedTrial
    state: OutcomeState
    record: Record | None = None
    reason: str = ""

    @property
    def replicate(self) -> tuple[int, int | None]:
        """Seed and fold: what pairs it with another arm's."""
        return self.planned.seed, self.planned.fold

    def score(self, called: str, metric: str) -> float | None:
        """Of a finished trial, on a set as the report calls it; None where it has none."""
        if self.state != "done" or self.record is None:
            return None
        key = self.planned.sets.get(TEST if called == LOCAL else called, "")
        return self.record.scores.get(key, {}).get(metric)

    def scored_on(self, name: str) -> bool:
        """Whether it was scored on a set, by its name in the plan: one may have been added since."""
        return self.record is not None and self.planned.sets.get(name, "") in self.record.scores

    @property
    def own_fault(self) -> bool:
        """Failed by the arm itself, not by the machine."""
        return self.state == "failed" and self.record is not None and self.record.cause in OWN_FAULTS

    @property
    def little_learned(self) -> str:
        """Done, but little was learned: how little; else empty."""
        return self.record.little_learned if self.record else ""


def unscored(trials: Sequence[Outcome]) -> str:
    """What trials of an arm ended as, where the machine let none of them come to a score: ``3 timeout``."""
    if any(o.state in ("done", "diverged") for o in trials):
        return ""
    causes = Counter(o.record.cause for o in trials if o.state == "failed" and o.record)
    return ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))


def device(outcome: Outcome) -> str:
    """Kind of device a trial ran on."""
    about = outcome.record.machine if outcome.record else {}
    return str(about.get("device_name") or about.get("device") or "unknown device")


def gang(outcome: Outcome) -> int:
    """Trials that took turns in its process, itself included: what it cost is a share."""
    return int(outcome.record.machine.get(GANG) or 1) if outcome.record else 1


def cost(outcome: Outcome, what: str) -> float | None:
    """Seconds of training, or epochs trained."""
    record = outcome.record
    if record is None:
        return None
    if what == "seconds":
        return record.training_s
    return trained(outcome, "epochs")


def trained(outcome: Outcome, what: str) -> float | None:
    """``epochs`` or ``steps`` summed over the stages; None where a stage does not say."""
    stages = outcome.record.training if outcome.record else []
    values = [stage.get(what) for stage in stages if stage.get("train") != "none"]
    numbers = [value for value in values if isinstance(value, int | float)]
    return float(sum(numbers)) if numbers and len(numbers) == len(values) else None


def said(outcome: Outcome, store: Store, name: str | None = None) -> dict[str, Predictions]:
    """What a trial said; nothing where its file is damaged, which the report tells elsewhere.

    name   of the set that is asked for; None: all there are
    """
    try:
        keys = None if name is None else (outcome.planned.sets.get(name, ""),)
        return store.predictions(outcome.planned.id, keys)
    except UNREADABLE:
        return {}


Outcomes = Mapping[str, tuple[Outcome, ...]]
"""Arm → its trials in the plan's order."""


def read_outcomes(study: Study, plan: PlanFile, store: Store) -> dict[str, tuple[Outcome, ...]]:
    """Every planned trial, by arm. Old records are searched for only where one is missing.

    What lost its history or predictions is missing, as for ``bench run``: else a mean would have its score,
    and the interval beside it not.
    """
    found = {trial.id: store.read(trial.id) for arm in plan.arms for trial in arm.trials}
    missing = [id for id, record in found.items() if record is None]
    damaged = {damage.id: damage for damage in store.damaged(missing)}
    old = _by_content(store.records()) if missing else {}
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    for arm in plan.arms:
        recipe = study.arm(arm.label)
        content = _content(recipe.recipe, recipe.data)
        trials = []
        for trial in arm.trials:
            record = found[trial.id]
            if record is not None and (part := store.lost(record, whole=True)):
                trials.append(Outcome(trial, "damaged", reason=f"its {part} {LOST}"))
            elif record is not None:
                assert record.status != "pruned", "only candidates are"
                trials.append(Outcome(trial, record.status, record))
            elif damage := damaged.get(trial.id):
                trials.append(Outcome(trial, damage.state, reason=f"its record {damage.reason}"))
            elif stale := old.get((content, trial.seed, trial.fold)):
                trials.append(
                    Outcome(trial, "stale", reason=f"trial {stale.id} ran with other component versions")
                )
            else:
                trials.append(Outcome(trial, "not run"))
        outcomes[arm.label] = tuple(trials)
    return outcomes


def _content(recipe: Recipe, data: Data) -> str:
    """Recipe and data as text, without the weight file's name, which a record holds as a hash."""
    model = {key: value for key, value in recipe.model.params.items() if key != "weights"}
    unnamed = recipe.model_copy(update={"model": Choice(name=recipe.model.name, params=model)})
    return fingerprint([identity(unnamed), identity(data)])


def _by_content(records: list[Record]) -> dict[tuple[str, int, int | None], Record]:
    found = {}
    for record in records:
        trained = record.trained if record.role == "final" else None
        if trained is not None:
            found[_content(*trained), record.seed, record.fold] = record
    return found


def count(outcomes: tuple[Outcome, ...]) -> Seeds:
    """How an arm's trials ended, counted."""
    states = Counter(outcome.state for outcome in outcomes)
    causes = Counter(o.record.cause or "error" for o in outcomes if o.state == "failed" and o.record)
    return Seeds(
        planned=len(outcomes),
        done=states["done"],
        diverged=states["diverged"],
        little_learned=sum(bool(outcome.little_learned) for outcome in outcomes),
        failed=tuple(sorted(causes.items())),
        stale=states["stale"],
        damaged=states["damaged"],
        not_run=states["not run"],
    )
