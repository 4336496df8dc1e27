"""The conductor: which trials are missing; run them, record them, report."""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.claims import Presence
from bench.errors import UserError
from bench.execute import Job
from bench.execute.records import by_machine
from bench.folders import check_cache, check_writable
from bench.judge.claims import undecidable
from bench.judge.declared import Declared
from bench.machine import Machine
from bench.plan import Plan
from bench.progress.terminal import Terminal
from bench.report import USUAL, main_file, views
from bench.run import declaring, hours, slicing
from bench.run.crew import Crew, Patience, crew
from bench.run.foresight import refuse
from bench.run.gating import further_gate
from bench.run.hours import Budget
from bench.run.joining import FOLDER, REPORT, claim_folder, having, join, refuse_foreign_folder, whence
from bench.run.lost import edited, gone, mend_lost
from bench.run.planning import Planning, TrialState, cells, lacks, missing_sets, states
from bench.run.preflight import check
from bench.run.rescored import add_metrics
from bench.store import Brief, Store
from bench.study.file import FINAL_SEEDS
from bench.study.read import Study, load
from bench.tune import search

SHOWN_EVERY_S = 10.0
"""Seconds between two updates of ``search.db`` while candidates run."""


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
    gates: tuple[str, ...] = ()
    """Further gates, beside those of the study: about comparisons that it declares."""
    patience: Patience = field(default_factory=Patience)
    """What is put up with before a trial, or the run, is given up."""
    budget: Budget = field(default_factory=Budget)
    """Hours, of several studies together, after which nothing more is begun."""


@dataclass
class Ending:
    """What `bench run` has to say in the end."""

    report: Path
    counts: Counter[TrialState]
    ran: int
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    verdicts: tuple[str, ...] = ()
    """The report's, a line for each arm; none of a smoke run."""
    gates: tuple[str, ...] = ()
    """Those that do not hold, and why; none of a smoke run."""
    left: str = ""
    """What ``--hours`` left to be run; empty where nothing is."""
    elsewhere: int = 0
    """Trials that were to run here and ended in other runs on the same folder."""

    @property
    def exit_code(self) -> int:
        """0: done, diverged trials are results; 1: failures; 3: a gate does not hold; 4: hours are over."""
        return 1 if self.counts["failed"] or self.failures else 4 if self.left else 3 if self.gates else 0


def run_study(
    path: Path,
    machine: Machine,
    options: Options,
    terminal: Terminal,
    read: Callable[[Path], Study] = load,
) -> Ending:
    """Tune, train and score what is missing, then write the report.

    read   of ``path`` makes the study, once: what is written there meanwhile is of the next run

    Raises UserError before the first trial.
    """
    with terminal.waiting(f"{path.stem}: reading the study, finding its images"):
        planning = Planning(
            path,
            machine,
            read=read,
            smoked=options.smoke,
            retry=options.retry,
            until_decided=options.until_decided,
            counting=terminal.counting,
        )
        study, store = planning.study, planning.store
        gates = tuple(further_gate(text, study) for text in options.gates)
        plan = planning.plan()
        planning.refuse_unknown_classes(plan)
        few = planning.unjudged(plan)
    check_writable(store.root)
    check_cache(machine.cache)
    if options.smoke:
        terminal.note(f"{study.name}: smoke run, on tiny synthetic images; its numbers mean nothing")
    for line in () if options.smoke else (*undecidable(study), *few):
        terminal.note(f"{study.name}: {line}")
    started, ran, elsewhere, shut = time.perf_counter(), 0, 0, dict[str, str]()
    with Presence(store.root, machine.lease_s) as presence:
        with having(FOLDER, presence, terminal, study.name):  # nobody cleans it
            refuse_foreign_folder(plan.file, path, store)
        if mend_lost(plan, store, machine, terminal, presence):
            plan = planning.plan()
        rescored = add_metrics(plan.file.ids, store, terminal, presence)
        if rescored.written and plan.searches:
            plan = planning.plan()  # candidates may be judged now that could not be before
        jobs = _jobs(plan, store, options, terminal)
        ahead = [*plan.pending, *planning.ends()] if plan.pending else [job.run for job in jobs]
        if plan.pending:
            search.check(study)
        if ahead:
            with terminal.waiting(f"{study.name}: checking images and models"):
                check(study, ahead, machine, terminal)
        if ahead or not plan.accounts:  # plan.json, which has them, may be lost
            plan = planning.account(machine, terminal)
        conduct = _Conduct(planning, options, terminal, path, presence)
        conduct.failures += rescored.failures
        with conduct.having(FOLDER):
            refuse_foreign_folder(plan.file, path, store)
            join(planning, presence)
            plan = planning.plan()  # others may have come further
            declaring.keep_whole(study, store)
            if not options.smoke:
                if study.sliced_metrics:  # which images a claim is about is declared with it
                    everything = [*plan.everything, *plan.pending]
                    refuse(study.name, slicing.keep(study, everything, machine.cache, store))
                _say_late(declaring.keep(study, plan.file, store), study, store, terminal)
            changed = claim_folder(plan, path, store, smoked=options.smoke)  # from here on nothing is refused
        if ahead:
            keep, patience = study.keep_weights, options.patience
            with crew(
                machine, presence, terminal, patience, keep_weights=keep, smoked=options.smoke
            ) as hands:
                plan = conduct.tune(plan, hands)
                plan = conduct.train(plan, hands)
                plan = conduct.end_by_time() if conduct.left_out else conduct.plan_anew()
                ran, elsewhere, shut = hands.ran, hands.ran_elsewhere, hands.shut
        elif plan.searches and (changed or not conduct.database.is_file()):
            conduct.show(plan)
        if not options.smoke:
            conduct.failures += slicing.keep(study, plan.everything, machine.cache, store)
        made_of = plan.file.model_copy(update=whence(path, store, options.smoke))
        with conduct.having(REPORT), terminal.waiting(f"{study.name}: writing the report"):
            made = views(study, made_of, store, gates)
        conduct.failures += made.failures
        store.briefs.keep()
    report = store.study_dir(study.name) / main_file(USUAL)
    found = [(run.trial.id, state) for run, state, _ in states(plan, store)]
    counts = Counter(state for _, state in found)
    verdicts, lost = ((), ()) if options.smoke else (made.verdicts, made.gates)
    took = time.perf_counter() - started
    left = options.budget.said(plan, counts["missing"]) if conduct.left_out else ""
    if said := edited(planning):
        terminal.note(f"{study.name}: {said}")
    if (count := sum(state == "missing" and id not in shut for id, state in found)) and not left:
        conduct.failures.append(gone(count, planning))
    if ran and not left and (over := options.budget.overrun):
        terminal.note(f"{study.name}: the {options.budget.hours:g} hours are over, {over}")
    return Ending(report, counts, ran, took, conduct.failures, verdicts, lost, left, elsewhere)


class _Conduct:
    """Sends a plan's jobs to a crew, batch after batch."""

    def __init__(
        self, planning: Planning, options: Options, terminal: Terminal, path: Path, presence: Presence
    ) -> None:
        self.planning, self.options, self.terminal, self.path = planning, options, terminal, path
        self.presence = presence
        self.failures: list[str] = []
        """A line for each replicate that failed; a failed candidate is a result of the search."""
        self.shown = -math.inf
        self.asked: set[tuple[str, int, tuple[str, ...]]] = set()
        """Replicates that were trained or scored, which attempt it was, and of which sets."""
        self.left_out = False
        """The budget left something out."""

    def having(self, name: str) -> AbstractContextManager[None]:
        """Within, no other run has ``name``."""
        return having(name, self.presence, self.terminal, self.planning.study.name)

    def plan_anew(self, how: Callable[[], Plan] | None = None) -> Plan:
        """Plan with what records tell by now, and write that down; other runs do so of the same records."""
        with self.having(FOLDER):
            plan = (how or self.planning.plan)()
            claim_folder(plan, self.path, self.planning.store, smoked=self.options.smoke)
        return plan

    def end_by_time(self) -> Plan:
        """Plan anew, and write down that the budget is spent."""
        plan = self.plan_anew(lambda: self.planning.ended_by_time(self.options.budget.hours or 0.0))
        if not self.options.smoke:
            with self.having(FOLDER):
                declaring.keep(self.planning.study, plan.file, self.planning.store)
        return plan

    def tune(self, plan: Plan, hands: Crew) -> Plan:
        """Run candidates until every arm's search has ended; the plan with what they chose."""
        store, before = self.planning.store, None
        while plan.pending:
            runs = [run for run in plan.pending if run.trial.id not in hands.shut]
            jobs = [Job(run, attempt=_attempt(store.brief(run.trial.id))) for run in runs]
            known = hours.candidates_took(plan, store.brief)
            if not (jobs := self._affordable(hours.by_round(jobs), hours.each(jobs), known, hands)):
                break
            asked = [(job.run.trial.id, job.attempt) for job in jobs]
            if asked == before:  # nothing was recorded: asking again would never end
                why = edited(self.planning) or "see bench doctor"
                raise UserError(f"{plan.study.name}: candidates end without a record: {why}")
            before = asked
            self.show(plan)
            hands.after_each = functools.partial(self.show, plan, every_s=SHOWN_EVERY_S)
            final = all(job.run.trial.replicate.seed >= FINAL_SEEDS for job in jobs)
            hands.run(f"{plan.study.name} {'finalists' if final else 'tuning'}", jobs)
            self._spent(jobs)
            plan = self.plan_anew()
        hands.after_each = lambda: None
        self.failures += hands.shut.values()  # without these no search ends
        if plan.searches:
            self.show(plan)
        return plan

    def show(self, plan: Plan, every_s: float = 0.0) -> None:
        """Bring the study's ``search.db`` up to its records, for optuna-dashboard; not too often.

        While trials run, one of several runs does that; in the end each makes sure of it.
        """
        name = f"search-{self.planning.study.name}"
        if time.monotonic() < self.shown + every_s or (every_s and not self.presence.take(name)):
            return
        self.shown = time.monotonic()
        with self.having(name):
            self._show(plan)

    def _show(self, plan: Plan) -> None:
        from bench.tune import database  # imports optuna and SQLAlchemy

        study, store = self.planning.study, self.planning.store
        arms = {arm.label: arm for arm in study.arms}
        if why := database.update(self.database, plan, arms, store.brief):
            self.shown = math.inf  # said once; the next run tries again
            self.terminal.note(f"{self.database} cannot be written, the run goes on without it: {why}")

    @property
    def database(self) -> Path:
        """The study's ``search.db``."""
        return self.planning.store.study_dir(self.planning.study.name) / "search.db"

    def train(self, plan: Plan, hands: Crew) -> Plan:
        """Run the replicates that are missing, look after look where looks were declared; the last plan."""
        store, progress = self.planning.store, self.planning.progress
        looked = progress.looked if progress else 0
        wanted: set[str] | None = None
        while jobs := self._new(plan, hands, wanted):
            hands.by_others.clear()
            self.failures += hands.run(plan.study.name, jobs, cells(states(plan, store)))
            self._spent(jobs)
            if not plan.looks and self.options.budget.hours is None:
                # what others were stopped at, or did not score on this study's sets
                wanted = set(hands.by_others)
                if not wanted:
                    break
            plan = self.plan_anew()  # with the seeds that the next look asks for
            looked = self._say_looks(looked)
        if self.planning.progress and self.planning.progress.end:
            self.terminal.note(f"{plan.study.name}: {self.planning.progress.end}")
        return plan

    def _new(self, plan: Plan, hands: Crew, wanted: set[str] | None) -> list[Job]:
        """Jobs to begin now, each once: a set that cannot be scored would be asked for at every look.

        wanted   trials that alone are asked for; None: all
        """
        store, study = self.planning.store, plan.study
        # what others have just tried again is not tried again for that
        options = self.options if wanted is None else replace(self.options, retry=())
        jobs = _jobs(plan, store, options, self.terminal)
        jobs = [job for job in jobs if wanted is None or job.run.trial.id in wanted]
        jobs = [job for job in jobs if _what(job) not in self.asked]
        known = hours.took(plan, store.brief)
        new = self._affordable(hours.by_seed(jobs, study.baseline), hours.parts(study), known, hands)
        self.asked |= set(map(_what, new))
        return new

    def _affordable(
        self, groups: list[list[Job]], parts: Sequence[hours.Part], known: hours.Took, hands: Crew
    ) -> list[Job]:
        """What the budget lets begin of these."""
        every = [job for group in groups for job in group]
        budget = self.options.budget
        if budget.hours is None:
            return every
        begun = budget.next(groups, parts, known, hands.workers(every))
        self.left_out |= bool(every) and not begun
        return begun

    def _spent(self, jobs: Sequence[Job]) -> None:
        records = (self.planning.store.brief(job.run.trial.id) for job in jobs)
        self.options.budget.ended([sum(record.seconds.values()) for record in records if record])

    def _say_looks(self, said: int) -> int:
        """A line for each look that is over and was not said yet; how many are over."""
        progress = self.planning.progress
        if progress is None:
            return said
        for line in filter(None, map(progress.line, range(said, progress.looked))):
            self.terminal.note(line)
        return progress.looked


def _what(job: Job) -> tuple[str, int, tuple[str, ...]]:
    return job.run.trial.id, job.attempt, tuple(scored.key for scored in job.missing)


def _attempt(record: Brief | None) -> int:
    return record.attempts + 1 if record else 1


def _say_late(declared: Declared, study: Study, store: Store, terminal: Terminal) -> None:
    """Before the first trial: what will have no verdict, since scores came before it."""
    if said := declaring.late(declared, study, store):
        terminal.note(said)


def _jobs(plan: Plan, store: Store, options: Options, terminal: Terminal) -> list[Job]:
    """What is missing, once each; all arms of a seed before the next seed: an early stop leaves pairs."""
    jobs: dict[str, Job] = {}
    unscorable = 0
    every = dict.fromkeys(run.trial.replicate for run in plan.everything)
    order = {replicate: i for i, replicate in enumerate(every)}
    for run, state, record in sorted(states(plan, store), key=lambda item: order[item[0].trial.replicate]):
        if state == "missing" or (state == "failed" and record and _again(record, options)):
            jobs.setdefault(run.trial.id, Job(run, attempt=_attempt(record)))
        elif state == "done" and record and options.rescore and lacks(record):
            jobs.setdefault(run.trial.id, Job(run, attempt=record.attempts + 1))
        elif state == "unscored" and record is not None:
            if store.has_weights(record):
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


def _again(record: Brief, options: Options) -> bool:
    """Whether a failed trial is tried again: as asked, or because the machine failed it and not the arm."""
    return by_machine(record) or record.cause in options.retry
