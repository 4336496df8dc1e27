"""``search.db``: the searches of a study in Optuna's form, for optuna-dashboard and for whoever knows Optuna.

A view, never the truth: the records are. What does not agree with them is made anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bench.plan import Plan
from bench.store import Brief
from bench.study.file import Tune
from bench.study.read import Arm
from bench.tune.candidates import Standing, finals, goodness, standings
from bench.tune.propose import distributions, to_optuna

# A view holds no value that was made up: what diverged is a failure here, a sampler is told a worst value.
FINALISTS = ", finalists"
"""What the name of an arm has behind it: its best candidates, trained with fresh seeds."""
STATES = {
    "done": TrialState.COMPLETE,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
    "missing": TrialState.RUNNING,
}


def update(file: Path, plan: Plan, arms: Mapping[str, Arm], read: Callable[[str], Brief | None]) -> str:
    """Ask and tell until the database says what the records say; why that cannot be, or "".

    arms   label → arm as the study's file has it, before tuning
    """
    tune = plan.study.tune
    assert tune is not None
    try:
        _update(file, plan, arms, tune, read)
    except Exception:
        # Damaged, or of another Optuna: all that is in it is also in the records.
        try:
            file.unlink(missing_ok=True)
            _update(file, plan, arms, tune, read)
        except Exception as error:  # a full disk, a folder of that name: no run ends for a view
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)  # half of it would be taken for the whole by the next run
            return str(error).partition("\n")[0]
    return ""


def _update(
    file: Path, plan: Plan, arms: Mapping[str, Arm], tune: Tune, read: Callable[[str], Brief | None]
) -> None:
    storage = RDBStorage(f"sqlite:///{file}")
    try:
        told: dict[str, tuple[str, list[Standing]]] = {}
        for search in plan.searches:
            told[search.arm] = search.arm, standings(search, read, tune.metric)
            if search.finalists:
                told[search.arm + FINALISTS] = search.arm, finals(search, read, tune.metric)
        for name in set(optuna.get_all_study_names(storage)) - set(told):
            optuna.delete_study(study_name=name, storage=storage)
        for name, (arm, found) in told.items():
            _Mirror(storage, name, tune, arms[arm]).update(found)
    finally:
        storage.engine.dispose()


class _Mirror:
    """An arm's candidates, or finalists, as an Optuna study; "study" and "trial" are Optuna's words here."""

    def __init__(self, storage: RDBStorage, name: str, tune: Tune, arm: Arm) -> None:
        self.storage, self.name, self.tune = storage, name, tune
        self.kinds = distributions(tune, arm)
        self.study = self._open()

    def _open(self) -> optuna.Study:
        return optuna.create_study(
            storage=self.storage,
            study_name=self.name,
            direction="maximize" if goodness(1.0, self.tune.metric) > 0 else "minimize",
            sampler=RandomSampler(seed=0),  # never used: every trial is enqueued
            load_if_exists=True,
        )

    def update(self, found: list[Standing]) -> None:
        """Bring every candidate to where its records are."""
        trials = self.study.get_trials(deepcopy=False)
        if len(trials) > len(found) or not all(map(self._agrees, trials, found)):
            optuna.delete_study(study_name=self.name, storage=self.storage)
            self.study, trials = self._open(), []
        self.study.set_user_attr("metric", self.tune.metric)
        known = [*trials, *[None] * (len(found) - len(trials))]
        for number, (each, trial) in enumerate(zip(found, known, strict=True)):
            if trial is None:
                self._ask(each)
            if each.state != "missing" and (trial is None or not trial.state.is_finished()):
                self._tell(number, each)

    def _agrees(self, trial: FrozenTrial, each: Standing) -> bool:
        same = trial.params == to_optuna(each.candidate.values, self.kinds)
        if trial.state in (TrialState.RUNNING, TrialState.WAITING):
            return same and trial.state == TrialState.RUNNING
        return (
            same and trial.state == STATES[each.state] and (each.value is None or trial.value == each.value)
        )

    def _ask(self, each: Standing) -> None:
        attributes: dict[str, Any] = {
            "candidate": each.candidate.number,
            "trials": json.dumps([trial.id for trial in each.candidate.trials]),
        }
        self.study.enqueue_trial(to_optuna(each.candidate.values, self.kinds), user_attrs=attributes)
        self.study.ask(self.kinds)

    def _tell(self, number: int, each: Standing) -> None:
        """number: of Optuna's trial, which a finalist shares with no candidate."""
        if each.state == "done":
            self.study.tell(number, each.value)
            return
        trial = self.study.get_trials(deepcopy=False)[number]
        self.storage.set_trial_user_attr(trial._trial_id, "why", f"{each.state}: {each.why}")
        self.study.tell(number, state=STATES[each.state])
