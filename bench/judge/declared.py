"""``declared.json``: what a study had declared when its first score came. It cannot be made again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field, ValidationError

from bench import slices
from bench.errors import UserError
from bench.files import content_of
from bench.judge.factorial import arms_of
from bench.judge.family import Key, family_keys, hypotheses, mirror
from bench.judge.findings import LOCAL
from bench.judge.measure import Measure, parse
from bench.planned import Night, PlanFile, PlannedTrial
from bench.recipe import Frozen, Hidden
from bench.slices import Sliced
from bench.store import Brief, Store
from bench.study.file import Delta
from bench.study.read import Claim, Study

FILE = "declared.json"
NO_SLICES = "is gone or damaged; bench run writes it again"
UNKNOWN: Mapping[str, Sliced] = MappingProxyType({})
"""Where a study names no slices."""
LATE: Literal["declared after scores"] = "declared after scores"
"""Verdict, and outcome, of what was not declared before the first score."""


class Declared(Frozen):
    """What decides, and what is judged as one family."""

    schema_version: Literal[1] = 1
    study: str
    at: str
    """When this was written, UTC."""
    primary: str
    delta: Delta
    baseline: str
    comparisons: tuple[Key, ...]
    """The family: each hypothesis once, as (arm, reference, metric)."""
    claims: tuple[Claim, ...]
    hidden: dict[str, Hidden]
    """What the names of the hidden sets stood for."""
    slices: dict[str, str] = Field(default_factory=dict)
    """Metric on a slice, of a claim → hash of the ids of its images."""
    scored: tuple[Key, ...] = ()
    """Comparisons that had scores by then: the results folder shares trials between studies."""
    further_seeds: tuple[int, ...] = ()
    """Of the baseline, beyond those of every arm."""
    looks: tuple[int, ...] = ()
    """By ``--until decided``: numbers of seeds; plan.json has them too, and may be lost."""
    nights: tuple[Night, ...] = ()
    """Runs that ``--hours`` ended, as in plan.json: who goes on after one has seen its report."""
    later: bool = False
    """The results are older than this file: it holds what the study said when it was last run."""

    def same(self, other: Declared) -> bool:
        """Whether another declares the same."""
        return self.model_copy(update={"at": other.at}) == other

    def claimed(self, claim: Claim) -> Claim | None:
        """The claim as it was declared, whatever it said in words; None where it came later."""
        bare = claim.model_copy(update={"says": ""})
        return next((was for was in self.claims if was.model_copy(update={"says": ""}) == bare), None)

    def renamed(self, metric: str, study: Study, sliced: Mapping[str, Sliced]) -> str:
        """The hidden set, or slice, of a metric that is another one now, or is gone; else empty.

        sliced   what is known of the images by now
        """
        name = metric.removeprefix("gap.") if metric.startswith("gap.") else metric.partition(".")[0]
        if name in self.hidden and self.hidden[name] != study.hidden.get(name):
            return name
        if metric in self.slices and is_untold(metric, study, sliced):
            return ""  # nobody knows; there is no verdict either
        return metric if self.slices.get(metric) != _contents([metric], study, sliced).get(metric) else ""


def is_untold(metric: str, study: Study, sliced: Mapping[str, Sliced]) -> bool:
    """Whether a metric is on a slice that the study names and ``slices.npz`` does not: that is lost.

    sliced   as in ``Declared.renamed``
    """
    of = parse(metric, study.sets)
    at = study.sliced_as(of.set)
    return of.slice is not None and at in study.slices and at not in sliced


def _contents(metrics: Iterable[str], study: Study, sliced: Mapping[str, Sliced]) -> dict[str, str]:
    """Of the metrics that are on a slice, which images these are; nothing of one that is not known."""
    found = {}
    for metric in metrics:
        of = parse(metric, study.sets)
        known = sliced.get(study.sliced_as(of.set)) if of.slice else None
        if of.slice and known:
            found[metric] = hashlib.sha256(known.at(*of.slice).tobytes()).hexdigest()[:16]
    return found


def declare(
    study: Study,
    sliced: Mapping[str, Sliced] = UNKNOWN,
    *,
    scored: Sequence[Key] = (),
    plan: PlanFile | None = None,
    later: bool = False,
) -> Declared:
    """What a study declares now.

    sliced   what its columns say of its images
    plan     has its looks, and the nights there were
    """
    return Declared(
        study=study.name,
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        primary=study.primary,
        delta=study.delta,
        baseline=study.baseline,
        comparisons=tuple(hypotheses(family_keys(study))),
        claims=study.claims,
        hidden=study.hidden,
        slices=_contents(study.sliced_metrics, study, sliced),
        scored=tuple(scored),
        further_seeds=study.further_seeds,
        looks=plan.looks if plan else (),
        nights=plan.nights if plan else (),
        later=later,
    )


def read_declared(folder: Path) -> Declared | None:
    """A study's ``declared.json``; None where there is none. Raises UserError when it is damaged."""
    file = folder / FILE
    try:
        return Declared.model_validate_json(content_of(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValidationError, OSError) as error:
        raise UserError(
            f"{file} is damaged ({str(error).splitlines()[0]})\n"
            "    it cannot be made again: take it from a copy, or delete it, and the report says that what "
            "was declared when is not known"
        ) from None


def write_declared(declared: Declared, store: Store) -> None:
    """Write it beside the study's plan, whole or not at all."""
    store.write_text(store.study_dir(declared.study) / FILE, declared.model_dump_json(indent=1) + "\n")


def scored(keys: Iterable[Key], study: Study, plan: PlanFile, store: Store) -> list[Key]:
    """Comparisons of which both arms were scored on the metric with one replicate of the plan.

    Of an effect that is averaged over arms, one arm on each side.
    """
    by_arm = {arm.label: {(trial.seed, trial.fold): trial for trial in arm.trials} for arm in plan.arms}
    read = functools.cache(store.brief)

    def known(trial: PlannedTrial, metric: str) -> bool:
        """Whether its value of a metric can be known; a diverged one's is."""
        record = read(trial.id)
        if record is None or record.status not in ("done", "diverged"):
            return False
        return record.status == "diverged" or _has(record, trial, parse(metric, tuple(trial.sets)))

    def both(key: Key) -> bool:
        one, other = (
            [(at, trial) for arm in arms for at, trial in by_arm.get(arm, {}).items()]
            for arms in arms_of(study, *key[:2])
        )
        beside: dict[object, list[PlannedTrial]] = {}
        for at, trial in one:
            beside.setdefault(at, []).append(trial)
        return any(
            known(trial, key[2]) and any(known(mate, key[2]) for mate in beside.get(at, ()))
            for at, trial in other
        )

    return [key for key in keys if both(key)]


def _has(record: Brief, trial: PlannedTrial, measure: Measure) -> bool:
    return not measure.set or trial.sets.get(measure.set, "") in record.scores


def changes(declared: Declared, study: Study, sliced: Mapping[str, Sliced] = UNKNOWN) -> Iterator[str]:
    """What a study says otherwise than it was declared, a line each; ``sliced`` as in ``renamed``."""
    was, now = declared.delta, study.delta
    pairs: list[tuple[str, object, object]] = [
        (f"δ ({LOCAL})", was.local, now.local),
        ("δ (hidden sets)", was.hidden, now.hidden),
    ]
    further = [seeds or "none" for seeds in (declared.further_seeds, study.further_seeds)]
    pairs += [("further seeds of the baseline", further[0], further[1])]
    pairs += [("primary", declared.primary, study.primary), ("baseline", declared.baseline, study.baseline)]
    for what, before, after in pairs:
        if before != after:
            decides = ", and decides" if what.startswith("δ") else ""
            yield f"{what}: {before} was declared{decides}; the study says {after} now"
    for name, hidden in declared.hidden.items():
        if hidden != study.hidden.get(name):
            what = "is defined otherwise now" if name in study.hidden else "is no longer in the study"
            yield f"hidden set {name}: {what}"
    for metric in declared.slices:
        if metric in study.sliced_metrics and declared.renamed(metric, study, sliced) == metric:
            yield f"{metric}: its images are others now"
        elif metric in study.sliced_metrics and is_untold(metric, study, sliced):
            yield f"{metric}: which images it is about stands in {slices.FILE}, which {NO_SLICES}"
    for claim in study.claims:
        promised = declared.claimed(claim)
        if promised is None:
            yield f"claim declared after scores: {claim.says}"
        elif promised.says != claim.says:
            yield f"claim worded anew: {promised.says}"
    yield from (f"claim no longer made: {claim.says}" for claim in removed_claims(declared, study))


def removed_claims(declared: Declared, study: Study) -> list[Claim]:
    """Claims that were declared and that the study no longer makes."""
    return [
        claim for claim in declared.claims if not any(declared.claimed(now) == claim for now in study.claims)
    ]


def late_keys(declared: Declared, study: Study, sliced: Mapping[str, Sliced] = UNKNOWN) -> list[Key]:
    """Comparisons that the study asks for and that were not declared, or not on the set that is meant now.

    sliced   as in ``Declared.renamed``
    """
    family = {*declared.comparisons, *map(mirror, declared.comparisons)}
    return [key for key in family_keys(study) if key not in family or declared.renamed(key[2], study, sliced)]


def removed_keys(declared: Declared, study: Study) -> list[Key]:
    """Comparisons that were declared and that the study no longer asks for."""
    keys = family_keys(study)
    asked = {*keys, *map(mirror, keys)}
    return [key for key in declared.comparisons if key not in asked]
