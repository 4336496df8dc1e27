"""What a study asks for and how much of it is done, made anew whenever records have told more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import metrics
from bench.data.locator import DiskLocator
from bench.errors import Mistake, UserError, mistakes_error, shorten
from bench.files import Counting, content_of, uncounted
from bench.judge import accounts
from bench.machine import Machine
from bench.plan import Plan, Run, ScoredSet, make_plan, replicates_of
from bench.planned import Account, Night, PlanFile, look_seeds, read_plan_file
from bench.progress.board import Cell
from bench.progress.terminal import Terminal
from bench.recipe import External
from bench.registry import UNREAD
from bench.registry import metrics as scores
from bench.run import foresight, slicing
from bench.store import Brief, Store
from bench.study.file import REPLICATE_SEEDS
from bench.study.metric import apart
from bench.study.read import Study, load
from bench.study.smoke import smoke
from bench.study.toml import text_of
from bench.tune import search

if TYPE_CHECKING:
    from bench.judge.declared import Declared
    from bench.judge.looks import Race

TrialState = Literal["done", "diverged", "failed", "missing", "unscored", "unknown"]
"""``unknown``: it trains with code that was not run, so nobody knows its id."""
States = list[tuple[Run, TrialState, Brief | None]]
SMOKE_FOLDER = "smoke-runs"


def prepare(
    path: Path,
    machine: Machine,
    *,
    smoked: bool = False,
    counting: Counting = uncounted,
) -> Plan:
    """The plan of the study at ``path``, with what tuning has chosen so far.

    counting   told of images that are read for the first time

    Imports neither torch nor pandas. Raises UserError.
    """
    return Planning(path, machine, smoked=smoked, counting=counting).plan()


class Planning:
    """A study's file, read once, and its plan, made anew whenever records have told more."""

    def __init__(
        self,
        path: Path,
        machine: Machine,
        *,
        smoked: bool,
        retry: Sequence[str] = (),
        until_decided: bool = False,
        read: Callable[[Path], Study] = load,
        counting: Counting = uncounted,
    ) -> None:
        """Raises UserError for a study with mistakes.

        retry           causes of failed candidates to run again, once
        read            of ``path`` makes the study
        until_decided   declare the study's looks; what is declared stays so
        counting        told of images that are read for the first time
        """
        study = read(path)
        refuse_unjudged(study, path)
        self.study = smoke(study) if smoked else study
        refuse_unnamed(self.study, machine)
        self.store = store_of(machine, smoked=smoked)
        self._path, self._locator = path, DiskLocator(machine, path.resolve().parent, counting)
        self._retry = retry
        self._failed: dict[str, int] = {}
        self.accounts: tuple[Account, ...] = ()
        """What became of the images; empty until a run has looked."""
        self.nights: tuple[Night, ...] = ()
        """Runs that ``--hours`` ended, where this is one of them."""
        self.looks = () if smoked else self._declare_looks(until_decided)
        self.heeds_lost = False
        """Candidates that lost a file count as missing; a run mends first what can be."""
        self.progress: Race | None = None
        """How far the looks have come, by the last plan; None without looks."""

    def plan(self) -> Plan:
        """Every trial as far as it is known. Raises UserError for a source or weights that are missing."""
        plan = search.plan(self.study, self._locator, self._read, self.store.history)
        last = self._last_plan()
        same = last is not None and last.data_fingerprint == plan.data_fingerprint  # images
        before = last if same else None
        promised = None if last else self._declared()  # plan.json may be lost
        plan = replace(
            plan,
            accounts=self.accounts or (before.accounts if before else ()),
            nights=self.nights or (promised.nights if promised else before.nights if before else ()),
            shares=self._locator.shares(self.study.data, replicates_of(self.study)[0]),
            looks=self.looks,
        )
        return plan if not self.looks else self._undecided(plan)

    def foresee(self, plan: Plan) -> States:
        """How every replicate stands. Raises UserError that lists what a run would refuse, as labels tell."""
        self.refuse_unknown_classes(plan)
        standing = states(plan, self.store)
        ahead = [run for run, state, _ in standing if state in ("missing", "unscored")]
        waiting = self.untuned() if plan.pending else ()
        foresight.foresee(self.study, [*plan.pending, *waiting, *ahead], self._locator)
        return standing

    def refuse_unknown_classes(self, plan: Plan) -> None:
        """Refuse a score of a class that finished trials do not know, which no further trial would tell."""
        if not foresight.names_classes(self.study):
            return
        records = (self.store.read(run.trial.id) for run in plan.runs)
        classes = next((record.classes for record in records if record and record.classes), None)
        if classes is not None:
            foresight.refuse(self.study.name, list(foresight.unknown_classes(self.study, classes)))

    def changed(self) -> list[str]:
        """Names of the study's file and of those that it names, where they were edited in mid-run."""
        own = [(one.name, Path(one.file), one.content) for one in self.study.code if not one.package]
        found = [self._path.name] if _text_of(self._path) != self.study.text else []
        found += [name for name, file, content in own if _content_of(file) != content]
        return [*found, *(file.name for file in self._locator.changed())]

    def contents(self) -> str:
        """What the files that the study names held, hashed."""
        return " ".join(sorted([*(one.origin for one in self.study.code), *self._locator.contents()]))

    def unjudged(self, plan: Plan) -> list[str]:
        """Claims on slices of too few images, in words. Raises UserError for columns that make no slices."""
        return slicing.refuse_unknown(self.study, [*plan.everything, *plan.pending], self._locator.outline)

    def account(self, machine: Machine, terminal: Terminal) -> Plan:
        """Tell what became of the images of the baseline's first replicate, and plan with that."""
        first = self._first()
        from bench.data.accounts import of_run  # imports numpy

        self.accounts = of_run(first, machine.cache)
        for each in self.accounts:
            for line in accounts.notable(each):
                terminal.note(line)
        return self.plan()

    def told(self, plan: Plan) -> tuple[Account, ...]:
        """What became of the images: as the last run of the same ones told, else as far as is known."""
        return plan.accounts or self._locator.accounts(self._first())

    def _first(self) -> Run:
        """The baseline's first replicate, tuned or not."""
        once = self.study.model_copy(update={"seeds": self.study.seeds[:1]})
        return next(run for run in make_plan(once, self._locator).runs if run.arm == self.study.baseline)

    def _last_plan(self) -> PlanFile | None:
        """What the study's folder says of its last plan, of this run or another's."""
        file = self.store.study_dir(self.study.name) / "plan.json"
        return read_plan_file(file) if file.exists() else None

    def _declare_looks(self, now: bool) -> tuple[int, ...]:
        """The looks that were declared before the first score, or are now; the study gets their seeds."""
        study, before = self.study, self._last_plan()
        said = before or self._declared()  # plan.json may be lost: without looks intervals would be too short
        if looks := said.looks if said else ():
            seeds = look_seeds(study, looks, before)
            self.study = study.model_copy(update={"seeds": seeds, "further_seeds": ()})
            return looks
        if not now:
            return ()
        if study.further_seeds:
            raise UserError(
                "--until decided gives the baseline as many seeds as its arms need\n"
                "    leave baseline_seeds out, or run without --until decided"
            )
        seeds = look_seeds(study, study.looks)
        neighbours = tuple(range(seeds[0], seeds[0] + len(study.seeds)))
        if study.folds or study.seeds != neighbours or seeds[-1] >= REPLICATE_SEEDS:
            raise UserError(
                f"--until decided counts seeds up from the first, but seeds = {list(study.seeds)}"
                f"{' with folds' if study.folds else ''}\n"
                f"    give seeds = 5, or neighbours as [100, 101, 102] below {REPLICATE_SEEDS}, and no folds"
            )
        self.study = study.model_copy(update={"seeds": seeds, "further_seeds": ()})
        self._refuse_scored(before)
        return study.looks

    def _declared(self) -> Declared | None:
        """What ``declared.json`` says."""
        from bench.judge.declared import read_declared  # imports numpy

        return read_declared(self.store.study_dir(self.study.name))

    def _refuse_scored(self, before: PlanFile | None) -> None:
        """Raise UserError when a declared comparison was scored before its looks were declared."""
        from bench.judge.looks import scored_pairs  # imports numpy and scipy

        now = search.plan(self.study, self._locator, self._read, self.store.history).file
        pairs = [
            pair for plan in (now, before) if plan for pair in scored_pairs(self.study, plan, self.store)
        ]
        declared = self._last_plan()
        if not pairs or (declared and declared.looks):  # meanwhile, by another run, before it scored
            return
        shown = [f"{arm} against {reference}" for arm, reference in dict.fromkeys(pairs)]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        first, far = self.study.seeds[0], self.study.seeds[0] + 100
        raise UserError(
            f"{self.study.name}: --until decided must come before the first score, and {self.store.root} "
            f"holds scores of {', '.join(shown[:3])}{more}, with seeds from {first} on\n"
            f"    take new seeds: seeds = [{far}, {far + 1}, …], or run without --until decided"
        )

    def _undecided(self, plan: Plan) -> Plan:
        """The plan without the seeds that no look has asked for yet."""
        from bench.judge.looks import progress  # imports numpy and scipy

        self.progress = progress(self.study, plan.file, self.store)
        wanted, start = self.progress.wanted, self.study.seeds[0]
        first = start + self.looks[0]
        return replace(
            plan,
            runs=tuple(run for run in plan.runs if run.trial.replicate.seed < start + wanted[run.arm]),
            shared=tuple(run for run in plan.shared if run.trial.replicate.seed < first),
            again=tuple(run for run in plan.again if run.trial.replicate.repeats < first),
        )

    def ended_by_time(self, hours: float) -> Plan:
        """Keep that ``--hours`` ended this run, and after how many seeds; the plan that says so."""
        plan = self.plan()
        ended: dict[str, int] = {arm.label: 0 for arm in self.study.arms}
        for run in plan.runs:
            record = self.store.brief(run.trial.id)
            ended[run.arm] += record is not None and record.status in ("done", "diverged")
        counts = [n for arm, n in ended.items() if arm != self.study.baseline] or [0]
        night = Night(hours=hours, seeds=(min(counts), max(counts)))
        self.nights = plan.nights if night in plan.nights[-1:] else (*plan.nights, night)
        return replace(plan, nights=self.nights)

    def untuned(self) -> tuple[Run, ...]:
        """The replicates as the recipes stand: what can be checked of them before tuning ends."""
        return make_plan(self.study, self._locator).runs

    def ends(self) -> tuple[Run, ...]:
        """The same, and every arm with each tuned setting at either end of its range, or at each choice."""
        return (*self.untuned(), *search.ends(self.study, self._locator))

    def _read(self, id: str) -> Brief | None:
        """A record, but for a failed one that is to be tried again and was not yet."""
        record = self.store.sound(id, whole=False) if self.heeds_lost else self.store.brief(id)
        if record is None or record.status != "failed" or record.cause not in self._retry:
            return record
        return None if self._failed.setdefault(id, record.attempts) == record.attempts else record


def _text_of(path: Path) -> str:
    with contextlib.suppress(UserError):
        return text_of(path)
    return ""


def _content_of(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return content_of(path)
    return b""


def refuse_unnamed(study: Study, machine: Machine) -> None:
    """Raise UserError with every name of a file or folder that this machine's ``[paths]`` lack."""
    shifted = [*study.hidden.values(), study.val_shift]
    external = [one.source for one in shifted if isinstance(one, External)]
    sources = [study.data.source, *(arm.data.source for arm in study.arms), *external]
    weights = [str(arm.recipe.model.params.get("weights")) for arm in study.arms]
    said: list[str] = []
    for written in dict.fromkeys([*(source.partition(":")[2] for source in sources), *weights]):
        if written.startswith("@"):
            try:
                machine.resolve(written, Path(), kind="file" if written in weights else "folder")
            except UserError as error:
                said.append(str(error))
    if said:
        raise UserError("\n".join(said))


def refuse_unjudged(study: Study, path: Path) -> None:
    """Raise UserError for what is to decide and can not: a score that never gets an interval."""
    judged = [score.name for score in scores if score.traits.get("interval") != "none"]
    claims = {f"[[claims]] number {n} metric": claim.metric for n, claim in enumerate(study.claims, 1)}
    claims |= {f"gates number {n}": gate.metric for n, gate in enumerate(study.gates, 1)}
    wrong = []
    for where, metric in ({"primary": study.primary} | claims).items():
        name = apart(metric)[0].partition(".")[2]
        if name in scores and scores[name].traits["interval"] == "none":
            problem = f"{name} has a value, never a verdict; known: {', '.join(judged)}"
            wrong.append(Mistake(where, shorten(metric), problem))
    if wrong:
        raise mistakes_error(str(path), wrong)


def store_of(machine: Machine, *, smoked: bool = False) -> Store:
    """The results folder; smoke runs have one of their own."""
    return Store(machine.results / SMOKE_FOLDER if smoked else machine.results)


def states(plan: Plan, store: Store) -> States:
    """Every replicate of a plan, shared ones too, and how it stands."""
    known: dict[str, Brief | None] = {}
    out: States = []
    for run in plan.everything:
        if run.trial.id not in known:
            known[run.trial.id] = store.brief(run.trial.id)
        record = known[run.trial.id]
        out.append((run, _state(run, record), record))
    return out


def cells(standing: Iterable[tuple[Run, TrialState, Brief | None]]) -> list[Cell]:
    """The same for a board, which tells those that learned little from the others that are done."""
    return [
        Cell(
            run.trial.id,
            run.arm,
            "little learned" if state == "done" and record and record.little_learned else state,
            sum(record.seconds.values()) if record else 0.0,
        )
        for run, state, record in standing
    ]


def _state(run: Run, record: Brief | None) -> TrialState:
    if UNREAD in run.trial.origins.values():
        return "unknown"
    if record is None or record.status == "pruned":
        return "missing"
    if record.status == "done" and missing_sets(run, record):
        return "unscored"
    return record.status


def lacks(record: Brief, now: Mapping[str, int | str] | None = None) -> tuple[str, ...]:
    """Metrics that a finished trial was not scored with, or with an earlier version of.

    now   ``metrics.versions()``, where many records are asked
    """
    if record.status != "done":
        return ()
    known = record.scored_with
    now = metrics.versions() if now is None else now
    return tuple(name for name, version in now.items() if known.get(name) != version)


def lacking(records: Iterable[Brief | None]) -> str:
    """``3 trials lack auc``, empty where none of these lacks a metric."""
    now = metrics.versions()
    behind = {r.id: lacked for r in records if r is not None and (lacked := lacks(r, now))}
    names = ", ".join(sorted({name for of in behind.values() for name in of}))
    return f"{len(behind)} trial{'s lack' if len(behind) > 1 else ' lacks'} {names}" if behind else ""


def missing_sets(run: Run, record: Brief) -> tuple[ScoredSet, ...]:
    """Sets of the study that a finished trial was not scored on."""
    return tuple(scored for scored in run.sets if scored.key not in record.scores)
