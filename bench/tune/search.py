"""The search of each arm: which candidates come next, which are cut short, which one wins.

A search is a pure function of the study and of the records of its candidates: which come next, which are cut
short, which one wins. So a killed run goes on where it stopped, and ``search.db`` is only a view of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.errors import UserError
from bench.plan import SHARED, Locator, Plan, Planner, Run, make_plan, planned_trial
from bench.planned import Candidate, PlannedSearch, PlannedTrial
from bench.registry import pruners, samplers
from bench.store import Brief
from bench.study.file import FINAL_SEEDS, SEEDS_EACH, TUNING_SEEDS, Tune, ranges_of
from bench.study.patch import look_up
from bench.study.read import Arm, Study
from bench.tune import space
from bench.tune.candidates import Standing, choice, ranked, standing, telling
from bench.tune.prune import Pruner, Unpruned
from bench.tune.samplers import Ask

Read = Callable[[str], Brief | None]
History = Callable[[str], list[dict[str, Any]]]

NOT_BUILT = ("optimizer.", "schedule.", "loss.")
"""Settings that neither the network nor the batches depend on; the study's own check covers them."""
STARTUP = 10
"""Most candidates that come from the paired points before a sampler goes by results."""


@dataclass
class Search:
    """One arm's tuning, as far as its records tell."""

    arm: Arm
    candidates: list[Candidate] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    finals: list[Standing] = field(default_factory=list)
    """How these stand by their fresh seeds."""
    pending: list[Run] = field(default_factory=list)
    """Trials that must end before anything more can be said."""

    @property
    def ended(self) -> bool:
        """The budget is used up, every candidate judged, and every finalist."""
        return not self.pending

    def planned(self, metric: str) -> PlannedSearch:
        """What ``plan.json`` holds of it."""
        return PlannedSearch(
            arm=self.arm.label,
            candidates=tuple(self.candidates),
            chosen=choice(self.standings, self.finals, metric) if self.ended else None,
            ended=self.ended,
            pruned=tuple(s.candidate.number for s in self.standings if s.state == "pruned"),
            finalists=tuple(self.finalists),
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
    way = _Way(tune, arm, planner, read, history)
    found = way.found
    while len(found.candidates) < tune.candidates and not found.pending and not _spent(tune, found.standings):
        way.generation()
    if not found.pending:
        way.finals()
    return found


def check(study: Study) -> None:
    """Ask the study's sampler and pruner once for every arm, told made-up results.

    Raises UserError where another package's class cannot be had or cannot work, before anything is trained.
    """
    tune = study.tune
    if tune is None or ":" not in tune.sampler.name + tune.pruner.name:
        return
    problems: dict[str, None] = {}
    for arm in study.arms:
        try:
            _tried(tune, arm)
        except UserError as error:
            problems[str(error)] = None
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"{study.name} cannot be tuned:\n{lines}")


def _tried(tune: Tune, arm: Arm) -> None:
    """A search of an arm that needs no training, until its sampler was asked twice."""
    enough = STARTUP + 2 * tune.generation
    tune = tune.model_copy(update={"candidates": enough})
    named = " and ".join(part.name for part in (tune.sampler, tune.pruner) if ":" in part.name)
    trials = tuple(PlannedTrial(id=f"{seed:020}", seed=seed, sets={}) for seed in seeds(tune))
    told: list[Standing] = []
    history = [{"val_accuracy": 0.5}]
    proposals = Proposals(tune, arm)
    begin = pruners[tune.pruner.name].build(tune.pruner.params)
    try:
        while len(told) < enough:
            begin(tune, told, lambda id: history)
            for values in proposals(told):
                candidate = Candidate(number=len(told), values=values, trials=trials)
                told.append(Standing(candidate, "done", 0.5 / (1 + len(told)), (0.5,) * tune.seeds))
    except UserError:
        raise
    except Exception as error:  # whatever Optuna raises where it cannot go on
        text = " ".join(str(error).split())
        raise UserError(f"[tune] {named}, arm {arm.label}: {type(error).__name__}: {text}") from error


def _spent(tune: Tune, standings: Sequence[Standing]) -> bool:
    return tune.minutes is not None and sum(s.seconds for s in standings) >= 60 * tune.minutes


def seeds(tune: Tune) -> list[int]:
    """Seeds that candidates are trained with: never a replicate's."""
    return [TUNING_SEEDS + SEEDS_EACH * tune.seed + number for number in range(tune.seeds)]


def final_seeds(tune: Tune) -> list[int]:
    """Seeds that finalists are trained with: no candidate's and no replicate's."""
    return [FINAL_SEEDS + SEEDS_EACH * tune.seed + number for number in range(tune.final_seeds)]


class Proposals:
    """Where an arm's candidates come from: paired points first, then the study's sampler."""

    def __init__(self, tune: Tune, arm: Arm) -> None:
        component = samplers[tune.sampler.name]
        self._tune, learns = tune, bool(component.traits["learns"])
        self._paired: Ask = samplers["sobol"].build({})(tune, arm)
        self._sampler: Ask = component.build(tune.sampler.params)(tune, arm)
        self._startup = min(STARTUP, max(tune.generation, tune.candidates // 2)) if learns else 0
        self._together = learns or tune.pruner.name != "none" or tune.minutes is not None

    def __call__(self, told: Sequence[Standing]) -> list[space.Values]:
        """The next generation, given all that was judged before it: a pure function of both."""
        left = self._tune.candidates - len(told)
        size = min(self._tune.generation, left) if self._together else left
        if len(told) < self._startup:
            return self._paired(told, min(size, self._startup - len(told)))
        return self._sampler(told, size)


class _Way:
    """One arm's search from its first candidate on."""

    def __init__(self, tune: Tune, arm: Arm, planner: Planner, read: Read, history: History) -> None:
        self.found = Search(arm)
        self._tune, self._planner, self._read, self._history = tune, planner, read, history
        self._proposals = Proposals(tune, arm)

    def generation(self) -> None:
        """Candidates proposed together: nothing of one tells what another is, or whether it is cut."""
        told = tuple(self.found.standings)
        begin = pruners[self._tune.pruner.name].build(self._tune.pruner.params)
        pruner: Pruner = begin(self._tune, told, self._history)
        for number, values in enumerate(self._proposals(told), len(told)):
            candidate, now = self._judge(pruner, number, values, seeds(self._tune))
            self.found.candidates.append(candidate)
            self.found.standings.append(now)

    def finals(self) -> None:
        """The best candidates once more, with fresh seeds and splits; of one alone there is no choice."""
        best = ranked(self.found.standings, self._tune.metric)[: self._tune.finalists]
        for each in best if len(best) > 1 else ():
            of = each.candidate
            candidate, now = self._judge(Unpruned(), of.number, of.values, final_seeds(self._tune))
            self.found.finalists.append(candidate)
            self.found.finals.append(now)

    def _judge(
        self, pruner: Pruner, number: int, values: space.Values, seeds: Sequence[int]
    ) -> tuple[Candidate, Standing]:
        """A candidate trained with these seeds, and how it stands; what it lacks is pending from now on."""
        tried = space.tuned(self.found.arm, values)
        changes: dict[str, Any] = {"recipe": space.shortened(tried.recipe, self._tune.epochs)}
        if self._tune.val_images is not None:
            changes["data"] = tried.data.model_copy(update={"val_images": self._tune.val_images})
        short = tried.model_copy(update=changes)
        runs = self._planner.candidates(short, seeds, number)
        candidate = Candidate(number=number, values=values, trials=tuple(map(planned_trial, runs)))
        records = {trial.id: telling(self._read(trial.id), self._tune.metric) for trial in candidate.trials}
        how = pruner.judge(candidate, records, standing(candidate, records, self._tune.metric))
        self.found.pending += [replace(run, floors=how.floors) for run in runs if run.trial.id in how.wanted]
        return candidate, how.standing
