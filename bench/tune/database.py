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

from bench.plan import Plan, PlannedSearch
from bench.store import Record
from bench.study.file import Tune
from bench.study.read import Arm
from bench.tune.candidates import Standing, goodness, standings
from bench.tune.propose import distributions, to_optuna

# A view holds no value that was made up: what diverged is a failure here, a sampler is told a worst value.
STATES = {
    "done": TrialState.COMPLETE,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
    "missing": TrialState.RUNNING,
}


def update(file: Path, plan: Plan, arms: Mapping[str, Arm], read: Callable[[str], Record | None]) -> str:
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
    file: Path, plan: Plan, arms: Mapping[str, Arm], tune: Tune, read: Callable[[str], Record | None]
) -> None:
    storage = RDBStorage(f"sqlite:///{file}")
    try:
        for search in plan.searches:
            _Mirror(storage, search, tune, arms[search.arm]).update(standings(search, read, tune.metric))
    finally:
        storage.engine.dispose()


class _Mirror:
    """One arm's search as an Optuna study; the words "study" and "trial" are Optuna's here."""

    def __init__(self, storage: RDBStorage, search: PlannedSearch, tune: Tune, arm: Arm) -> None:
        self.storage, self.search, self.tune = storage, search, tune
        self.kinds = distributions(tune, arm)
        self.study = self._open()

    def _open(self) -> optuna.Study:
        return optuna.create_study(
            storage=self.storage,
            study_name=self.search.arm,
            direction="maximize" if goodness(1.0, self.tune.metric) > 0 else "minimize",
            sampler=RandomSampler(seed=0),  # never used: every trial is enqueued
            load_if_exists=True,
        )

    def update(self, found: list[Standing]) -> None:
        """Bring every candidate to where its records are."""
        trials = self.study.get_trials(deepcopy=False)
        if len(trials) > len(found) or not all(map(self._agrees, trials, found)):
            optuna.delete_study(study_name=self.search.arm, storage=self.storage)
            self.study, trials = self._open(), []
        self.study.set_user_attr("metric", self.tune.metric)
        for each, trial in zip(found, [*trials, *[None] * (len(found) - len(trials))], strict=True):
            if trial is None:
                self._ask(each)
            if each.state != "missing" and (trial is None or not trial.state.is_finished()):
                self._tell(each)

    def _agrees(self, trial: FrozenTrial, each: Standing) -> bool:
        same = trial.params == to_optuna(each.candidate.values, self.kinds)
        if trial.state in (TrialState.RUNNING, TrialState.WAITING):
            return same and trial.state == TrialState.RUNNING
        return (
            same and trial.state == STATES[each.state] and (each.value is None or trial.value == each.value)
        )

    def _ask(self, each: Standing) -> None:
        attributes: dict[str, Any] = {"trials": json.dumps([trial.id for trial in each.candidate.trials])}
        self.study.enqueue_trial(to_optuna(each.candidate.values, self.kinds), user_attrs=attributes)
        self.study.ask(self.kinds)

    def _tell(self, each: Standing) -> None:
        number = each.candidate.number
        if each.state == "done":
            self.study.tell(number, each.value)
            return
        trial = self.study.get_trials(deepcopy=False)[number]
        self.storage.set_trial_user_attr(trial._trial_id, "why", f"{each.state}: {each.why}")
        self.study.tell(number, state=STATES[each.state])
