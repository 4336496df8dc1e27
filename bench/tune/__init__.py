"""The fair search: every arm gets the same number of candidates, at the same points of the unit cube.

A search is a pure function of the study and of the records of its candidates: which come next, which are cut
short, which one wins. So a killed run goes on where it stopped, and ``search.db`` is only a view of it.
``propose`` and ``database`` are the only files that know Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.plan import SHARED, Candidate, Locator, Plan, PlannedSearch, Planner, Run, make_plan, planned_trial
from bench.store import Record
from bench.study.file import SEEDS_EACH, TUNING_SEEDS, Tune, ranges_of
from bench.study.patch import look_up
from bench.study.read import Arm, Study
from bench.tune import prune, space
from bench.tune.candidates import Standing, standing, telling, winner

Read = Callable[[str], Record | None]
History = Callable[[str], list[dict[str, Any]]]

NOT_BUILT = ("optimizer.", "schedule.", "loss.")
"""Settings that neither the network nor the batches depend on; the study's own check covers them."""
STARTUP = 10
"""Most candidates that ``tpe`` takes from the paired points before it goes by results."""


@dataclass
class Search:
    """One arm's tuning, as far as its records tell."""

    arm: Arm
    candidates: list[Candidate] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    pending: list[Run] = field(default_factory=list)
    """Trials that must end before anything more can be said."""

    @property
    def ended(self) -> bool:
        """The budget is used up and every candidate judged."""
        return not self.pending

    def planned(self, metric: str) -> PlannedSearch:
        """What ``plan.json`` holds of it."""
        return PlannedSearch(
            arm=self.arm.label,
            candidates=tuple(self.candidates),
            chosen=winner(self.standings, metric) if self.ended else None,
            ended=self.ended,
            pruned=tuple(s.candidate.number for s in self.standings if s.state == "pruned"),
        )


def plan(study: Study, locator: Locator, read: Read, history: History) -> Plan:
    """The study's trials: candidates that are still to run, and replicates with what tuning chose.

    read, history   a trial's record and its evaluations, from the results folder
    """
    tune = study.tune
    if tune is None:
        return make_plan(study, locator)
    searches = [search(tune, arm, Planner(study, locator), read, history) for arm in study.arms]
    planned = tuple(each.planned(tune.metric) for each in searches)
    chosen = {each.arm: each.values for each in planned if each.ended}
    frozen = space.tuned_study(study, chosen)
    planner = Planner(frozen, locator)
    pending: dict[str, Run] = {}
    for run in _interleaved([each.pending for each in searches]):
        pending.setdefault(run.trial.id, run)
    return Plan(
        frozen,
        tuple(run for arm in frozen.arms if arm.label in chosen for run in planner.finals(arm)),
        planner.data_fingerprint(),
        planner.sets(),
        planned,
        tuple(pending.values()),
        tuple(_shared(study, chosen, planner)) if tune.shared else (),
        again=planner.again() if study.baseline in chosen else (),
    )


def ends(study: Study, locator: Locator) -> Iterator[Run]:
    """Every arm with each tuned setting at the ends of its range, for checks before anything is trained."""
    if study.tune is None:
        return
    planner = Planner(study, locator)
    for arm in study.arms:
        tree = arm.recipe.model_dump(mode="json")
        for key, scale in ranges_of(study.tune, arm.label).items():
            if key.startswith(NOT_BUILT):
                continue
            base = look_up(tree, key)
            for end in scale.extremes(base):
                whole = isinstance(base, int) and scale.choices is None
                tried = space.tuned(arm, {key: round(end) if whole else end})
                named = tried.model_copy(update={"label": f"{arm.label}, [tune] {key}"})
                yield from planner.candidates(named, seeds(study.tune)[:1], 0)


def _shared(study: Study, chosen: Mapping[str, Mapping[str, Any]], planner: Planner) -> Iterator[Run]:
    """Replicates of every other arm with the baseline's tuned values, as far as it has such settings."""
    assert study.tune is not None
    if study.baseline not in chosen:
        return
    for arm in study.arms:
        if arm.label == study.baseline:
            continue
        values = space.shared_values(study.tune, chosen[study.baseline], arm.label)
        for run in planner.finals(space.tuned(arm, values)):
            yield replace(run, arm=run.arm + SHARED)


def _interleaved(queues: Sequence[Sequence[Run]]) -> Iterator[Run]:
    """One of each arm in turn: an early stop leaves every arm the same budget."""
    for position in range(max(map(len, queues), default=0)):
        yield from (queue[position] for queue in queues if position < len(queue))


def search(tune: Tune, arm: Arm, planner: Planner, read: Read, history: History) -> Search:
    """Go through an arm's candidates in their order, generation by generation, as far as records reach."""
    found = Search(arm)
    while len(found.candidates) < tune.candidates and not _spent(tune, found.standings):
        generation = _Generation(tune, arm, planner, found.standings, read, history)
        found.candidates += generation.candidates
        found.standings += generation.standings
        if generation.pending:
            found.pending = generation.pending
            return found
    return found


def _spent(tune: Tune, standings: Sequence[Standing]) -> bool:
    return tune.minutes is not None and sum(s.seconds for s in standings) >= 60 * tune.minutes


def seeds(tune: Tune) -> list[int]:
    """Seeds that candidates are trained with: never a replicate's."""
    return [TUNING_SEEDS + SEEDS_EACH * tune.seed + number for number in range(tune.seeds)]


class _Generation:
    """Candidates that are proposed together: nothing of one tells what another is, or whether it is cut."""

    def __init__(
        self,
        tune: Tune,
        arm: Arm,
        planner: Planner,
        told: Sequence[Standing],
        read: Read,
        history: History,
    ) -> None:
        self.tune, self.read = tune, read
        self.pruner = prune.pruner(tune, told, history)
        self.candidates: list[Candidate] = []
        self.standings: list[Standing] = []
        self.pending: list[Run] = []
        for number, values in enumerate(_proposals(tune, arm, told), len(told)):
            tried = space.tuned(arm, values)
            short = tried.model_copy(update={"recipe": space.shortened(tried.recipe, tune.epochs)})
            runs = planner.candidates(short, seeds(tune), number)
            trials = tuple(planned_trial(run) for run in runs)
            self._judge(Candidate(number=number, values=values, trials=trials), runs)

    def _judge(self, candidate: Candidate, runs: Sequence[Run]) -> None:
        records = {trial.id: telling(self.read(trial.id), self.tune.metric) for trial in candidate.trials}
        how = self.pruner.judge(candidate, records, standing(candidate, records, self.tune.metric))
        self.candidates.append(candidate)
        self.standings.append(how.standing)
        self.pending += [replace(run, floors=how.floors) for run in runs if run.trial.id in how.wanted]


def _proposals(tune: Tune, arm: Arm, told: Sequence[Standing]) -> list[space.Values]:
    """The next candidates, given those that were judged: a pure function of both."""
    left = tune.candidates - len(told)
    feedback = tune.sampler == "tpe" or tune.pruner != "none" or tune.minutes is not None
    size = min(tune.generation, left) if feedback else left
    paired = (
        tune.candidates
        if tune.sampler == "sobol"
        else min(STARTUP, max(tune.generation, tune.candidates // 2))
    )
    if len(told) < paired:
        upto = min(len(told) + size, paired)
        points = space.grid_points(tune, arm.label, upto)[len(told) :]
        return [space.values_at(tune, arm, point) for point in points]
    from bench.tune.propose import tpe  # imports optuna

    return tpe(tune, arm, told, size)
