"""The sections of a report that say how its numbers were made."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import settings
from .formulas import LEVEL
from .printed import Line, Section, Text, text
from .records import Study, Trial
from .tables import Tables

NOTICED = 1.02  # what differs by less is not worth a word


def confounds(tables: Tables) -> Section:
    """Where steps or parameters are not the baseline's."""
    base, lines = _sizes(tables.study, tables.study.baseline), []
    for arm in tables.order[1:]:
        own = _sizes(tables.study, arm)
        texts = [text("{}× the " + name, own[name] / base[name]) for name in base if own[name] != base[name]]
        shown = [one for one in texts if not 1 / NOTICED <= one.numbers[0] <= NOTICED]
        if shown:
            lines.append(Line(f"- {arm}: also ", shown))
    return Section("What else differed", lines)


def _sizes(study: Study, arm: str) -> dict[str, float]:
    trials = study.finished(arm)
    return {
        "training steps": float(np.mean([trial.steps for trial in trials])),
        "steps per epoch": float(np.mean([trial.steps / trial.epochs for trial in trials])),
        "parameters": trials[0].record["parameters"],
    }


def fixed(study: Study) -> Section:
    return Section("Fixed in every arm", [Line(f"- {k} = {v}") for k, v in settings.fixed(study).items()])


def made(study: Study) -> Section:
    seeds = list(dict.fromkeys(trial.seed for trial in study.arms[study.baseline]))
    further = [trial.seed for trial in study.further]
    seeds = [seed for seed in seeds if seed not in further]
    if study.looks:  # as many as the last look would have
        seeds = list(range(seeds[0], seeds[0] + study.looks[-1]))
    count = max(len(trials) for trials in study.arms.values())
    rate = 100 * (1 - LEVEL ** (1 / count))
    of = "replicates" if study.folds else "seeds"
    lines = [
        Line("- Where none of ", [text(f"{{}} diverged, up to {{}} % of all {of}", count, rate)]),
    ]
    if study.folds:
        listed = f"Seeds: {', '.join(map(str, seeds))}. "
        lines.append(Line("- Cross-validation with ", [text("{} folds", study.folds), listed.strip()]))
    else:
        also = f"; of the baseline also {', '.join(map(str, further))}" if further else ""
        end = "." if study.elsewhere else ". "
        lines.append(Line(f"- Seeds, paired across arms: {', '.join(map(str, seeds))}{also}{end}"))
    if study.declared:
        day = study.declared["at"][:10]
        lines.append(
            Line("- Comparisons, claims, δ and the deciding metric are those of ", [f"written {day}"])
        )
    return Section("How it was made", lines)


def provenance(study: Study) -> Section:
    finals = [trial for trials in (*study.arms.values(), *study.shared.values()) for trial in trials]
    if study.elsewhere:
        return _handed_in(study, finals)
    record, again = finals[0].record, sum(trial.record["attempts"] > 1 for trial in finals)
    drawn = " — synthetic data" if record["source"] == "synthetic" else ""
    print_of = f"data fingerprint {study.plan['data_fingerprint']}"
    lines = [Line(f"- Source: {record['source']}{drawn}; {print_of}")]
    for name in study.sets:
        for trial in {trial.keys[name]: trial for trial in reversed(study.finished(study.baseline))}.values():
            lines.append(_set(study, name, trial))
    libraries = sorted(
        {f"{name} {version}" for trial in finals for name, version in trial.record["libraries"].items()}
    )
    commits = sorted({trial.record["commit"] for trial in finals})
    machines = sorted({trial.record["machine"]["device_name"] for trial in finals})
    lines.append(Line(f"- Classes: {', '.join(study.classes)}"))
    lines += [
        Line(f"- Images of {line}") for one in study.plan.get("accounts") or [] for line in _images(one)
    ]
    lines += [
        Line(f"- Libraries: {', '.join(libraries)}"),
        Line(f"- Commit: {', '.join(commits)}"),
        Line(f"- Machine: {', '.join(machines)}"),
        Line("- Trials that took more than one attempt: ", [text("{}", again)]),
    ]
    return Section("Provenance", lines)


def _images(account: dict[str, Any]) -> Iterator[str]:
    """How many files of a set there were, and which images of them are not used."""
    used = sum(account["images"].values())
    lost = {why: sum(classes.values()) for why, classes in account["dropped"].items()}
    if (account.get("seen") or {}).get("skipped"):
        return  # files that were not read: in words of their own
    yield f"{account['set']}: {used + sum(lost.values()):,} files or images found, {used:,} used"
    for why, classes in account["dropped"].items():
        some = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        if len(classes) <= 8:  # more are not all named
            yield f"{account['set']}: left out, {lost[why]:,} {why} ({some})"


def _set(study: Study, name: str, trial: Trial) -> Line:
    """A scored set, with folds each fold's."""
    apart = len({one.keys[name] for one in study.arms[study.baseline]}) > 1
    key, groups = trial.keys[name], trial.answers(trial.keys[name]).groups
    texts: list[Text | str] = [text("{} images", trial.record["sizes"][key]), f"key {key}"]
    if groups is not None:
        counted = text("of {} groups, which are the items of its intervals", len(np.unique(groups)))
        texts.insert(1, counted)
    return Line(f"- Set {name}{f', fold {trial.fold}' if apart else ''}: ", texts)


def _handed_in(study: Study, finals: list[Trial]) -> Section:
    """The same of predictions."""
    sets = {trial.keys[name]: (name, trial) for name in study.sets for trial in reversed(finals)}
    known = {name for name, trial in sets.values() if trial.answers(trial.keys[name]).groups is not None}
    alone = [name for name in study.sets if name not in known]
    source, print_of = study.file["data"]["source"], study.plan["data_fingerprint"]
    lines = [Line(f"- Source: {source}; data fingerprint {print_of}")]
    lines += [_set(study, *one) for one in sets.values()]
    lines += [Line(f"- {', '.join(alone)}: images are taken as independent")] if alone else []
    return Section("Provenance", [*lines, Line(f"- Classes: {', '.join(study.classes)}")])
