"""``bench plan``: what a study will train, how it stands, what it will take. Without torch and pandas."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.commands import detectable
from bench.commands.inspect import many
from bench.judge import accounts
from bench.machine import Machine
from bench.plan import Plan, Run, replicates_of
from bench.planned import read_plan_file
from bench.progress.board import MARKS, MOST_MARKS, row
from bench.progress.screen import duration
from bench.progress.terminal import Terminal
from bench.recipe import NamePattern
from bench.registry import UNREAD, foreign
from bench.run.planning import Planning, States, TrialState, cells, lacking, lacks
from bench.store import Brief, Store
from bench.study import effects
from bench.study.code import run_in, unread_in
from bench.study.datasets import whole_and_part
from bench.study.file import tuned_keys
from bench.study.read import Reading

MOST_ALIASES = 7
"""Factors of a screen whose aliases are printed."""
SIDES = {"train": "train on", "val": "validate", "test": "test"}
LEGEND = "● done  ◔ little learned  ✗ diverged  ! failed  ◌ done, a set not scored  · to run"


def _prepared(
    path: Path, machine: Machine, smoked: bool, code: bool
) -> tuple[Plan, States, Store, list[str]]:
    """The plan, with what becomes of the images, how it stands, where its records are, claims on few images.

    Raises UserError for what a run would refuse.
    """
    read = Reading(path, run_in if code else unread_in)
    planning = Planning(path, machine, smoked=smoked, read=read, counting=Terminal().counting)
    planning.heeds_lost = True
    plan = planning.plan()
    standing = planning.foresee(plan)
    few = planning.unjudged(plan)
    return replace(plan, accounts=planning.told(plan)), standing, planning.store, few


@dataclass
class Together:
    """The trials of a file's data sets."""

    sets: int = 0
    trials: set[str] = field(default_factory=set)
    """Ids: data sets of the same images share theirs."""
    states: dict[str, TrialState] = field(default_factory=dict)
    """How each stands, also of those that are in no arm."""
    untold: int = 0
    """Trials that are known in number only, while their arms are tuned."""
    images: dict[str, list[str]] = field(default_factory=dict)
    """Fingerprint → the data sets that have these images."""

    def line(self, name: str) -> str:
        """How they stand in all, and where they are too few."""
        from bench.stats import FEWEST_SETS

        few = f"; a mean over data sets takes {FEWEST_SETS}" if self.sets < FEWEST_SETS else ""
        same = [", ".join(sets) for sets in self.images.values() if len(sets) > 1]
        alike = "".join(f"\n    {sets} are the same images: one data set, trained once" for sets in same)
        count, counts = len(self.trials) + self.untold, Counter(self.states.values())
        return f"{name}: {self.sets} data sets, {count} trials · done {_done_line(counts)}{few}{alike}"

    def add(self, plan: Plan, standing: States, untold: int) -> None:
        """One of them more. untold: how many of its trials have no id yet."""
        self.sets, self.untold = self.sets + 1, self.untold + untold
        self.trials |= {run.trial.id for run in plan.runs}
        self.states |= {run.trial.id: state for run, state, _ in standing}
        self.images.setdefault(plan.data_fingerprint, []).append(whole_and_part(plan.study.name)[1])


def plan_text(
    path: Path, machine: Machine, smoked: bool, *, code: bool = True, together: Together | None = None
) -> str:
    """Arms, trials and what is done, as a person reads it.

    code       whether to run the code that the study names
    together   what this one is added to
    """
    plan, standing, store, few = _prepared(path, machine, smoked, code)
    study = plan.study
    counts = Counter(state for _, state, _ in standing)
    behind = lacking(record for _, _, record in standing)
    replicates = f"{study.folds.k} folds" if study.folds else f"{len(study.seeds)} seeds"
    planned = len(study.arms) * len(replicates_of(study)) + len(study.further_seeds)
    distinct = len({run.trial.id for run in plan.runs}) + planned - len(plan.runs)
    if together is not None:
        together.add(plan, standing, planned - len(plan.runs))
    lines = [
        f"{study.name} — {study.question}",
        f"data      {_data_line(plan)}",
        *(f"          {line}" for line in _images(plan)),
        *_split(plan),
        f"hidden    {', '.join(f'{name} ({h.kind})' for name, h in study.hidden.items()) or 'none'}",
        f"arms      {len(study.arms)} (baseline: {study.baseline}) × {replicates}"
        + (f" + {len(study.further_seeds)} of the baseline" if study.further_seeds else "")
        + f" = {planned} trials"
        + (f", {distinct} different" if distinct < planned else ""),
        *_tuning(plan, store),
        f"done      {_done_line(counts)}",
        *(f"          {line}" for line in _earlier(plan, store)),
        *([f"          {behind}: bench run computes it from kept predictions"] if behind else []),
        *_decides(plan, store),
        *([] if smoked else _declared(plan, store, few)),
        *_cost(standing),
        "",
        *_grid(plan, standing),
        "",
        LEGEND,
        *_unread(),
    ]
    store.briefs.keep()
    return "\n".join(lines)


def _unread() -> list[str]:
    """What was taken on trust, because nobody ran the code that it is in."""
    names = ", ".join(f'{one.kind} "{one.name}"' for one in foreign() if one.origin == UNREAD)
    return ["", f"not checked, for no code was run: {names}"] if names else []


def _earlier(plan: Plan, store: Store) -> list[str]:
    """Trials with the same settings on other images: those that were at the same place before."""
    file = store.study_dir(plan.study.name) / "plan.json"
    run = next(iter(plan.runs), None)
    if run is None or not file.is_file():
        return []
    before = read_plan_file(file)
    if before.data_fingerprint == plan.data_fingerprint:
        return []
    records = [record for id in before.ids - plan.file.ids if (record := store.read(id))]
    told = [record.trained for record in records if record.data_fingerprint == before.data_fingerprint]
    count = sum(known is not None and known[1] == run.trial.data for known in told)
    if not count:
        return []
    was = sum(sum(account.seen.images.values()) for account in before.accounts[:1] if account.seen)
    more = run.trial.source.images - was if was and run.trial.source.images else 0
    change = f" ({many(abs(more), 'image')} {'more' if more > 0 else 'fewer'} now)" if more else ""
    return [f"{many(count, 'trial')} belong to an earlier version of this data{change}"]


def _images(plan: Plan) -> list[str]:
    """What became of the images."""
    return [line for account in plan.accounts for line in accounts.lines(account)]


def _decides(plan: Plan, store: Store) -> list[str]:
    """The deciding metric, and the smallest effect that the study can detect on it."""
    from bench.judge.family import references

    comparisons = len(references(plan.study))
    head = f"decides   {plan.study.primary}, {many(comparisons, 'comparison')}"
    lines = detectable.lines(plan, store)
    if plan.study.design == "screen":
        head = f"decides   {plan.study.primary}, {comparisons} factors, each told from all arms"
        lines = [*_aliases(plan), *lines]
    return [head] + [f"          {line}" for line in lines]


def _aliases(plan: Plan) -> list[str]:
    """What the effects of a screen cannot be told from."""
    from bench.judge.factorial import effects_of

    main = [one for one in effects_of(plan.study) if len(one.levels) == 1]
    held = [
        f"{effects.name(one.levels)} also holds {effects.told(one.aliases)}" for one in main if one.aliases
    ]
    if not held:
        return ["averaged over the other factors, clear of interactions of two"]
    more = [f"… and {len(held) - MOST_ALIASES} more"] if len(held) > MOST_ALIASES else []
    return ["resolution 3, averaged over the other factors:", *held[:MOST_ALIASES], *more]


def _declared(plan: Plan, store: Store, few: Sequence[str]) -> list[str]:
    """What the first score will freeze, or has frozen; few: what is said of claims on few images."""
    from bench.commands import declares  # imports numpy and scipy

    said = [*declares.lines(plan.study, plan.file, store), *few]
    return [f"{'' if i else 'declares':<9} {line}" for i, line in enumerate(said)]


def _done_line(counts: Counter[TrialState]) -> str:
    ended = counts["done"] + counts["diverged"]
    words: dict[TrialState, str] = {
        "missing": "to run",
        "unscored": "to score on added sets",
        "failed": "failed (--retry)",
        "unknown": "not known without code",
    }
    return " · ".join(
        [str(ended), *(f"{counts[state]} {what}" for state, what in words.items() if counts[state])]
    )


def _tuning(plan: Plan, store: Store) -> list[str]:
    """How far the searches are; a word where some that had ended have more to run now."""
    if plan.study.tune is None:
        return []
    tune, arms = plan.study.tune, plan.study.arms
    runs = f" × {tune.seeds} seeds" if tune.seeds > 1 else ""
    best = min(tune.finalists, tune.candidates)
    finals = f" and {best} finalists × {tune.final_seeds} seeds" if best > 1 else ""
    text = (
        f"{len(arms)} arms × {tune.candidates} candidates{runs}{finals} for {', '.join(tuned_keys(tune))} · "
    )
    ended = sum(search.ended for search in plan.searches)
    text += "done" if ended == len(arms) else f"{ended} arms done, {len(plan.pending)} trials to run next"
    again = (len(arms) - 1) * len(replicates_of(plan.study))
    lines = [f"tuning    {text}"] + [f"          + {again} trials with the baseline's values"] * tune.shared
    return lines + [f"          {line}" for line in _reopened(plan, store)]


def _reopened(plan: Plan, store: Store) -> list[str]:
    """Searches that had ended by the last run's plan, and have more to run by this one."""
    file = store.study_dir(plan.study.name) / "plan.json"
    before = {search.arm: search for search in read_plan_file(file).searches} if file.is_file() else {}
    again = [
        search
        for search in plan.searches
        if not search.ended and search.arm in before and before[search.arm].ended
    ]
    waiting = [each.arm for each in again if each.finalists and not before[each.arm].finalists]
    moved = [each.arm for each in again if each.arm not in waiting]
    lines = []
    if waiting:
        lines.append(
            f"the searches of {len(waiting)} arms had ended without finalists, which are to run now; "
            "[tune] finalists = 0 keeps what the candidates chose"
        )
    if moved:
        lines.append(f"the searches of {len(moved)} arms had ended, and ask for other trials now")
    return lines


def _data_line(plan: Plan) -> str:
    data = plan.study.data
    parts = [
        data.source + (f", {data.n_images} drawings" if data.source == "synthetic" else ""),
        f"{data.size_px} px",
    ]
    parts.append("outliers dropped" if data.outliers == "drop" else "outliers kept")
    if data.limit:
        parts.append(f"at most {data.limit} to train and validate on")
    return " · ".join(parts)


def _split(plan: Plan) -> list[str]:
    """Groups on each side, and shares that are not what was asked for."""
    shares, groups = plan.shares, plan.study.data.groups
    if shares is None:
        return []
    by = f'file names, "{groups.pattern}"' if isinstance(groups, NamePattern) else groups
    sides = ", ".join(f"{count} to {SIDES[side]}" for side, count in shares.groups.items())
    lines = [f"groups    by {by}: {sides}"] if shares.groups else []
    return lines + [f"split     {line}" for line in shares.missed]


def _cost(standing: States) -> list[str]:
    """What the missing trials will take, from finished trials of this study, or who could tell."""
    missing = [run.arm for run, state, _ in standing if state == "missing"]
    if not missing:
        return []
    seconds: dict[str, list[float]] = {}
    for run, _, record in standing:
        if record is not None and record.status == "done":
            seconds.setdefault(run.arm, []).append(sum(record.seconds.values()))
    if not seconds:
        return [
            "cost      not known before a trial has ended; --probe trains a few steps of every arm and tells"
        ]
    everywhere = [s for of_arm in seconds.values() for s in of_arm]
    total = sum(_mean(seconds.get(arm, everywhere)) for arm in missing)
    return [
        f"cost      about {duration(total)} of one worker's time (from {len(everywhere)} finished trials)"
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _grid(plan: Plan, standing: States) -> list[str]:
    """Arms down, replicates across, one mark each, and the ids' first digits; counts of very many."""
    by_arm: dict[str, States] = {arm.label: [] for arm in plan.study.arms}
    for one in standing:
        by_arm.setdefault(one[0].arm, []).append(one)  # arms with shared values come last
    width = min(48, max(map(len, by_arm)))
    names = [_replicate(run) for run, _, _ in max(by_arm.values(), key=len)]
    columns = [max(2, len(name)) for name in names]
    many = len(names) > MOST_MARKS
    head = " " * width + "  " + " ".join(f"{n:<{c}}" for n, c in zip(names, columns, strict=True))
    lines = [] if many or not names else [f"{head}  trials"]
    for arm, of in by_arm.items():
        drawn = cells(of)
        marks = " ".join(f"{MARKS[cell.state]:<{c}}" for cell, c in zip(drawn, columns, strict=False))
        ids = " ".join(run.trial.id[:8] for run, state, _ in of[:6] if state != "unknown") + (
            " …" if len(of) > 6 else ""
        )
        shown = arm if len(arm) <= width else arm[: width - 1] + "…"
        trials = row(drawn) if many else f"{marks}  {ids}"
        lines.append(f"{shown:<{width}}  {trials if of else 'is tuned first'}")
    return lines


def _replicate(run: Run) -> str:
    replicate = run.trial.replicate
    return f"s{replicate.seed}" if replicate.fold is None else f"f{replicate.fold}"


def plan_json(path: Path, machine: Machine, smoked: bool, *, code: bool = True) -> str:
    """The same as data."""
    plan, standing, store, _ = _prepared(path, machine, smoked, code)
    trials = [_as_data(*each) for each in standing]
    about = {
        "study": plan.study.name,
        "baseline": plan.study.baseline,
        "primary": plan.study.primary,
        "searches": [search.model_dump(mode="json") for search in plan.searches],
        "shares": plan.shares and plan.shares.model_dump(mode="json"),
        "trials": trials,
        "not_checked": [one.id for one in foreign() if one.origin == UNREAD],
    }
    store.briefs.keep()
    return json.dumps(about, indent=1, ensure_ascii=False)


def _as_data(run: Run, state: TrialState, record: Brief | None) -> dict[str, Any]:
    replicate = run.trial.replicate
    sets = {scored.name: scored.key for scored in run.sets}
    return {
        "arm": run.arm,
        "seed": replicate.seed,
        "fold": replicate.fold,
        "id": None if state == "unknown" else run.trial.id,
        "state": state,
        "lacks": lacks(record) if record else (),
        "sets": sets,
    }
