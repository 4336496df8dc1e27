"""The conductor: which trials are missing; run them, record them, report."""

from __future__ import annotations

import functools
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import tune
from bench.board import Cell
from bench.data import fingerprint
from bench.errors import UserError
from bench.execute import Job
from bench.execute.records import MACHINE_CAUSES
from bench.launch import Crew, Patience, crew
from bench.machine import Machine
from bench.plan import (
    Plan,
    PlanFile,
    Replicate,
    Run,
    ScoredSet,
    Source,
    look_seeds,
    make_plan,
    read_plan_file,
)
from bench.preflight import check
from bench.recipe import Data, Hidden
from bench.report import build, verdicts, write_index, write_report
from bench.smoke import smoke
from bench.store import MOST_ATTEMPTS, Record, Store
from bench.study import load
from bench.study_file import REPLICATE_SEEDS
from bench.terminal import Terminal

if TYPE_CHECKING:
    from bench.report.looks import Progress

State = Literal["done", "diverged", "failed", "missing", "unscored"]
SMOKE_FOLDER = "smoke-runs"
SHOWN_EVERY_S = 10.0
"""Seconds between two updates of ``search.db`` while candidates run."""


class DiskLocator:
    """Answers a plan's questions from this machine's disk, remembering what it hashed."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self._sources: dict[tuple[str, int, int], Source] = {}

    def source(self, written: str, data: Data) -> Source:
        """Where the images are and what they hash to."""
        asked = (written, data.n_images, data.size_px)
        if asked not in self._sources:
            self._sources[asked] = fingerprint.locate(written, data, self.machine, self.folder)
        return self._sources[asked]

    def data_fingerprint(self, source: Source, data: Data) -> str:
        """Hash of everything about the images that can change a score."""
        return fingerprint.data_fingerprint(source, data)

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """Key of the local test set."""
        return fingerprint.test_key(source, data, replicate)

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """Key of a hidden set."""
        return fingerprint.hidden_key(hidden, source, test_key)

    def weights(self, written: str) -> tuple[Path, str]:
        """A weight file and its SHA-256 hex."""
        path = self.machine.resolve(written, self.folder, kind="file")
        if not path.is_file():
            raise UserError(
                f'[recipe] model.weights = "{written}"\n    there is no such file; looked for {path}'
            )
        return path, fingerprint.file_sha256(path, self.machine.cache)


@dataclass(frozen=True)
class Options:
    """How one `bench run` goes about it."""

    smoke: bool = False
    rescore: bool = False
    """Train again what a new hidden set cannot be scored from, because no weights were kept."""
    retry: tuple[str, ...] = ()
    """Causes of failed trials to run again."""
    until_decided: bool = False
    """Judge at the study's looks, and train each arm only until it is decided."""
    patience: Patience = field(default_factory=Patience)
    """What is put up with before a trial, or the run, is given up."""


@dataclass
class Ending:
    """What `bench run` has to say in the end."""

    report: Path
    counts: Counter[State]
    ran: int
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    verdicts: tuple[str, ...] = ()
    """The report's, a line for each arm; none of a smoke run."""

    @property
    def exit_code(self) -> int:
        """0: done, diverged trials are results; 1: trials failed."""
        return 1 if self.counts["failed"] or self.failures else 0


def prepare(path: Path, machine: Machine, *, smoked: bool = False) -> Plan:
    """The plan of the study at ``path``, with what tuning has chosen so far.

    Imports neither torch nor pandas. Raises UserError.
    """
    return Planning(path, machine, smoked=smoked).plan()


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
    ) -> None:
        """Raises UserError for a study with mistakes.

        retry           causes of failed candidates to run again, once
        until_decided   declare the study's looks; what is declared stays so
        """
        study = load(path)
        self.study = smoke(study) if smoked else study
        self.store = store_of(machine, smoked=smoked)
        self._locator = DiskLocator(machine, path.resolve().parent)
        self._retry = retry
        self._failed: dict[str, int] = {}
        self.looks = () if smoked else self._declare_looks(until_decided)
        self.progress: Progress | None = None
        """How far the looks have come, by the last plan; None without looks."""

    def plan(self) -> Plan:
        """Every trial as far as it is known. Raises UserError for a source or weights that are missing."""
        plan = tune.plan(self.study, self._locator, self._read, self.store.history)
        return plan if not self.looks else self._undecided(replace(plan, looks=self.looks))

    def _declare_looks(self, now: bool) -> tuple[int, ...]:
        """The looks that were declared before the first score, or are now; the study gets their seeds."""
        study, file = self.study, self.store.study_dir(self.study.name) / "plan.json"
        before = read_plan_file(file) if file.is_file() else None
        if before and before.looks:
            seeds = look_seeds(study, before.looks, before)
            self.study = study.model_copy(update={"seeds": seeds})
            return before.looks
        if not now:
            return ()
        seeds = look_seeds(study, study.looks)
        neighbours = tuple(range(seeds[0], seeds[0] + len(study.seeds)))
        if study.folds or study.seeds != neighbours or seeds[-1] >= REPLICATE_SEEDS:
            raise UserError(
                f"--until decided counts seeds up from the first, but seeds = {list(study.seeds)}"
                f"{' with folds' if study.folds else ''}\n"
                f"    give seeds = 5, or neighbours as [100, 101, 102] below {REPLICATE_SEEDS}, and no folds"
            )
        self.study = study.model_copy(update={"seeds": seeds})
        self._refuse_scored(before)
        return study.looks

    def _refuse_scored(self, before: PlanFile | None) -> None:
        """Raise UserError when a declared comparison was scored before its looks were declared."""
        from bench.report.looks import scored_pairs  # imports numpy and scipy

        now = tune.plan(self.study, self._locator, self._read, self.store.history).file
        pairs = [
            pair for plan in (now, before) if plan for pair in scored_pairs(self.study, plan, self.store)
        ]
        if not pairs:
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
        from bench.report.looks import progress  # imports numpy and scipy

        self.progress = progress(self.study, plan.file, self.store)
        wanted, start = self.progress.wanted, self.study.seeds[0]
        first = start + self.looks[0]
        return replace(
            plan,
            runs=tuple(run for run in plan.runs if run.trial.replicate.seed < start + wanted[run.arm]),
            shared=tuple(run for run in plan.shared if run.trial.replicate.seed < first),
            again=tuple(run for run in plan.again if run.trial.replicate.repeats < first),
        )

    def untuned(self) -> tuple[Run, ...]:
        """The replicates as the recipes stand: what can be checked of them before tuning ends."""
        return make_plan(self.study, self._locator).runs

    def ends(self) -> tuple[Run, ...]:
        """The same, and every arm with each tuned setting at either end of its range, or at each choice."""
        return (*self.untuned(), *tune.ends(self.study, self._locator))

    def _read(self, id: str) -> Record | None:
        """A record, but for a failed one that is to be tried again and was not yet."""
        record = self.store.read(id)
        if record is None or record.status != "failed" or record.cause not in self._retry:
            return record
        return None if self._failed.setdefault(id, record.attempts) == record.attempts else record


def store_of(machine: Machine, *, smoked: bool = False) -> Store:
    """The results folder; smoke runs have one of their own."""
    return Store(machine.results / SMOKE_FOLDER if smoked else machine.results)


def states(plan: Plan, store: Store) -> list[tuple[Run, State, Record | None]]:
    """Every replicate of a plan, shared ones too, and how it stands."""
    known: dict[str, Record | None] = {}
    out: list[tuple[Run, State, Record | None]] = []
    for run in plan.everything:
        if run.trial.id not in known:
            known[run.trial.id] = store.read(run.trial.id)
        record = known[run.trial.id]
        out.append((run, _state(run, record), record))
    return out


def cells(standing: Iterable[tuple[Run, State, Record | None]]) -> list[Cell]:
    """The same for a board."""
    return [
        Cell(run.trial.id, run.arm, state, sum(record.seconds.values()) if record else 0.0)
        for run, state, record in standing
    ]


def _state(run: Run, record: Record | None) -> State:
    if record is None or record.status == "pruned":
        return "missing"
    if record.status == "done" and missing_sets(run, record):
        return "unscored"
    return record.status


def missing_sets(run: Run, record: Record) -> tuple[ScoredSet, ...]:
    """Sets of the study that a finished trial was not scored on."""
    return tuple(scored for scored in run.sets if scored.key not in record.scores)


def run_study(path: Path, machine: Machine, options: Options, terminal: Terminal) -> Ending:
    """Tune, train and score what is missing, then write the report.

    Raises UserError before the first trial.
    """
    planning = Planning(
        path, machine, smoked=options.smoke, retry=options.retry, until_decided=options.until_decided
    )
    study, store = planning.study, planning.store
    plan = planning.plan()
    store.check_writable()
    _check_cache(machine.cache)
    if options.smoke:
        terminal.note(f"{study.name}: smoke run, on tiny synthetic images; its numbers mean nothing")
    started = time.perf_counter()
    with store.lock():
        _refuse_foreign_folder(plan, path, store)
        jobs = _jobs(plan, store, options, terminal)
        ahead = [*plan.pending, *planning.ends()] if plan.pending else [job.run for job in jobs]
        if ahead:
            check(study.name, ahead, machine, terminal)
        changed = _claim_folder(plan, path, store, smoked=options.smoke)  # from here on nothing is refused
        conduct = _Conduct(planning, options, terminal, path)
        if ahead:
            keep, patience = study.keep_weights, options.patience
            with crew(
                machine, store.root, terminal, patience, keep_weights=keep, smoked=options.smoke
            ) as hands:
                plan = conduct.tune(plan, hands)
                plan = conduct.train(plan, hands)
        elif plan.searches and (changed or not conduct.database.is_file()):
            conduct.show(plan)
        made_of = plan.file.model_copy(update=_whence(path, store, options.smoke))
        document = build(study, made_of, store)
        report = write_report(study, made_of, store, document=document)
        write_index(store)
    counts = Counter(state for _, state, _ in states(plan, store))
    said = () if options.smoke else verdicts(document)
    return Ending(report, counts, conduct.ran, time.perf_counter() - started, conduct.failures, said)


class _Conduct:
    """Sends a plan's jobs to a crew, batch after batch."""

    def __init__(self, planning: Planning, options: Options, terminal: Terminal, path: Path) -> None:
        self.planning, self.options, self.terminal, self.path = planning, options, terminal, path
        self.ran = 0
        self.failures: list[str] = []
        """A line for each replicate that failed; a failed candidate is a result of the search."""
        self.shown = -math.inf

    def tune(self, plan: Plan, hands: Crew) -> Plan:
        """Run candidates until every arm's search has ended; the plan with what they chose."""
        store, before = self.planning.store, None
        while plan.pending:
            jobs = [Job(run, attempt=_attempt(store.read(run.trial.id))) for run in plan.pending]
            asked = [(job.run.trial.id, job.attempt) for job in jobs]
            if asked == before:  # nothing was recorded: asking again would never end
                raise UserError(f"{plan.study.name}: candidates end without a record; see bench doctor")
            before = asked
            self.show(plan)
            hands.after_each = functools.partial(self.show, plan, every_s=SHOWN_EVERY_S)
            hands.run(f"{plan.study.name} tuning", jobs)
            self.ran += len(jobs)
            plan = self.planning.plan()
            _claim_folder(plan, self.path, store, smoked=self.options.smoke)
        hands.after_each = lambda: None
        if plan.searches:
            self.show(plan)
        return plan

    def show(self, plan: Plan, every_s: float = 0.0) -> None:
        """Bring the study's ``search.db`` up to its records, for optuna-dashboard; not too often."""
        if time.monotonic() < self.shown + every_s:
            return
        self.shown = time.monotonic()
        from bench.tune import database  # imports optuna and SQLAlchemy

        study, store = self.planning.study, self.planning.store
        arms = {arm.label: arm for arm in study.arms}
        database.update(self.database, plan, arms, store.read)

    @property
    def database(self) -> Path:
        """The study's ``search.db``."""
        return self.planning.store.study_dir(self.planning.study.name) / "search.db"

    def train(self, plan: Plan, hands: Crew) -> Plan:
        """Run the replicates that are missing, look after look where looks were declared; the last plan."""
        store, progress = self.planning.store, self.planning.progress
        looked = progress.looked if progress else 0
        while jobs := _jobs(plan, store, self.options, self.terminal):
            self.failures += hands.run(plan.study.name, jobs, cells(states(plan, store)))
            self.ran += len(jobs)
            if not plan.looks:
                break
            plan = self.planning.plan()  # with the seeds that the next look asks for
            _claim_folder(plan, self.path, store, smoked=self.options.smoke)
            looked = self._say_looks(looked)
        if self.planning.progress and self.planning.progress.end:
            self.terminal.note(f"{plan.study.name}: {self.planning.progress.end}")
        return plan

    def _say_looks(self, said: int) -> int:
        """A line for each look that is over and was not said yet; how many are over."""
        progress = self.planning.progress
        if progress is None:
            return said
        for line in filter(None, map(progress.line, range(said, progress.looked))):
            self.terminal.note(line)
        return progress.looked


def _attempt(record: Record | None) -> int:
    return record.attempts + 1 if record else 1


def _check_cache(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write to the cache folder {cache}: {error.strerror}\n"
            "    make it writable, or name another: cache in bench.toml, or BENCH_CACHE"
        ) from None


def _whence(path: Path, store: Store, smoked: bool) -> dict[str, Any]:
    """What ``plan.json`` says of the run itself."""
    return {"file": os.path.relpath(path.resolve(), store.root.resolve()), "smoke": smoked}


def _refuse_foreign_folder(plan: Plan, path: Path, store: Store) -> None:
    """Raise UserError when another file's study owns the folder."""
    folder = store.study_dir(plan.study.name)
    if not (folder / "plan.json").exists():
        return
    before = read_plan_file(folder / "plan.json").file
    old = (store.root / before).resolve()
    if before != _whence(path, store, False)["file"] and old.is_file():
        raise UserError(
            f"{folder} already holds the study of another file of that name:\n  {old}\n"
            "rename one of the two, or give another --results folder"
        )


def _claim_folder(plan: Plan, path: Path, store: Store, *, smoked: bool) -> bool:
    """Write what the report is made from; whether that is another plan than was there."""
    folder = store.study_dir(plan.study.name)
    plan_file = plan.file.model_copy(update=_whence(path, store, smoked))
    store.write_text(folder / "study.toml", path.read_text("utf-8"))
    text, file = plan_file.model_dump_json(indent=1) + "\n", folder / "plan.json"
    changed = not file.is_file() or file.read_text("utf-8") != text
    store.write_text(file, text)
    return changed


def _jobs(plan: Plan, store: Store, options: Options, terminal: Terminal) -> list[Job]:
    """What is missing, once each; all arms of a seed before the next seed: an early stop leaves pairs."""
    jobs: dict[str, Job] = {}
    unscorable = 0
    every = dict.fromkeys(run.trial.replicate for run in plan.everything)
    order = {replicate: i for i, replicate in enumerate(every)}
    for run, state, record in sorted(states(plan, store), key=lambda item: order[item[0].trial.replicate]):
        if state == "missing" or (state == "failed" and record and _again(record, options)):
            jobs.setdefault(run.trial.id, Job(run, attempt=_attempt(record)))
        elif state == "unscored" and record is not None:
            if store.weights_path(run.trial.id).is_file():
                jobs.setdefault(run.trial.id, Job(run, missing=missing_sets(run, record)))
            elif options.rescore:
                jobs.setdefault(run.trial.id, Job(run, attempt=record.attempts + 1))
            else:
                unscorable += 1
    if unscorable:
        terminal.note(
            f"{unscorable} trials have no weights to score the new sets from; --rescore trains them again"
        )
    return list(jobs.values())


def _again(record: Record, options: Options) -> bool:
    """Whether a failed trial is tried again: as asked, or because the machine failed it and not the arm."""
    tries = record.cause == "interrupted" or record.attempts < MOST_ATTEMPTS  # a person may stop it often
    by_machine = record.cause in MACHINE_CAUSES and tries
    return by_machine or record.cause in options.retry
