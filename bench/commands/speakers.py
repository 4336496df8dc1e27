"""Whose word ``bench predict`` takes: one trained trial, or the finished seeds of an arm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from bench.commands.show import find
from bench.commands.status import planned, read_plan
from bench.commands.trained import weights_of
from bench.errors import UserError, did_you_mean, shorten
from bench.planned import PlanFile, PlannedArm
from bench.progress.terminal import Terminal
from bench.record import Record
from bench.store import Store

NO_ARM = "there are no arms yet; bench run makes some"


@dataclass(frozen=True)
class Speakers:
    """Trials that label together: one, or the finished seeds of an arm. They agree about their classes."""

    records: tuple[Record, ...]
    store: Store

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return tuple(self.records[0].classes)


def speakers_of(wanted: str, store: Store, terminal: Terminal, *, with_weights: bool) -> Speakers:
    """The trials that ``wanted`` means. Raises UserError for nothing, or several arms, of that name."""
    arms = arms_of(store)
    study, slash, label = wanted.partition("/")
    found = [(plan, arm) for plan, arm in arms if wanted in (arm.label, f"{plan.study}/{arm.label}")]
    if not found and slash:
        known = [arm.label for plan, arm in arms if plan.study == study]
        studies = [plan.study for plan, _ in arms]
        hint = did_you_mean(label, known) if known else did_you_mean(study, studies) if arms else NO_ARM
        raise UserError(f"{shorten(wanted)} is no arm of {store.root}; {hint}")
    if len(found) > 1:
        several = ", ".join(f"{plan.study}/{arm.label}" for plan, arm in found)
        raise UserError(f"several studies have an arm {shorten(wanted)}; say which: {several}")
    if not found:
        try:
            record = find(wanted, store)
        except UserError as error:
            labels = ", ".join(dict.fromkeys(arm.label for _, arm in arms))
            hint = f"{store.root} has {shorten(labels, 300)}" if labels else NO_ARM
            raise UserError(f"{error}\n    nor is it an arm; {hint}") from None
        if with_weights or record.status != "done":
            weights_of(record, store)
        return Speakers((record,), store)
    return Speakers(tuple(_finished(*found[0], store, terminal, with_weights=with_weights)), store)


def arms_of(store: Store) -> list[tuple[PlanFile, PlannedArm]]:
    """Every arm of every planned study of a results folder, with its study."""
    plans = []
    for name in planned(store):
        with contextlib.suppress(UserError):  # damaged: it has no say
            plans.append(read_plan(name, store))
    return [
        (plan, arm)
        for plan in plans
        for arm in (*plan.arms, *plan.shared, *([plan.again] if plan.again else []))
    ]


def _finished(
    plan: PlanFile, arm: PlannedArm, store: Store, terminal: Terminal, *, with_weights: bool
) -> Iterator[Record]:
    """The arm's trials that can speak; the others are told. Raises UserError when there is none."""
    silent, speaking = [], 0
    for trial in arm.trials:
        record = store.read(trial.id)
        kept = record is not None and (not with_weights or store.has_weights(record))
        if record is not None and record.status == "done" and kept:
            speaking += 1
            yield record
            continue
        why = "not run" if record is None else "weights not kept, or damaged" if not kept else record.status
        silent.append(f"seed {trial.seed} {why}")
    if not speaking:
        raise UserError(
            f"{plan.study}/{arm.label} has no trial that could say anything: {', '.join(silent) or 'none'}\n"
            "    bench run the study; networks are kept with keep_weights = true"
        )
    if silent:
        terminal.note(f"{plan.study}/{arm.label}: {speaking} trials speak; {', '.join(silent)}")
