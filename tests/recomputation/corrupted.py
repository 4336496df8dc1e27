"""Sets of corrupted copies: what arms train with, and where copies have one corruption each, by family."""

from dataclasses import replace
from typing import Any

import numpy as np

from . import screens, settings
from .comparisons import Comparison, difference, ended_pairs, on_score
from .parts import Part
from .records import LOCAL, Answers, Row, Study, Trial
from .rows import effect, mean
from .scores import recalls, right

SMALLEST_LOSS = 0.01  # that a family costs the baseline, to be one of the relative error's
ALONE = ("clean", "all", "effect", "unseen", "effect_unseen", "unseen_by_both", "be", "relative_be")
"""Columns of `robustness`, with those that belong to them, of sets that have one corruption in each copy."""
PARTS = ("", "_sd", "_seeds", "_low", "_high", "_families")


def sets(study: Study) -> dict[str, dict[str, Any]]:
    """The corrupted hidden sets of the study file."""
    return {
        name: table for name, table in study.file.get("hidden", {}).items() if table["kind"] == "corrupted"
    }


def alone(study: Study, name: str) -> bool:
    """Whether each copy of a set has one corruption."""
    table = sets(study).get(name)
    return table is not None and table.get("profile") == "micro-c"


class Taken:
    """A set of one corruption in each copy, taken apart."""

    def __init__(self, study: Study, name: str) -> None:
        self.study, self.name, self.table = study, name, sets(study)[name]
        first = study.finished(study.baseline)[0]
        conditions = self._answers(first).conditions
        assert conditions is not None
        there = {one.partition("/")[0] for one in conditions}
        self.families = [family for family in settings.families(self.table) if family in there]
        self.severities = sorted({int(one.partition("/")[2]) for one in conditions})

    def _answers(self, trial: Trial) -> Answers:
        return trial.answers(trial.keys[self.name])

    def accuracy(self, trial: Trial, family: str, severity: int) -> float:
        return float(right(self._condition(trial, family, severity)).mean())

    def balanced(self, trial: Trial, family: str, severity: int) -> float:
        return float(np.mean(list(recalls(self._condition(trial, family, severity)).values())))

    def _condition(self, trial: Trial, family: str, severity: int) -> Answers:
        answers = self._answers(trial)
        assert answers.conditions is not None
        return answers.of(answers.conditions == f"{family}/{severity}")

    def over(self, trial: Trial, families: list[str]) -> float:
        """A trial's mean accuracy over families and severities."""
        each = [self.accuracy(trial, family, s) for family in families for s in self.severities]
        return float(np.mean(each))

    def means(self, arm: str, families: list[str]) -> list[float]:
        return [self.over(trial, families) for trial in self.study.finished(arm)] if families else []

    def base_images(self, trial: Trial) -> Answers:
        """A trial's answers to the undamaged images of the set."""
        local = trial.answers(trial.keys[LOCAL])
        return local.of(np.isin(local.ids, self._answers(trial).ids))

    def errors(self, arm: str) -> tuple[np.ndarray, np.ndarray]:
        """Balanced error of each family (F,), mean over severities and seeds; the same less the clean one."""
        trials = self.study.finished(arm)
        each = np.array(
            [
                [1 - np.mean([self.balanced(trial, family, s) for s in self.severities]) for trial in trials]
                for family in self.families
            ]
        )
        clean = [1 - np.mean(list(recalls(self.base_images(trial)).values())) for trial in trials]
        return each.mean(axis=1), (each - np.array(clean)).mean(axis=1)

    def seen(self, arm: str) -> list[str]:
        known = settings.seen(self.study.finished(arm)[0].record["recipe"], self.table)
        return [family for family in self.families if family in known]

    def row(self, arm: str) -> Row:
        """Of the table `robustness`, without what is the same for sets whose copies are mixed."""
        study, base = self.study, self.study.baseline
        own = [family for family in self.families if family not in self.seen(arm)]
        clean = [float(right(self.base_images(trial)).mean()) for trial in study.finished(arm)]
        row = mean("clean", clean) | mean("all", self.means(arm, self.families))
        row |= mean("unseen", self.means(arm, own)) if own else dict.fromkeys(_parts("unseen"))
        against = None if arm == base else difference(study, arm, base, self.name)
        found = None if arm == base else unseen(study, arm, base, self.name)
        row |= effect("effect", against) | effect("effect_unseen", found[2] if found else None)
        (errors, added), (of_base, base_added) = self.errors(arm), self.errors(base)
        costly = base_added >= SMALLEST_LOSS
        row |= {"unseen_by_both": found[0] if found else None, "relative_be_families": int(costly.sum())}
        row["be"] = float(np.mean(errors / of_base))
        row["relative_be"] = float(np.mean(added[costly] / base_added[costly])) if costly.any() else None
        return row | {"planned": len(study.arms[arm])}


def unseen(study: Study, arm: str, reference: str, name: str) -> tuple[int, int, Comparison | None] | None:
    """Families that neither arm trains with, of how many, and the difference on them."""
    if not alone(study, name):
        return None
    taken = Taken(study, name)
    known = {family for one in screens.arms(study, (arm, reference, "")) for family in taken.seen(one)}
    families = [family for family in taken.families if family not in known]
    if not families:
        return 0, len(taken.families), None

    def chosen(answers: Answers) -> np.ndarray:
        assert answers.conditions is not None
        return np.array([one.partition("/")[0] in families for one in answers.conditions])

    def view(trial: Trial) -> Trial:
        return Part(trial, name, chosen)

    rest = screens.compare(study, (arm, reference, f"{name}.accuracy"), view=view)
    if rest is None:
        both = ended_pairs(study, arm, reference)
        rest = on_score(study, *both, name, "accuracy", view)
    return len(families), len(taken.families), replace(rest, effect=rest.of_finished)


def both(study: Study, arm: str, reference: str, name: str) -> tuple[Comparison, Comparison | None]:
    """The difference on all families, and on those that neither arm trains with."""
    found = unseen(study, arm, reference, name)
    return difference(study, arm, reference, name), found[2] if found else None


def _parts(name: str) -> list[str]:
    return [name + part for part in PARTS]


def robustness(study: Study, order: list[str]) -> list[Row]:
    """Of every corrupted set and arm what it trains with; where copies have one corruption each, the rest."""
    rows = []
    for name, table in sets(study).items():
        taken = Taken(study, name) if alone(study, name) else None
        families = taken.families if taken else settings.families(table)
        for arm in order:
            recipe = study.finished(arm)[0].record["recipe"]
            found = [family for family in families if family in settings.seen(recipe, table)]
            row: Row = dict.fromkeys(one for column in ALONE for one in _parts(column))
            row |= taken.row(arm) if taken else {}
            row |= {"set": name, "arm": arm, "families": len(families)}
            rows.append(row | {"seen_families": len(found), "seen": "; ".join(found) or None})
    return rows


def families(study: Study, order: list[str]) -> list[Row]:
    """A row for each set and family, an accuracy for each arm."""
    rows = []
    for name in filter(lambda name: alone(study, name), sets(study)):
        taken = Taken(study, name)
        for kind, members in settings.KINDS.items():
            for family in (one for one in members if one in taken.families):
                row: Row = {"set": name, "kind": kind, "family": family}
                for arm in order:
                    row |= mean(arm, taken.means(arm, [family])) | {f"{arm} ‡": family in taken.seen(arm)}
                    row[f"{arm}_planned"] = len(study.arms[arm])
                rows.append(row)
    return rows


def conditions(study: Study, order: list[str]) -> list[Row]:
    """A row for each set, arm, family and severity."""
    rows = []
    for name in filter(lambda name: alone(study, name), sets(study)):
        taken = Taken(study, name)
        kinds = {family: kind for kind, members in settings.KINDS.items() for family in members}
        places = [(family, severity) for family in taken.families for severity in taken.severities]
        for arm in order:
            known, trials = taken.seen(arm), study.finished(arm)
            for family, severity in places:
                row: Row = {"set": name, "arm": arm, "kind": kinds[family], "family": family}
                row |= {"severity": severity, "seen": "yes" if family in known else "no"}
                row |= mean("accuracy", [taken.accuracy(trial, family, severity) for trial in trials])
                balanced = [taken.balanced(trial, family, severity) for trial in trials]
                rows.append(row | mean("balanced_accuracy", balanced))
    return rows
