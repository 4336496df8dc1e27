"""Where a report's numbers come from: sources, sets and their items, libraries, machines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.judge import accounts
from bench.judge.basis import Provenance
from bench.judge.evidence import Evidence
from bench.judge.findings import LOCAL
from bench.judge.outcomes import Outcomes, device
from bench.plan import TEST
from bench.planned import PlanFile
from bench.study.read import Study


def _sets(plan: PlanFile) -> Iterable[tuple[str, str]]:
    """What each scored set is called, and its key; one for each fold where they differ."""
    trials = next((arm.trials for arm in plan.arms if arm.trials), ())  # none while every arm is tuned
    for name in trials[0].sets if trials else ():
        called = LOCAL if name == TEST else name
        keys = {trial.fold: trial.sets[name] for trial in trials}
        if len(set(keys.values())) == 1:
            yield called, trials[0].sets[name]
        else:
            yield from ((f"{called}, fold {fold}", key) for fold, key in keys.items())


def _independent(study: Study) -> Iterable[str]:
    """Sets of images that may belong together without the study saying which do."""
    local = [LOCAL] * (TEST in study.sets)
    local += [name for name, hidden in study.hidden.items() if hidden.kind == "corrupted"]
    if study.data.groups is None and study.data.source != "synthetic":
        yield from local
    for name, hidden in study.hidden.items():
        if hidden.kind == "external" and hidden.groups is None:
            yield name


def called_groups(study: Study, name: str) -> str:
    """What a study calls the groups of a set: ``patients`` of a column ``patient``, else ``groups``."""
    hidden = study.hidden.get(name)
    column = hidden.groups if hidden is not None and hidden.kind == "external" else study.data.groups
    plain = isinstance(column, str) and column != "folder" and re.fullmatch(r"[a-z]+(?<!s)", column)
    return f"{column}s" if plain else "groups"


def of_results(study: Study, plan: PlanFile, outcomes: Outcomes, evidence: Evidence) -> Provenance:
    """All of it, of a study's own records."""
    records = [o.record for trials in outcomes.values() for o in trials if o.record]
    libraries: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.libraries.items():
            libraries.setdefault(name, set()).add(version)
    sizes = {key: size for record in records for key, size in record.sizes.items()}
    done = [o for trials in outcomes.values() for o in trials if o.record]
    sets = tuple((name, key, sizes.get(key), evidence.rows.groups(key)) for name, key in _sets(plan))
    return Provenance(
        source=study.data.source,
        synthetic=study.data.source == "synthetic",
        data_fingerprint=plan.data_fingerprint,
        sets=sets,
        grouped=tuple(
            (name, called_groups(study, name))
            for name in dict.fromkeys(name.partition(",")[0] for name, _, _, groups in sets if groups)
        ),
        independent=tuple(_independent(study)),
        missed=plan.shares.missed if plan.shares else (),
        classes=tuple(next((record.classes for record in records if record.classes), [])),
        libraries=tuple((name, ", ".join(sorted(found))) for name, found in sorted(libraries.items())),
        commits=tuple(sorted({record.commit for record in records if record.commit})),
        machines=tuple(sorted({device(o) for o in done})),
        attempts=sum(record.attempts > 1 for record in records),
        images=tuple(line for account in plan.accounts for line in accounts.lines(account)),
        outside=tuple((f"{one.kind} {one.name}", one.origin) for one in plan.components),
    )
